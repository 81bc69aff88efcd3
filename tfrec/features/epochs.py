"""Examples in shuffled, full batches, epoch after epoch."""

from abc import ABC, abstractmethod

import tensorflow as tf


class EpochBatches(ABC):
    """Examples, in batches of an order that follows from a seed and the epoch."""

    @abstractmethod
    def __len__(self) -> int:
        """Examples in an epoch."""

    @abstractmethod
    def dataset(
        self, batch_size: int, seed: int, first_epoch: int, num_epochs: int, first_step: int = 0
    ) -> tf.data.Dataset:
        """The batches of epochs `first_epoch` … `num_epochs - 1`, end to end; of the first epoch from `first_step` on.

        The order of an epoch, and how its batches are varied, are a function of the seed and the epoch alone, so a
        resumed run sees what an undisturbed one sees. Batches that are skipped are never made.
        """

    def num_batches(self, batch_size: int) -> int:
        """Batches in an epoch. All are full: the last is filled up from the epoch's beginning."""
        return -(-len(self) // batch_size)

    def fitting_batch_size(self, batch_size: int, num_devices: int) -> int:
        """The batch size, or what is enough for all examples and can be shared by the devices, if that is less."""
        return min(batch_size, -(-len(self) // num_devices) * num_devices)
