import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.features.windows import SequenceWindows


def ragged(*rows: list[int]) -> Ragged:
    return Ragged(np.array([item for row in rows for item in row], np.int32), np.cumsum([0, *map(len, rows)]))


def test_windows_by_hand() -> None:
    # Item 10 has index 12. User 1 has no past and no window. User 2 has 6 interactions and windows of 3 places, which
    # move on by 1: targets 1 2 3, then 4, then 5, each with the 3 items before it.
    windows = SequenceWindows(ragged([10, 11], [7], [20, 21, 22, 23, 24, 25]), history_length=3)
    batch = {name: value.numpy().tolist() for name, value in windows.batch(windows.numbers).items()}
    assert batch == {
        "user": [2, 4, 4, 4],
        "history": [[12, 0, 0], [22, 23, 24], [23, 24, 25], [24, 25, 26]],
        "target": [[13, 0, 0], [23, 24, 25], [0, 0, 26], [0, 0, 27]],
    }


def test_the_context_is_of_the_history_and_never_of_the_target() -> None:
    rows = ragged([10, 11], [7], [20, 21, 22, 23, 24, 25])
    times = {"time": np.array([100, 110, 70, 200, 210, 220, 230, 240, 250], np.int64)}
    windows = SequenceWindows(Ragged(rows.values, rows.offsets, times), history_length=3)
    batch = windows.batch(windows.numbers)
    assert batch["time"].dtype == tf.int64
    assert batch["time"].numpy().tolist() == [[100, 0, 0], [200, 210, 220], [210, 220, 230], [220, 230, 240]]


@given(lengths=st.lists(st.integers(0, 23), min_size=1, max_size=8), history_length=st.integers(1, 9))
def test_each_interaction_but_the_first_is_a_target_once(lengths: list[int], history_length: int) -> None:
    rows = [list(range(100 * user, 100 * user + length)) for user, length in enumerate(lengths)]
    if max(lengths) < 2:
        with pytest.raises(InputError, match="at least two training interactions"):
            SequenceWindows(ragged(*rows), history_length)
        return
    windows = SequenceWindows(ragged(*rows), history_length)
    batch = {name: value.numpy() for name, value in windows.batch(windows.numbers).items()}
    asked = batch["target"] > 0
    assert sorted(batch["target"][asked].tolist()) == [item + 2 for row in rows for item in row[1:]]
    # Items count up, so the next item is the one with the next number; and padding is at the end alone.
    np.testing.assert_array_equal(batch["target"][asked], batch["history"][asked] + 1)
    filled = batch["history"] > 0
    assert (np.diff(filled.astype(int), axis=1) <= 0).all()
    # However long the history, a target sees at least half a window of it, or all that there is.
    seen = np.cumsum(filled, axis=1)[asked]
    everything = (batch["target"][asked] - 2) % 100
    assert (seen >= np.minimum(everything, history_length // 2)).all()


def test_batches_are_full_and_visit_every_window() -> None:
    windows = SequenceWindows(ragged(*([user, user + 1] for user in range(10))), history_length=2)
    [first, second, third] = list(windows.dataset(4, seed=0, first_epoch=0, num_epochs=1))
    users = np.concatenate([batch["user"] for batch in (first, second, third)])
    assert len(users) == 12
    assert set(users.tolist()) == set(range(2, 12))
    assert third["history"].shape == (4, 1)
    again = next(iter(windows.dataset(4, seed=0, first_epoch=0, num_epochs=1)))
    tf.debugging.assert_equal(again["user"], first["user"])


def test_windows_of_like_length_share_a_batch() -> None:
    windows = SequenceWindows(ragged(*([*range(2 + user % 4)] for user in range(40))), history_length=4)
    batches = list(windows.dataset(10, seed=3, first_epoch=0, num_epochs=1))
    assert sorted(batch["history"].shape[1] for batch in batches) == [1, 2, 3, 4]  # No padding at all.
    assert all((batch["history"] > 0).numpy().all() for batch in batches)
    orders = [[batch["history"].shape[1] for batch in windows.dataset(10, 3, epoch, epoch + 1)] for epoch in range(4)]
    assert len(set(map(tuple, orders))) > 1  # Short and long ones take turns in no fixed order.
    assert SequenceWindows.targets_per_window(np.array([0, 1, *range(2, 6)]), 4) == (1 + 2 + 3 + 4) / 4
