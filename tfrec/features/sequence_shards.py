"""Examples of more interactions than the memory holds."""

from collections.abc import Callable
from functools import partial

import numpy as np
import tensorflow as tf

from tfrec.config import FeaturesConfig
from tfrec.datasets.ragged import Ragged, stretch
from tfrec.features.context import HISTORY_TIME
from tfrec.features.epochs import EpochBatches
from tfrec.features.numbered_examples import NumberedExamples
from tfrec.features.sequence_augmentation import SequenceAugmentation
from tfrec.features.sequences import NextItemExamples
from tfrec.features.windows import SequenceWindows

SHARDS_AT_ONCE = 64
"""From so many places of the file come the interactions that are shuffled together."""


class SequenceShards(EpochBatches):
    """Examples of sequences that lie on the disk, a group of shards at a time in memory.

    A shard is a stretch of users whose interactions lie end to end. In each epoch the shards are put into an order of
    its own; SHARDS_AT_ONCE after each other are read, in long stretches, and their examples shuffled as if they were
    all, while the next group is read. So every example comes once an epoch (but for the last batch of a group, which
    leaves fewer than a batch's examples out or takes some twice), each time among others; no user is in two groups of
    an epoch. There are two groups in memory, and of the others nothing.

    Args:
        sequences: Each user's training interactions, oldest first; row u is user code u. Memory-mapped, they are read
            when they are needed.
        counts: How many examples each row gives, int64 [num_rows].
        make: Makes the examples of some of the rows, given them and `users`, their user codes.
        interactions_at_once: So many interactions a group has, on average, or fewer.

    Attributes:
        bounds: The rows at which shards begin and end: int64 [num_shards + 1].

    Raises:
        InputError: There are no examples.
    """

    def __init__(
        self,
        sequences: Ragged,
        counts: np.ndarray,
        make: Callable[..., NumberedExamples],
        interactions_at_once: int,
    ) -> None:
        self.sequences = sequences
        total = int(sequences.offsets[-1])
        num_shards = -(-total // interactions_at_once) * SHARDS_AT_ONCE
        ends = np.linspace(0, total, num_shards + 1).round().astype(np.int64)
        self.bounds = np.unique(np.searchsorted(sequences.offsets, ends))
        so_far = np.concatenate([[0], np.cumsum(counts)])
        self._counts = np.diff(so_far[self.bounds])
        self._shards = np.flatnonzero(self._counts)
        self._make = make
        # All of one kind are made of tensors of the same names and types. Without any shard, this says what is missing.
        self._like = self._read(self._shards[:1])

    def __len__(self) -> int:
        return int(self._counts.sum())

    def dataset(
        self, batch_size: int, seed: int, first_epoch: int, num_epochs: int, first_step: int = 0
    ) -> tf.data.Dataset:
        """See EpochBatches."""
        kinds = {name: (value.dtype, value.shape[1:]) for name, value in self._like.tensors.items()}

        def groups(epoch: tf.Tensor) -> tf.data.Dataset:
            order = tf.random.experimental.stateless_shuffle(self._shards, seed=tf.stack([seed, epoch]))
            room = -len(self._shards) % SHARDS_AT_ONCE
            none = len(self._counts)  # What the last group is filled up with.
            shards = tf.reshape(tf.pad(order, [[0, room]], constant_values=none), [-1, SHARDS_AT_ONCE])
            counts = tf.gather(np.append(self._counts, 0), shards)
            # The batches of the groups up to each: of all together as many as if they were one.
            ends = tf.cumsum(tf.reduce_sum(counts, axis=1)) // batch_size
            ends = tf.concat([ends[:-1], tf.constant([self.num_batches(batch_size)], tf.int64)], axis=0)
            begins = tf.pad(ends[:-1], [[1, 0]])
            skipped = tf.where(epoch == first_epoch, tf.constant(first_step, tf.int64), 0)
            is_left = ends > tf.maximum(begins, skipped)
            places = begins, tf.maximum(begins, skipped), ends
            epochs = tf.fill([len(ends)], epoch)
            parts = [tf.boolean_mask(each, is_left) for each in (shards, epochs, *places)]
            return tf.data.Dataset.from_tensor_slices(tuple(parts))

        def read(shards: tf.Tensor, *rest: tf.Tensor) -> tuple[dict[str, tf.Tensor], ...]:
            def tensors(shards: tf.Tensor) -> list[tf.Tensor]:
                made = self._read(shards.numpy()).tensors
                return [made[name] for name in kinds]

            found = tf.py_function(tensors, [shards], [dtype for dtype, _ in kinds.values()])
            named = dict(zip(kinds, found, strict=True))
            for name, (_, shape) in kinds.items():
                named[name].set_shape([None, *shape])
            return named, *rest

        def batches(
            tensors: dict[str, tf.Tensor], epoch: tf.Tensor, begin: tf.Tensor, first: tf.Tensor, end: tf.Tensor
        ) -> tf.data.Dataset:
            examples = self._like.of_tensors(tensors)
            numbers = examples.in_batches(batch_size, end - begin, tf.stack([seed, epoch]))[first - begin :]
            steps = tf.data.Dataset.from_tensor_slices((numbers, tf.range(first, end)))
            return steps.map(
                lambda numbers, step: examples.made(numbers, epoch, step, seed), num_parallel_calls=tf.data.AUTOTUNE
            )

        epochs = tf.data.Dataset.range(first_epoch, num_epochs)
        return epochs.flat_map(groups).map(read).prefetch(1).flat_map(batches).prefetch(4)

    def _read(self, shards: np.ndarray) -> NumberedExamples:
        """The examples of some shards; numbers behind the last shard's are none."""
        stretches = [(self.bounds[each], self.bounds[each + 1]) for each in np.sort(shards) if each < len(self._counts)]
        users = np.concatenate([np.zeros(0, np.int64), *(np.arange(low, high) for low, high in stretches)])
        offsets = self.sequences.offsets

        def read(array: np.ndarray) -> np.ndarray:
            parts = [stretch(array, offsets[low], offsets[high]) for low, high in stretches]
            return np.concatenate([array[:0], *parts])

        context = {name: read(array) for name, array in self.sequences.context.items()}
        rows = Ragged.from_lengths(read(self.sequences.values), np.diff(offsets)[users], context)
        return self._make(rows, users=users)


def next_item_examples(sequences: Ragged, features: FeaturesConfig) -> EpochBatches:
    """NextItemExamples; of more interactions than features.interactions_at_once, in shards.

    Raises:
        InputError: There are none.
    """
    times = sequences.context.get(HISTORY_TIME)
    span = None if times is None else (int(times.min()), int(times.max()))
    make = partial(NextItemExamples, history_length=features.history_length, times=span)
    if len(sequences.values) <= features.interactions_at_once:
        return make(sequences)
    counts = NextItemExamples.num_examples(sequences.lengths, features.history_length)
    return SequenceShards(sequences, counts, make, features.interactions_at_once)


def sequence_windows(
    sequences: Ragged, features: FeaturesConfig, augmentation: SequenceAugmentation | None = None
) -> EpochBatches:
    """SequenceWindows; of more interactions than features.interactions_at_once, in shards.

    Raises:
        InputError: There are none.
    """
    make = partial(SequenceWindows, history_length=features.history_length, augmentation=augmentation)
    if len(sequences.values) <= features.interactions_at_once:
        return make(sequences)
    counts = SequenceWindows.num_examples(sequences.lengths, features.history_length)
    return SequenceShards(sequences, counts, make, features.interactions_at_once)
