"""Impressions through tf.data: each with the history that its user had then."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from tfrec.datasets.impressions import Impressions
from tfrec.features.numbered_examples import NumberedExamples
from tfrec.features.vocabulary import NUM_SPECIAL

CONTEXT = "context/"
"""Before the names of columns, which may be called like anything else."""
ITEMS_AT_ONCE = 200_000
"""Of the histories that are evaluated together."""


@dataclass(frozen=True)
class HistoryConfig:
    """What a history holds.

    Attributes:
        length: The most recent impressions that are kept.
        labels: It holds what was not liked too, and says which. False: what was liked alone.
    """

    length: int
    labels: bool = False

    def rows(self, impressions: Impressions) -> np.ndarray:
        """The impressions that are in the histories of later ones, in order: int64 [num_remembered]."""
        return np.flatnonzero(impressions.remembered & (self.labels | (impressions.labels > 0)))


class ImpressionRows(NumberedExamples):
    """Some of the impressions, each an example. Histories are gathered from the impressions themselves.

    Args:
        impressions: All of them.
        context: The encoded columns of the impressions, by name: arrays [num_impressions, …].
        history: What of a user's past is seen.
        part: Which impressions are the examples, as in `Impressions.parts`.
    """

    def __init__(
        self, impressions: Impressions, context: Mapping[str, np.ndarray], history: HistoryConfig, part: int
    ) -> None:
        super().__init__(np.flatnonzero(impressions.parts == part))
        self.history = history
        rows = history.rows(impressions)
        # Places in `rows` of a history's begin and end.
        self._begins = tf.constant(np.searchsorted(rows, impressions.first), tf.int64)
        self._ends = tf.constant(np.searchsorted(rows, impressions.past), tf.int64)
        self._history_items = tf.constant(impressions.items[rows] + NUM_SPECIAL, tf.int32)
        self._history_labels = tf.constant(impressions.labels[rows], tf.float32)
        self._columns = {
            "user": tf.constant(impressions.users + NUM_SPECIAL, tf.int32),
            "item": tf.constant(impressions.items + NUM_SPECIAL, tf.int32),
            "label": tf.constant(impressions.labels, tf.float32),
            "outcomes": tf.constant(impressions.outcomes, tf.float32),
            "value": tf.constant(impressions.values, tf.float32),
            **{CONTEXT + name: tf.constant(array) for name, array in context.items()},
        }

    def batch(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        """Some of the impressions.

        Args:
            numbers: int64 [batch_size]

        Returns:
            user, item: int32 [batch_size] indices. label, value: float32 [batch_size]. outcomes: float32 [batch_size,
            num_outcomes]. history: int32 [batch_size, history_length] item indices, oldest first, padded at the end.
            history_label: float32 of the same shape, 0 where padded. And the encoded columns of the impressions, by
            name, behind CONTEXT.
        """
        ends = tf.gather(self._ends, numbers)[:, tf.newaxis]
        begins = tf.maximum(tf.gather(self._begins, numbers)[:, tf.newaxis], ends - self.history.length)
        places = begins + tf.range(self.history.length, dtype=tf.int64)  # [batch_size, history_length]
        filled = places < ends
        places = tf.where(filled, places, 0)
        return {
            **{name: tf.gather(array, numbers) for name, array in self._columns.items()},
            "history": tf.where(filled, tf.gather(self._history_items, places), 0),
            "history_label": tf.where(filled, tf.gather(self._history_labels, places), 0.0),
        }

    def in_order(self) -> Iterator[dict[str, tf.Tensor]]:
        """All examples once, in batches."""
        step = max(ITEMS_AT_ONCE // self.history.length, 1)
        for low in range(0, len(self), step):
            yield self.batch(self.numbers[low : low + step])
