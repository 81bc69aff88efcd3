"""Histories that training varies."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrec.config import AugmentationConfig
from tfrec.features.context import HISTORY_TIME
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING, UNKNOWN

Draws = tuple[tf.Tensor, tf.Tensor, tf.Tensor]
"""The places that stand at each new place, what replaces them (0: nothing), and where is still asked."""


class SequenceAugmentation:
    r"""Varies some of the histories of a batch, as SequenceWindows makes it; which ones and how follows from a seed.

    With a history $s = [v_1, \dots, v_n]$, by Xie et al. 2022, "Contrastive learning for sequential recommendation"
    (CL4SRec), and by Liu et al. 2021, "Contrastive self-supervised sequential recommendation with robust augmentation"
    (CoSeRec), one of:

    - `crop`: $[v_c, \dots, v_{c + L - 1}]$, $L = \lfloor \eta n \rfloor$, at least 1.
    - `mask`: each $v_t$ is the unknown item with probability $\gamma$.
    - `reorder`: $[v_r, \dots, v_{r + L - 1}]$, $L = \lfloor \beta n \rfloor$, at least 2, shuffled.
    - `insert`: with a probability for each $t$, a similar item beside $v_t$.
    - `substitute`: with a probability for each $t$, a similar item in place of $v_t$.

    (CL4SRec and CoSeRec draw a share of the places, rounded down. Most sparse histories are too short for that: here
    each place is drawn by itself.)

    There, two variants of a history are to have like vectors, and next items are learned from the true history. Here a
    variant is what the next items are learned from, so that what is asked must be right, and must not have been read:

    - A target is always the item that truly came next, never a similar or a hidden one.
    - Within what is reordered only the last place is asked. The others have read some of what came after them.
    - CoSeRec inserts before $v_t$, which would announce it to the place that is asked for it: here, after it. The place
      of the inserted item is then asked in place of $v_t$'s, so that each target is still asked once.
    - An item of the user's own window is neither inserted nor substituted: it may be what is asked.
    - Nothing is asked where nothing but hidden items was read.

    What histories tell beside the items goes with the items. Times stay in their order.

    Args:
        settings: What is done, and how much of it.
        history_length: Places of a window. What an insertion leaves no room for is left out at the beginning.
        similar: For each item index those that are like it: int32 [NUM_SPECIAL + num_items, similar_items], the rest of
            a row padding; needed by `insert` and `substitute`.

    Raises:
        ValueError: They are needed and missing.

    Example:
        >>> augmentation = SequenceAugmentation(AugmentationConfig(sequences=("crop",)), history_length=50)
        >>> batch = augmentation(windows.batch(numbers), seed=tf.constant([0, 1]))
    """

    def __init__(self, settings: AugmentationConfig, history_length: int, similar: np.ndarray | None = None) -> None:
        if similar is None and {"insert", "substitute"} & set(settings.sequences):
            raise ValueError(f"Expected similar items for {settings.sequences}. Received: None")
        self.settings = settings
        self.history_length = history_length
        self._similar = None if similar is None else tf.constant(similar, tf.int32)

    def __call__(self, batch: Mapping[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The batch with some histories varied.

        Args:
            batch: `history` and `target` int32 [batch_size, longest], `user`, and the context by its names.
            seed: int32 [2].

        Returns:
            The same tensors; after an insertion wider, up to history_length.
        """
        history, target = batch["history"], batch["target"]
        seeds = tf.unstack(tf.random.split(seed, 2 + len(self.settings.sequences)))
        is_varied = _uniform(tf.shape(history)[:1], seeds[0]) < self.settings.share
        kind = tf.cast(_uniform(tf.shape(history)[:1], seeds[1]) * len(self.settings.sequences), tf.int32)
        kind = tf.where(is_varied, kind, -1)
        draw = {
            "crop": self._crop,
            "mask": self._mask,
            "reorder": self._reorder,
            "insert": self._insert,
            "substitute": self._substitute,
        }
        drawn = [draw[name](history, target, one) for name, one in zip(self.settings.sequences, seeds[2:], strict=True)]
        as_it_is = _every_place(history), tf.zeros_like(history), tf.ones_like(history, bool)
        nowhere = tf.shape(history)[1]  # A column of padding behind the last.
        width = tf.reduce_max([tf.shape(each[0])[1] for each in (as_it_is, *drawn)])
        sources, replaced, asked = _wide(as_it_is, width, nowhere)
        for number, each in enumerate(drawn):
            chosen = kind[:, tf.newaxis] == number
            pairs = zip(_wide(each, width, nowhere), (sources, replaced, asked), strict=True)
            sources, replaced, asked = (tf.where(chosen, new, old) for new, old in pairs)
        longest = tf.reduce_max(tf.reduce_sum(tf.cast(_at(history, sources) != PADDING, tf.int32), axis=1))
        sources, replaced, asked = (each[:, :longest] for each in (sources, replaced, asked))
        items = tf.where(replaced != PADDING, replaced, _at(history, sources))
        asked &= tf.cumsum(tf.cast(items >= NUM_SPECIAL, tf.int32), axis=1) > 0
        # Where items change their order, what is asked of a place and when it was stay there.
        in_order = tf.sort(sources, axis=1)
        varied = {"history": items, "target": tf.where(asked, _at(target, in_order), PADDING), "user": batch["user"]}
        for name in batch.keys() - varied.keys():
            varied[name] = _at(batch[name], in_order if name == HISTORY_TIME else sources)
        return varied

    def _crop(self, history: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> Draws:
        lengths = _lengths(history)
        places = tf.range(tf.shape(history)[1])
        kept = tf.maximum(_share_of(lengths, self.settings.crop), 1)
        # A window may begin with places that are not asked: what is left reaches those that are.
        first_asked = tf.reduce_min(tf.where(target != PADDING, places, tf.shape(history)[1] - 1), axis=1)
        first = _between(tf.maximum(first_asked - kept + 1, 0), lengths - kept, seed)
        within = places < kept[:, tf.newaxis]
        sources = tf.where(within, first[:, tf.newaxis] + places, tf.shape(history)[1])
        return sources, tf.zeros_like(history), within

    def _mask(self, history: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> Draws:
        hidden = _uniform(tf.shape(history), seed) < self.settings.mask
        hidden &= history != PADDING
        return _every_place(history), tf.where(hidden, UNKNOWN, PADDING), tf.ones_like(history, bool)

    def _reorder(self, history: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> Draws:
        lengths = _lengths(history)
        where, order = tf.unstack(tf.random.split(seed, 2))
        moved = tf.minimum(tf.maximum(_share_of(lengths, self.settings.reorder), 2), lengths)
        first = _between(tf.zeros_like(lengths), lengths - moved, where)[:, tf.newaxis]
        places = _every_place(history)
        last = first + moved[:, tf.newaxis] - 1
        within = (places >= first) & (places <= last)
        # Those within have keys between the first and the one after it; all others keep their places.
        keys = tf.where(within, _uniform(tf.shape(history), order), 0.0)
        keys += tf.cast(tf.where(within, first, places), tf.float32)
        sources = tf.argsort(keys, axis=1, stable=True)
        return sources, tf.zeros_like(history), ~within | (places == last)

    def _substitute(self, history: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> Draws:
        similar = self._draw_similar(history, target, self.settings.substitute, seed)
        return _every_place(history), similar, tf.ones_like(history, bool)

    def _insert(self, history: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> Draws:
        similar = self._draw_similar(history, target, self.settings.insert, seed)
        taken = tf.cast(history != PADDING, tf.int32) + tf.cast(similar != PADDING, tf.int32)  # 0, 1 or 2 places
        ends = tf.cumsum(taken, axis=1)
        left_out = tf.maximum(ends[:, -1:] - self.history_length, 0)
        new_places = left_out + tf.range(tf.minimum(tf.reduce_max(ends), self.history_length))
        sources = tf.searchsorted(ends, new_places, side="right")  # past the last end: padding
        is_last = new_places == _at(ends, sources) - 1
        inserted = is_last & (_at(taken, sources) == 2)
        return sources, tf.where(inserted, _at(similar, sources), PADDING), is_last

    def _draw_similar(self, history: tf.Tensor, target: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
        """For some of the places an item that is like the one there; 0 elsewhere: int32 [batch_size, longest]."""
        whether, which = tf.unstack(tf.random.split(seed, 2))
        choices = tf.gather(self._similar, history)  # [batch_size, longest, similar_items]
        count = tf.reduce_sum(tf.cast(choices != PADDING, tf.float32), axis=2)
        number = tf.cast(_uniform(tf.shape(history), which) * count, tf.int32)
        drawn = tf.gather(choices, number, batch_dims=2)
        of_user = tf.concat([history, target], axis=1)[:, tf.newaxis]  # [batch_size, 1, 2 * longest]
        is_free = ~tf.reduce_any(drawn[:, :, tf.newaxis] == of_user, axis=2)
        return tf.where(is_free & (_uniform(tf.shape(history), whether) < share), drawn, PADDING)


def _uniform(shape: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    return tf.random.stateless_uniform(shape, seed)


def _between(low: tf.Tensor, high: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Whole numbers from low to high, both included."""
    return low + tf.cast(_uniform(tf.shape(low), seed) * tf.cast(high - low + 1, tf.float32), tf.int32)


def _lengths(history: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(history != PADDING, tf.int32), axis=1)


def _share_of(lengths: tf.Tensor, share: float) -> tf.Tensor:
    """Rounded down, but for what floating-point numbers fall short of."""
    return tf.cast(tf.cast(lengths, tf.float32) * share + 1e-4, tf.int32)


def _every_place(history: tf.Tensor) -> tf.Tensor:
    return tf.broadcast_to(tf.range(tf.shape(history)[1]), tf.shape(history))


def _at(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """Values [batch_size, width] at places of [0, width]; 0 at the place behind the last."""
    return tf.gather(tf.pad(values, [[0, 0], [0, 1]]), places, batch_dims=1)


def _wide(draws: Draws, width: tf.Tensor, nowhere: tf.Tensor) -> Draws:
    """The same, padded to so many places."""
    sources, replaced, asked = draws
    room = [[0, 0], [0, width - tf.shape(sources)[1]]]
    return tf.pad(sources, room, constant_values=nowhere), tf.pad(replaced, room), tf.pad(asked, room)
