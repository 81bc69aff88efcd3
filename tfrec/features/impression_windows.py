"""Whole histories of impressions through tf.data: every place is an example."""

from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from tfrec.datasets.impressions import Impressions
from tfrec.datasets.splits import TRAINING, runs
from tfrec.features.impression_rows import CONTEXT, HistoryConfig
from tfrec.features.numbered_examples import NumberedExamples
from tfrec.features.vocabulary import NUM_SPECIAL

WINDOWS_AT_ONCE = 64


class ImpressionWindows(NumberedExamples):
    """Windows of at most `history.length` places over what users were shown; each impression of a part is asked once.

    What is longer than a window gets several, each of which begins with at least half a window that is not asked.

    Args:
        impressions: All of them; of those that are remembered, windows are made.
        context: The encoded columns of the impressions, by name: arrays [num_impressions, …].
        history: How long a window is; it holds what was not liked too.
        part: What is asked, as in `Impressions.parts`.

    Attributes:
        num_asked: Of all windows together.
    """

    def __init__(
        self,
        impressions: Impressions,
        context: Mapping[str, np.ndarray],
        history: HistoryConfig,
        part: int = TRAINING,
    ) -> None:
        # Up to the last that a user is asked.
        asked = np.flatnonzero(impressions.remembered & (impressions.parts == part))
        last = np.zeros(int(impressions.users.max()) + 1, np.int64)
        last[impressions.users[asked]] = asked + 1
        before_last = np.arange(len(impressions)) < last[impressions.users]
        rows = np.flatnonzero(impressions.remembered & before_last)
        users = impressions.users[rows]
        firsts, lengths = runs(users)
        stride = max(history.length // 2, 1)
        counts = 1 + -(-np.maximum(lengths - history.length, 0) // stride)
        owners = np.repeat(np.arange(len(firsts)), counts)
        numbers = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, … within a user
        asked_from = np.where(numbers == 0, 0, history.length + (numbers - 1) * stride)
        ends = np.minimum(np.where(numbers == 0, history.length, asked_from + stride), lengths[owners])
        starts = np.maximum(ends - history.length, 0)
        is_asked = impressions.parts[rows] == part
        num_asked = np.concatenate([[0], np.cumsum(is_asked)])
        asks = num_asked[firsts[owners] + ends] > num_asked[firsts[owners] + asked_from]
        owners, starts, asked_from, ends = (each[asks] for each in (owners, starts, asked_from, ends))
        super().__init__(np.arange(len(owners)), ends - starts)
        self.num_asked = int(num_asked[-1])
        self._is_asked = tf.constant(is_asked)
        self._starts, self._asked_from, self._ends = (
            tf.constant(firsts[owners] + each, tf.int64) for each in (starts, asked_from, ends)
        )
        self._users = tf.constant(users[firsts[owners]] + NUM_SPECIAL, tf.int32)
        self._past = tf.constant(np.searchsorted(rows, impressions.past[rows]), tf.int64)
        self._columns = {
            "item": tf.constant(impressions.items[rows] + NUM_SPECIAL, tf.int32),
            "label": tf.constant(impressions.labels[rows], tf.float32),
            **{CONTEXT + name: tf.constant(array[rows]) for name, array in context.items()},
        }

    def batch(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        """Some of the windows.

        Args:
            numbers: int64 [batch_size]

        Returns:
            user: int32 [batch_size] user indices. item: int32 [batch_size, longest] item indices, oldest first, padded
            at the end to the longest. label: float32 of the same shape, 0 where padded. asked: int32, 1 for those that
            are examples. past: int32, how many of the window's places, from its first, are the history of each. And
            the encoded columns of the impressions, by name, behind CONTEXT: [batch_size, longest, …].
        """
        starts, asked_from, ends = (
            tf.gather(each, numbers)[:, tf.newaxis] for each in (self._starts, self._asked_from, self._ends)
        )
        places = starts + tf.range(tf.reduce_max(ends - starts))  # [batch_size, longest]
        filled = places < ends
        safe = tf.where(filled, places, 0)
        columns = {name: tf.gather(array, safe) for name, array in self._columns.items()}
        return {
            **columns,
            "item": tf.where(filled, columns["item"], 0),
            "label": tf.where(filled, columns["label"], 0.0),
            "user": tf.gather(self._users, numbers),
            # No bool: tf.distribute can't put those of several devices together.
            "asked": tf.cast(filled & (places >= asked_from) & tf.gather(self._is_asked, safe), tf.int32),
            "past": tf.where(filled, tf.cast(tf.maximum(tf.gather(self._past, safe) - starts, 0), tf.int32), 0),
        }

    def in_order(self) -> Iterator[dict[str, tf.Tensor]]:
        """All windows once, in batches; what is asked comes in the impressions' order."""
        for low in range(0, len(self), WINDOWS_AT_ONCE):
            yield self.batch(self.numbers[low : low + WINDOWS_AT_ONCE])
