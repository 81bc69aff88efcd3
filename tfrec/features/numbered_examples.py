"""Examples that are numbered, and gathered a batch at a time."""

import copy
from abc import abstractmethod
from collections.abc import Mapping
from typing import Self

import numpy as np
import tensorflow as tf

from tfrec.features.epochs import EpochBatches


class NumberedExamples(EpochBatches):
    """Examples that are gathered from tensors in memory.

    Args:
        numbers: What `batch` knows the examples by: int64 [num_examples].
        widths: How much room each example takes: those of like width share a batch, so that little of it is padding.
            None: all take the same.
        tensors: What a subclass gathers batches from, by name.

    Attributes:
        tensors: These, and what the class itself needs.
    """

    def __init__(
        self, numbers: np.ndarray, widths: np.ndarray | None = None, tensors: Mapping[str, tf.Tensor] | None = None
    ) -> None:
        self.tensors = {"numbers": tf.constant(numbers, tf.int64), **(tensors or {})}
        if widths is not None:
            self.tensors["widths"] = tf.constant(widths, tf.int32)

    @property
    def numbers(self) -> tf.Tensor:
        """What `batch` knows the examples by: int64 [num_examples]."""
        return self.tensors["numbers"]

    def __len__(self) -> int:
        return len(self.numbers)

    @abstractmethod
    def batch(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        """The examples with these numbers, int64 [batch_size]."""

    def varied(self, batch: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What training makes of a batch, by a seed, int32 [2]; as it is, unless a subclass varies it."""
        return batch

    def dataset(
        self, batch_size: int, seed: int, first_epoch: int, num_epochs: int, first_step: int = 0
    ) -> tf.data.Dataset:
        """See EpochBatches."""
        num_batches = self.num_batches(batch_size)

        def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
            skipped = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
            numbers = self.in_batches(batch_size, num_batches, tf.stack([seed, epoch]))[skipped:]
            steps = tf.range(skipped, num_batches)
            return tf.data.Dataset.from_tensor_slices((numbers, tf.fill([len(steps)], epoch), steps))

        def make(numbers: tf.Tensor, epoch: tf.Tensor, step: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.made(numbers, epoch, step, seed)

        epochs = tf.data.Dataset.range(first_epoch, num_epochs)
        return epochs.flat_map(epoch_batches).map(make, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4)

    def in_batches(self, batch_size: int, num_batches: int | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """The numbers, shuffled: int64 [num_batches, batch_size].

        What does not fit is left out; where there is room, the first ones come again. `seed`: int64 [2].
        """
        shuffle = tf.random.experimental.stateless_shuffle
        order = shuffle(tf.range(tf.size(self.numbers, tf.int64)), seed=seed)
        room = tf.cast(num_batches, tf.int64) * batch_size
        order = order[:room]
        widths = self.tensors.get("widths")
        if widths is not None:
            order = tf.gather(order, tf.argsort(tf.gather(widths, order), stable=True))
        places = tf.range(room) % tf.size(order, tf.int64)
        # [num_batches * batch_size] -> [num_batches, batch_size]
        batches = tf.reshape(tf.gather(tf.gather(self.numbers, order), places), [-1, batch_size])
        return batches if widths is None else shuffle(batches, seed=seed[::-1])

    def made(self, numbers: tf.Tensor, epoch: tf.Tensor, step: tf.Tensor, seed: int) -> dict[str, tf.Tensor]:
        """The batch of these numbers, as training sees it at a step of an epoch."""
        return self.varied(self.batch(numbers), tf.random.fold_in(tf.stack([epoch, step]), seed))

    def of_tensors(self, tensors: dict[str, tf.Tensor]) -> Self:
        """Other examples of this kind: of other tensors, by the same names."""
        other = copy.copy(self)
        other.tensors = tensors
        return other
