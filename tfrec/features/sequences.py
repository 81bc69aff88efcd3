"""Histories and their next items, through tf.data."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrec.datasets.ragged import Ragged, stretch
from tfrec.errors import InputError
from tfrec.features.context import HISTORY_TIME
from tfrec.features.numbered_examples import NumberedExamples
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING

ITEMS, CONTEXT = "items", "context/"
"""Tensors' name, and what begins the names of others, which may be called like anything else."""
BUCKET = 16
"""The histories of requests have a multiple of so many places: a new shape costs memory and, once, time."""
VALUES_AT_ONCE = 2**24


class NextItemExamples(NumberedExamples):
    """Every training interaction that has a past is an example: the history before it, and the item itself.

    Nothing is stored per example: an example is a position in the end-to-end array of all interactions, and its
    history is gathered from there.

    Args:
        sequences: Each user's training interactions, oldest first.
        history_length: The most recent interactions that are kept.
        users: The user code of each row, int32 [num_rows]; None: row u is user code u.
        times: The first and the last time of all training, where the sequences are but some of it.

    Raises:
        InputError: No user has two interactions.
    """

    def __init__(
        self,
        sequences: Ragged,
        history_length: int,
        users: np.ndarray | None = None,
        times: tuple[int, int] | None = None,
    ) -> None:
        lengths = np.diff(sequences.offsets)
        starts = np.repeat(sequences.offsets[:-1], lengths)
        positions = np.flatnonzero(np.arange(len(sequences.values)) > starts)
        if not len(positions):
            raise InputError(
                "Expected users with at least two training interactions, to learn the next item from. "
                f"Received: {len(sequences.values)} training interactions of {len(sequences)} users, none with a past."
            )
        users = np.arange(len(sequences)) if users is None else users
        tensors = {
            "starts": tf.constant(starts, tf.int64),
            "users": tf.constant(np.repeat(users, lengths) + NUM_SPECIAL, tf.int32),
            **history_tensors(sequences),
        }
        if HISTORY_TIME in sequences.context:
            own = sequences.context[HISTORY_TIME]
            tensors["ages"] = tf.constant(_ages(own, *(times or (int(own.min()), int(own.max())))), tf.float32)
        super().__init__(positions, tensors=tensors)
        self.history_length = history_length

    @staticmethod
    def num_examples(lengths: np.ndarray, history_length: int) -> np.ndarray:
        """How many examples sequences of these lengths give, each: int64 [num_rows]."""
        return np.maximum(lengths - 1, 0)

    def batch(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The examples at some positions.

        Args:
            positions: int64 [batch_size]

        Returns:
            history: int32 [batch_size, history_length] item indices, oldest first, padded at the end.
            user: int32 [batch_size] user indices. target: int32 [batch_size] item indices. What the context of the
            sequences tells of the items in the history, by its names: [batch_size, history_length], 0 where padded. And
            if that are times, example_age: float32 [batch_size], 0 for the latest of all and 1 for the oldest.
        """
        starts = tf.maximum(tf.gather(self.tensors["starts"], positions), positions - self.history_length)
        sources = starts[:, tf.newaxis] + tf.range(self.history_length, dtype=tf.int64)  # [batch_size, history_length]
        past = sources < positions[:, tf.newaxis]
        ages = self.tensors.get("ages")
        return {
            **gather_history(self.tensors, sources, past),
            "user": tf.gather(self.tensors["users"], positions),
            "target": tf.gather(self.tensors[ITEMS], positions),
            **({} if ages is None else {"example_age": tf.gather(ages, positions)}),
        }


def history_tensors(sequences: Ragged) -> dict[str, tf.Tensor]:
    """Indices of the items, int32 [total], and their context by its names: what `gather_history` reads."""
    context = {CONTEXT + name: tf.constant(array) for name, array in sequences.context.items()}
    return {ITEMS: tf.constant(sequences.values + NUM_SPECIAL, tf.int32), **context}


def gather_history(tensors: Mapping[str, tf.Tensor], places: tf.Tensor, filled: tf.Tensor) -> dict[str, tf.Tensor]:
    """`history`, and what the context tells of its items by its names: what stands at the places, 0 where not filled.

    Args:
        tensors: What `history_tensors` made, perhaps among others.
        places: int64 [batch_size, width].
        filled: bool [batch_size, width].
    """
    safe = tf.where(filled, places, 0)
    named = {name.removeprefix(CONTEXT): tensors[name] for name in tensors if name.startswith(CONTEXT)}
    return {
        name: tf.where(filled, tf.gather(array, safe), tf.zeros([], array.dtype))
        for name, array in {"history": tensors[ITEMS], **named}.items()
    }


def _ages(times: np.ndarray, first: int, last: int) -> np.ndarray:
    """How long before the last time each is, as a share of all: float64, of the same shape."""
    return (last - times) / max(last - first, 1)


def target_counts(sequences: Ragged, num_items: int) -> np.ndarray:
    """How often each item is an example's target, int64 [num_items]: its interactions, but for users' first ones."""
    firsts = sequences.values[sequences.offsets[:-1][np.diff(sequences.offsets) > 0]]
    counts = -np.bincount(firsts, minlength=num_items)
    for low in range(0, len(sequences.values), VALUES_AT_ONCE):
        counts += np.bincount(stretch(sequences.values, low, low + VALUES_AT_ONCE), minlength=num_items)
    return counts


def pad_histories(histories: Ragged, history_length: int) -> np.ndarray:
    """The latest items of each row, as indices: int32 [num_rows, history_length], oldest first, padded at the end."""
    return _pad(histories, histories.values + NUM_SPECIAL, history_length).astype(np.int32)


def pad_context(histories: Ragged, history_length: int) -> dict[str, np.ndarray]:
    """The context of the items that `pad_histories` keeps: arrays [num_rows, history_length], 0 where padded."""
    return {name: _pad(histories, array, history_length) for name, array in histories.context.items()}


def _pad(histories: Ragged, values: np.ndarray, history_length: int) -> np.ndarray:
    ends = histories.offsets[1:]
    starts = np.maximum(histories.offsets[:-1], ends - history_length)
    sources = starts[:, None] + np.arange(history_length)
    past = sources < ends[:, None]
    if not len(values):
        return np.zeros(past.shape, values.dtype)
    return np.where(past, values[np.where(past, sources, 0)], PADDING)


def compact_history(history: tf.Tensor, history_length: int) -> tf.Tensor:
    """What `pad_histories` makes of a history that comes with a request: the graph's side of the same encoding.

    Args:
        history: int32 [batch_size, any width] item indices, oldest first, padding and unknown items anywhere.
        history_length: The most recent known items that are kept.

    Returns:
        int32 [batch_size, width]: the kept items in their order, padded at the end; the width as of `compact_context`.
    """
    return compact_context(history, {}, history_length)[0]


def compact_context(
    history: tf.Tensor, context: Mapping[str, tf.Tensor], history_length: int
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """What `pad_histories` and `pad_context` make of a history that comes with a request.

    But they are no wider than the batch needs: most histories are shorter than they may be, and what reads them takes
    its time for each place.

    Args:
        history: int32 [batch_size, any width] item indices, oldest first, padding and unknown items anywhere.
        context: What is known of each of these items: tensors of the same shape.
        history_length: The most recent known items that are kept.

    Returns:
        The kept items in their order, int32 [batch_size, width], padded at the end, and the context of these very
        items, 0 where padded. The width is the least multiple of BUCKET that holds all of them, at most history_length.
    """
    known = tf.cast(_newest_first(history, history_length) >= NUM_SPECIAL, tf.int32)
    # top_k of equal values keeps their order: the known items move to the front, the newest first.
    _, places = tf.math.top_k(known, history_length)
    lengths = tf.minimum(tf.reduce_sum(known, axis=1), history_length)
    longest = tf.maximum(tf.reduce_max(lengths), 1)
    width = tf.minimum(-(-longest // BUCKET) * BUCKET, history_length)
    filled = tf.sequence_mask(lengths, width)

    def keep(values: tf.Tensor) -> tf.Tensor:
        kept = tf.gather(_newest_first(values, history_length), places[:, :width], batch_dims=1)
        kept = tf.where(filled, kept, tf.zeros([], kept.dtype))
        return tf.reverse_sequence(kept, lengths, seq_axis=1)

    return keep(history), {name: keep(values) for name, values in context.items()}


def _newest_first(values: tf.Tensor, history_length: int) -> tf.Tensor:
    """Reversed, and at least as wide as the history."""
    return tf.reverse(tf.pad(values, [[0, 0], [history_length, 0]]), axis=[1])
