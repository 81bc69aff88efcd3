"""Histories and their next items."""

from itertools import pairwise

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.features.sequences import NextItemExamples, compact_context, compact_history, pad_context, pad_histories

Batch = dict[str, list]


def ragged(rows: list[list[int]]) -> Ragged:
    values = np.array([code for row in rows for code in row], np.int32)
    return Ragged.from_lengths(values, np.array([len(row) for row in rows], np.int64))


def batches(
    examples: NextItemExamples, batch_size: int, seed: int = 0, first_epoch: int = 0, num_epochs: int = 1
) -> list[Batch]:
    dataset = examples.dataset(batch_size, seed, first_epoch, num_epochs)
    return [{name: array.tolist() for name, array in batch.items()} for batch in dataset.as_numpy_iterator()]


class TestExamples:
    def test_by_hand(self) -> None:
        # Users 0 and 2 give no example: they have no past. Codes become indices by adding 2.
        examples = NextItemExamples(ragged([[9], [5, 6, 7, 8], [], [1, 1]]), history_length=2)
        assert len(examples) == 4
        batch = examples.batch(examples.numbers)
        assert {array.dtype for array in batch.values()} == {tf.int32}
        assert batch["history"].numpy().tolist() == [[7, 0], [7, 8], [8, 9], [3, 0]]
        assert batch["target"].numpy().tolist() == [8, 9, 10, 3]
        assert batch["user"].numpy().tolist() == [3, 3, 3, 5]

    def test_the_context_is_of_the_history_and_never_of_the_target(self) -> None:
        sequences = ragged([[9], [5, 6, 7, 8], [], [1, 1]])
        times = {"time": np.array([90, 50, 60, 70, 80, 10, 11], np.int64)}
        examples = NextItemExamples(Ragged(sequences.values, sequences.offsets, times), history_length=2)
        batch = examples.batch(examples.numbers)
        assert batch["history"].numpy().tolist() == [[7, 0], [7, 8], [8, 9], [3, 0]]
        assert batch["time"].dtype == tf.int64
        assert batch["time"].numpy().tolist() == [[50, 0], [50, 60], [60, 70], [10, 0]]

    @given(
        rows=st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=5).filter(
            lambda rows: any(len(row) > 1 for row in rows)
        ),
        history_length=st.integers(1, 7),
    )
    @settings(max_examples=40)
    def test_every_interaction_with_a_past_is_an_example(self, rows: list[list[int]], history_length: int) -> None:
        expected = []
        for user, row in enumerate(rows):
            for place in range(1, len(row)):
                past = [code + 2 for code in row[:place][-history_length:]]
                expected.append((past + [0] * (history_length - len(past)), user + 2, row[place] + 2))
        examples = NextItemExamples(ragged(rows), history_length)
        batch = {name: array.numpy().tolist() for name, array in examples.batch(examples.numbers).items()}
        assert list(zip(batch["history"], batch["user"], batch["target"], strict=True)) == expected

    def test_users_without_a_past_are_an_error(self) -> None:
        with pytest.raises(InputError, match="Received: 2 training interactions of 3 users"):
            NextItemExamples(ragged([[1], [], [2]]), history_length=2)


class TestBatches:
    # 11 items, each done once: 10 examples, told apart by their targets 3 … 12.
    examples = NextItemExamples(ragged([list(range(11))]), history_length=3)
    targets = frozenset(range(3, 13))

    @pytest.mark.parametrize(("batch_size", "count", "filled_up"), [(4, 3, 2), (5, 2, 0), (7, 2, 4), (10, 1, 0)])
    def test_an_epoch_has_every_example_and_is_filled_up_from_its_beginning(
        self, batch_size: int, count: int, filled_up: int
    ) -> None:
        epoch = batches(self.examples, batch_size)
        assert len(epoch) == self.examples.num_batches(batch_size) == count
        assert {len(batch["target"]) for batch in epoch} == {batch_size}
        seen = [target for batch in epoch for target in batch["target"]]
        assert set(seen[:10]) == self.targets
        assert len(seen[10:]) == filled_up
        assert seen[10:] == seen[:filled_up]

    def test_a_batch_is_no_larger_than_the_data_and_the_devices_ask_for(self) -> None:
        # Ten examples: one batch of ten for one device; of twelve for three, which is filled up from the beginning.
        assert [self.examples.fitting_batch_size(*each) for each in ((64, 1), (64, 3), (4, 3))] == [10, 12, 4]
        [batch] = batches(self.examples, batch_size=10)
        assert sorted(batch["target"]) == sorted(self.targets)
        [batch] = batches(self.examples, batch_size=12)
        assert sorted(batch["target"][:10]) == sorted(self.targets)
        assert list(batch["target"][10:]) == list(batch["target"][:2])

    def test_histories_and_users_belong_to_their_targets(self) -> None:
        # Before item index t come t - 3, t - 2 and t - 1, as far as they exist: the first index is 2.
        for batch in batches(self.examples, batch_size=5):
            for target, history in zip(batch["target"], batch["history"], strict=True):
                past = [index for index in range(target - 3, target) if index >= 2]
                assert history == past + [0] * (3 - len(past))

    def test_order_depends_on_the_seed_and_the_epoch_alone(self) -> None:
        run = batches(self.examples, 5, seed=3, num_epochs=4)
        assert batches(self.examples, 5, seed=3, num_epochs=4) == run
        assert batches(self.examples, 5, seed=4, num_epochs=4) != run
        epochs = [run[start : start + 2] for start in range(0, 8, 2)]
        assert all(one != next_one for one, next_one in pairwise(epochs))

    def test_a_resumed_run_sees_the_tail_of_an_undisturbed_one(self) -> None:
        run = batches(self.examples, 4, seed=1, num_epochs=4)
        assert len(run) == 12
        assert batches(self.examples, 4, seed=1, first_epoch=2, num_epochs=4) == run[6:]

    def test_shapes_are_known_to_the_graph(self) -> None:
        spec = self.examples.dataset(4, 0, 0, 1).element_spec
        assert {name: each.shape.as_list() for name, each in spec.items()} == {
            "history": [4, 3],
            "user": [4],
            "target": [4],
        }


