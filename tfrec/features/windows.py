"""Whole histories through tf.data: every place predicts the next."""

import numpy as np
import tensorflow as tf

from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.features.numbered_examples import NumberedExamples
from tfrec.features.sequence_augmentation import SequenceAugmentation
from tfrec.features.sequences import ITEMS, gather_history, history_tensors
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING


class SequenceWindows(NumberedExamples):
    """Windows of `history_length` places over each user's interactions; a place's target is the interaction after it.

    A history that is longer than a window is not cut off: it gets several windows, each of which begins with half a
    window of context without targets, so that every interaction but a user's first is a target exactly once, and all
    but those of the first window see at least half a window before them.

    Args:
        sequences: Each user's training interactions, oldest first.
        history_length: Places of a window.
        augmentation: Varies the windows of an epoch; None: they are as they are.
        users: The user code of each row, int32 [num_rows]; None: row u is user code u.

    Raises:
        InputError: No user has two interactions.
    """

    def __init__(
        self,
        sequences: Ragged,
        history_length: int,
        augmentation: SequenceAugmentation | None = None,
        users: np.ndarray | None = None,
    ) -> None:
        lengths = np.diff(sequences.offsets)
        counts = self.num_examples(lengths, history_length)
        rows = np.repeat(np.arange(len(sequences)), counts)
        if not len(rows):
            raise InputError(
                "Expected users with at least two training interactions, to learn the next item from. "
                f"Received: {len(sequences.values)} training interactions of {len(sequences)} users, none with a past."
            )
        # Targets 1 … history_length are the first window's; each further one takes `stride` more.
        stride = _stride(history_length)
        numbers = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, … within a user
        first_targets = np.where(numbers == 0, 1, 1 + history_length + (numbers - 1) * stride)
        ends = np.where(numbers == 0, 1 + history_length, first_targets + stride)
        ends = np.minimum(ends, lengths[rows])  # one past the last target
        offsets = sequences.offsets[:-1][rows]
        tensors = {
            "starts": tf.constant(offsets + np.maximum(ends - 1 - history_length, 0), tf.int64),
            "first_targets": tf.constant(offsets + first_targets, tf.int64),
            "ends": tf.constant(offsets + ends, tf.int64),
            "users": tf.constant((rows if users is None else users[rows]) + NUM_SPECIAL, tf.int32),
            **history_tensors(sequences),
        }
        super().__init__(np.arange(len(rows)), np.minimum(ends - 1, history_length), tensors)
        self.history_length = history_length
        self.augmentation = augmentation

    @staticmethod
    def num_examples(lengths: np.ndarray, history_length: int) -> np.ndarray:
        """How many windows sequences of these lengths have, each: int64 [num_rows]."""
        further = np.maximum(lengths - 1 - history_length, 0)
        return np.where(lengths > 1, 1 + -(-further // _stride(history_length)), 0)

    @classmethod
    def targets_per_window(cls, lengths: np.ndarray, history_length: int) -> float:
        """The mean over all windows of sequences of these lengths."""
        return float(np.maximum(lengths - 1, 0).sum() / cls.num_examples(lengths, history_length).sum())

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
        starts, first_targets, ends = (
            tf.gather(self.tensors[name], windows)[:, tf.newaxis] for name in ("starts", "first_targets", "ends")
        )
        places = starts + tf.range(tf.reduce_max(ends - 1 - starts))
        filled = places + 1 < ends  # [batch_size, longest]
        asked = filled & (places + 1 >= first_targets)
        return {
            **gather_history(self.tensors, places, filled),
            "target": tf.where(asked, tf.gather(self.tensors[ITEMS], tf.where(asked, places + 1, 0)), PADDING),
            "user": tf.gather(self.tensors["users"], windows),
        }


def _stride(history_length: int) -> int:
    return max(history_length // 2, 1)
