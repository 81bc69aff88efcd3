"""Whole histories through tf.data: every place predicts the next."""

import numpy as np
import tensorflow as tf

from tfrec.datasets.dataset import Ragged
from tfrec.errors import InputError
from tfrec.features.epochs import EpochBatches
from tfrec.features.sequence_augmentation import SequenceAugmentation
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING


class SequenceWindows(EpochBatches):
    """Windows of `history_length` places over each user's interactions; a place's target is the interaction after it.

    A history that is longer than a window is not cut off: it gets several windows, each of which begins with half a
    window of context without targets, so that every interaction but a user's first is a target exactly once, and all
    but those of the first window see at least half a window before them.

    Args:
        sequences: Each user's training interactions, oldest first; row u is user code u.
        history_length: Places of a window.
        augmentation: Varies the windows of an epoch; None: they are as they are.

    Attributes:
        num_targets: Of all windows together.

    Raises:
        InputError: No user has two interactions.
    """

    def __init__(
        self, sequences: Ragged, history_length: int, augmentation: SequenceAugmentation | None = None
    ) -> None:
        lengths = np.diff(sequences.offsets)
        stride = max(history_length // 2, 1)
        # Targets 1 … history_length are the first window's; each further one takes `stride` more.
        further = np.maximum(lengths - 1 - history_length, 0)
        counts = np.where(lengths > 1, 1 + -(-further // stride), 0)
        users = np.repeat(np.arange(len(sequences)), counts)
        if not len(users):
            raise InputError(
                "Expected users with at least two training interactions, to learn the next item from. "
                f"Received: {len(sequences.values)} training interactions of {len(sequences)} users, none with a past."
            )
        numbers = np.arange(len(users)) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, … within a user
        first_targets = np.where(numbers == 0, 1, 1 + history_length + (numbers - 1) * stride)
        ends = np.where(numbers == 0, 1 + history_length, first_targets + stride)
        ends = np.minimum(ends, lengths[users])  # one past the last target
        widths = np.minimum(ends - 1, history_length)
        super().__init__(np.arange(len(users)), widths)
        self.history_length = history_length
        self.augmentation = augmentation
        self.num_targets = int(lengths[lengths > 1].sum() - (lengths > 1).sum())
        offsets = sequences.offsets[:-1][users]
        self._starts = tf.constant(offsets + np.maximum(ends - 1 - history_length, 0), tf.int64)
        self._first_targets = tf.constant(offsets + first_targets, tf.int64)
        self._ends = tf.constant(offsets + ends, tf.int64)
        self._users = tf.constant(users + NUM_SPECIAL, tf.int32)
        self._items = tf.constant(sequences.values + NUM_SPECIAL, tf.int32)
        self._context = {name: tf.constant(array) for name, array in sequences.context.items()}

    def varied(self, batch: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The batch, some of its windows augmented, if there is an augmentation."""
        return batch if self.augmentation is None else self.augmentation(batch, seed)

    def batch(self, windows: tf.Tensor) -> dict[str, tf.Tensor]:
        """Some of the windows.

        Args:
            windows: int64 [batch_size]

        Returns:
            history: int32 [batch_size, longest] item indices, oldest first, padded at the end to the longest.
            target: int32 [batch_size, longest], the item after each; padding where there is none to predict.
            user: int32 [batch_size] user indices.
            And what the context of the sequences tells of the items in the history, never of the target, by its names:
            [batch_size, longest], 0 where padded.
        """
        starts, ends = (tf.gather(each, windows)[:, tf.newaxis] for each in (self._starts, self._ends))
        places = starts + tf.range(tf.reduce_max(ends - 1 - starts))
        filled = places + 1 < ends  # [batch_size, longest]
        asked = filled & (places + 1 >= tf.gather(self._first_targets, windows)[:, tf.newaxis])
        history = {
            name: tf.where(filled, tf.gather(array, tf.where(filled, places, 0)), tf.zeros([], array.dtype))
            for name, array in {"history": self._items, **self._context}.items()
        }
        return {
            **history,
            "target": tf.where(asked, tf.gather(self._items, tf.where(asked, places + 1, 0)), PADDING),
            "user": tf.gather(self._users, windows),
        }
