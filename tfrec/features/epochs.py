"""Examples in shuffled, full batches, epoch after epoch."""

from abc import ABC, abstractmethod

import numpy as np
import tensorflow as tf


class EpochBatches(ABC):
    """Examples that are numbered, and gathered a batch at a time.

    Args:
        numbers: What `batch` knows the examples by: int64 [num_examples].
        widths: How much room each example takes: those of like width share a batch, so that little of it is padding.
            None: all take the same.
    """

    def __init__(self, numbers: np.ndarray, widths: np.ndarray | None = None) -> None:
        self.numbers = tf.constant(numbers, tf.int64)
        self._widths = None if widths is None else tf.constant(widths, tf.int32)

    def __len__(self) -> int:
        return len(self.numbers)

    @abstractmethod
    def batch(self, numbers: tf.Tensor) -> dict[str, tf.Tensor]:
        """The examples with these numbers, int64 [batch_size]."""

    def varied(self, batch: dict[str, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """What training makes of a batch, by a seed, int32 [2]; as it is, unless a subclass varies it."""
        return batch

    def num_batches(self, batch_size: int) -> int:
        """Batches in an epoch. All are full: the last is filled up from the epoch's beginning."""
        return -(-len(self) // batch_size)

    def fitting_batch_size(self, batch_size: int, num_devices: int) -> int:
        """The batch size, or what is enough for all examples and can be shared by the devices, if that is less."""
        return min(batch_size, -(-len(self) // num_devices) * num_devices)

    def dataset(
        self, batch_size: int, seed: int, first_epoch: int, num_epochs: int, first_step: int = 0
    ) -> tf.data.Dataset:
        """The batches of epochs `first_epoch` … `num_epochs - 1`, end to end; of the first epoch from `first_step` on.

        The order of an epoch, and how its batches are varied, are a function of the seed and the epoch alone, so a
        resumed run sees what an undisturbed one sees. Batches that are skipped are never made.
        """
        shuffle = tf.random.experimental.stateless_shuffle
        places = tf.range(self.num_batches(batch_size) * batch_size, dtype=tf.int64) % len(self)

        def epoch_batches(epoch: tf.Tensor) -> tf.data.Dataset:
            order = shuffle(tf.range(len(self), dtype=tf.int64), seed=tf.stack([seed, epoch]))
            if self._widths is not None:
                order = tf.gather(order, tf.argsort(tf.gather(self._widths, order), stable=True))
            # [num_batches * batch_size] -> [num_batches, batch_size]
            batches = tf.reshape(tf.gather(tf.gather(self.numbers, order), places), [-1, batch_size])
            if self._widths is not None:
                batches = shuffle(batches, seed=tf.stack([epoch, seed]))
            seeds = tf.stack([tf.fill([len(batches)], epoch), tf.range(len(batches), dtype=tf.int64)], axis=1)
            skipped = tf.where(epoch == first_epoch, first_step, 0)
            return tf.data.Dataset.from_tensor_slices((batches[skipped:], seeds[skipped:]))

        def make(numbers: tf.Tensor, place: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.varied(self.batch(numbers), tf.random.fold_in(place, seed))

        epochs = tf.data.Dataset.range(first_epoch, num_epochs)
        return epochs.flat_map(epoch_batches).map(make, num_parallel_calls=tf.data.AUTOTUNE).prefetch(4)