class TestPadding:
    def test_by_hand(self) -> None:
        padded = pad_histories(ragged([[5, 6, 7, 8], [], [4]]), history_length=3)
        assert padded.dtype == np.int32
        assert padded.tolist() == [[8, 9, 10], [0, 0, 0], [6, 0, 0]]

    def test_nobody_did_anything(self) -> None:
        assert pad_histories(ragged([[], []]), history_length=2).tolist() == [[0, 0], [0, 0]]

    def test_a_request_by_hand(self) -> None:
        # 0 is padding, 1 an unknown item: both are left out, wherever they stand.
        history = tf.constant([[1, 7, 0, 8, 9], [0, 0, 0, 1, 4], [2, 3, 4, 5, 6], [1, 1, 0, 0, 0]])
        compact = compact_history(history, 3)
        assert compact.dtype == tf.int32
        assert compact.numpy().tolist() == [[7, 8, 9], [4, 0, 0], [4, 5, 6], [0, 0, 0]]

    @pytest.mark.parametrize("width", [0, 1])
    def test_a_request_narrower_than_the_history(self, width: int) -> None:
        assert compact_history(tf.fill([1, width], 5), 3).numpy().tolist() == [[5] * width + [0] * (3 - width)]

    @pytest.mark.parametrize(
        ("lengths", "width"),
        [([], 16), ([0], 16), ([1, 0], 16), ([16, 3], 16), ([17], 32), ([2, 32], 32), ([33], 40), ([99], 40)],
    )
    def test_a_request_is_as_wide_as_its_longest_history_needs(self, lengths: list[int], width: int) -> None:
        # Unknown items stand before them, and do not count.
        rows = [[1] * (100 - length) + list(range(2, 2 + length)) for length in lengths]
        history = tf.constant(rows, tf.int32, [len(rows), 100])
        compact, context = compact_context(history, {"time": tf.cast(history, tf.int64)}, 40)
        expected = [(list(range(2, 2 + length))[-40:] + [0] * width)[:width] for length in lengths]
        assert compact.numpy().tolist() == context["time"].numpy().tolist() == expected
        assert compact.shape == (len(lengths), width)

    @given(
        width=st.integers(0, 8),
        history_length=st.integers(1, 6),
        data=st.data(),
    )
    @settings(max_examples=60)
    def test_training_and_serving_agree(self, width: int, history_length: int, data: st.DataObject) -> None:
        rows = data.draw(st.lists(st.lists(st.integers(0, 6), min_size=width, max_size=width), min_size=1, max_size=4))
        known = [[index for index in row if index >= 2] for row in rows]
        expected = [(row[-history_length:] + [0] * history_length)[:history_length] for row in known]
        compact = compact_history(tf.constant(rows, tf.int32, [len(rows), width]), history_length)
        assert compact.numpy().tolist() == expected
        padded = pad_histories(ragged([[index - 2 for index in row] for row in known]), history_length)
        assert padded.tolist() == expected

    def test_context_by_hand(self) -> None:
        rows = ragged([[5, 6, 7, 8], [], [4]])
        rows = Ragged(rows.values, rows.offsets, {"time": np.array([50, 60, 70, 80, 40], np.int64)})
        padded = pad_context(rows, history_length=3)
        assert padded["time"].dtype == np.int64
        assert padded["time"].tolist() == [[60, 70, 80], [0, 0, 0], [40, 0, 0]]
        assert pad_context(ragged([[1]]), history_length=3) == {}

    @given(
        width=st.integers(0, 8),
        history_length=st.integers(1, 6),
        data=st.data(),
    )
    @settings(max_examples=60, deadline=None)
    def test_training_and_serving_agree_on_the_context(
        self, width: int, history_length: int, data: st.DataObject
    ) -> None:
        # An item is its index, from 0 for padding and 1 for unknown, and what was done with it.
        entry = st.tuples(st.integers(0, 6), st.integers(0, 2**40))
        rows = data.draw(st.lists(st.lists(entry, min_size=width, max_size=width), min_size=1, max_size=4))
        known = [[(index, time) for index, time in row if index >= 2] for row in rows]
        expected = [(row[-history_length:] + [(0, 0)] * history_length)[:history_length] for row in known]

        shape = [len(rows), width]
        indices = tf.constant([[index for index, _ in row] for row in rows], tf.int32, shape)
        times = tf.constant([[time for _, time in row] for row in rows], tf.int64, shape)
        history, context = compact_context(indices, {"time": times}, history_length)
        assert history.numpy().tolist() == [[index for index, _ in row] for row in expected]
        assert context["time"].numpy().tolist() == [[time for _, time in row] for row in expected]

        training = ragged([[index - 2 for index, _ in row] for row in known])
        all_times = np.array([time for row in known for _, time in row], np.int64)
        padded = pad_context(Ragged(training.values, training.offsets, {"time": all_times}), history_length)
        assert padded["time"].tolist() == [[time for _, time in row] for row in expected]
