"""Histories and their next items, through tf.data."""

import numpy as np
import tensorflow as tf

from tfrec.datasets.dataset import Ragged
from tfrec.errors import InputError
from tfrec.features.epochs import EpochBatches
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING


class NextItemExamples(EpochBatches):
    """Every training interaction that has a past is an example: the history before it, and the item itself.

    Nothing is stored per example: an example is a position in the end-to-end array of all interactions, and its
    history is gathered from there.

    Args:
        sequences: Each user's training interactions, oldest first; row u is user code u.
        history_length: The most recent interactions that are kept.

    Raises:
        InputError: No user has two interactions.
    """

    def __init__(self, sequences: Ragged, history_length: int) -> None:
        lengths = np.diff(sequences.offsets)
        starts = np.repeat(sequences.offsets[:-1], lengths)
        positions = np.flatnonzero(np.arange(len(sequences.values)) > starts)
        if not len(positions):
            raise InputError(
                "Expected users with at least two training interactions, to learn the next item from. "
                f"Received: {len(sequences.values)} training interactions of {len(sequences)} users, none with a past."
            )
        super().__init__(positions)
        self.history_length = history_length
        self._items = tf.constant(sequences.values + NUM_SPECIAL, tf.int32)
        self._starts = tf.constant(starts, tf.int64)
        self._users = tf.constant(np.repeat(np.arange(len(sequences)), lengths) + NUM_SPECIAL, tf.int32)

    def batch(self, positions: tf.Tensor) -> dict[str, tf.Tensor]:
        """The examples at some positions.

        Args:
            positions: int64 [batch_size]

        Returns:
            history: int32 [batch_size, history_length] item indices, oldest first, padded at the end.
            user: int32 [batch_size] user indices. target: int32 [batch_size] item indices.
        """
        starts = tf.maximum(tf.gather(self._starts, positions), positions - self.history_length)  # [batch_size]
        sources = starts[:, tf.newaxis] + tf.range(self.history_length, dtype=tf.int64)  # [batch_size, history_length]
        past = sources < positions[:, tf.newaxis]
        history = tf.where(past, tf.gather(self._items, tf.where(past, sources, 0)), PADDING)
        return {
            "history": history,
            "user": tf.gather(self._users, positions),
            "target": tf.gather(self._items, positions),
        }


def target_counts(sequences: Ragged, num_items: int) -> np.ndarray:
    """How often each item is an example's target, int64 [num_items]: its interactions, but for users' first ones."""
    has_past = np.ones(len(sequences.values), bool)
    has_past[sequences.offsets[:-1][np.diff(sequences.offsets) > 0]] = False
    return np.bincount(sequences.values[has_past], minlength=num_items)


def pad_histories(histories: Ragged, history_length: int) -> np.ndarray:
    """The latest items of each row, as indices: int32 [num_rows, history_length], oldest first, padded at the end."""
    ends = histories.offsets[1:]
    starts = np.maximum(histories.offsets[:-1], ends - history_length)
    sources = starts[:, None] + np.arange(history_length)
    past = sources < ends[:, None]
    if not len(histories.values):
        return np.full(past.shape, PADDING, np.int32)
    return np.where(past, histories.values[np.where(past, sources, 0)] + NUM_SPECIAL, PADDING).astype(np.int32)


def compact_history(history: tf.Tensor, history_length: int) -> tf.Tensor:
    """What `pad_histories` makes of a history that comes with a request: the graph's side of the same encoding.

    Args:
        history: int32 [batch_size, any width] item indices, oldest first, padding and unknown items anywhere.
        history_length: The most recent known items that are kept.

    Returns:
        int32 [batch_size, history_length]: the kept items in their order, padded at the end.
    """
    newest_first = tf.reverse(tf.pad(history, [[0, 0], [history_length, 0]]), axis=[1])
    known = tf.cast(newest_first >= NUM_SPECIAL, tf.int32)
    # top_k of equal values keeps their order: the known items move to the front, the newest first.
    _, places = tf.math.top_k(known, history_length)
    kept = tf.gather(newest_first, places, batch_dims=1)
    lengths = tf.minimum(tf.reduce_sum(known, axis=1), history_length)
    kept = tf.where(tf.sequence_mask(lengths, history_length), kept, PADDING)
    return tf.ensure_shape(tf.reverse_sequence(kept, lengths, seq_axis=1), [None, history_length])
