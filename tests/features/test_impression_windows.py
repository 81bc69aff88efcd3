"""Windows over whole histories of impressions."""

import numpy as np
import tensorflow as tf

from tests.datasets.test_impressions import Row, divide
from tfrec.datasets.splits import VALIDATION
from tfrec.features.impression_rows import HistoryConfig
from tfrec.features.impression_windows import ImpressionWindows

# Nine impressions of user 0, of which the last is tested and the one before validated: seven to train on, of items 0 to
# 6. Of user 1's four two, of items 8 and 9, the latter shown at the same time as the former.
ROWS: list[Row] = [(0, item, item, item % 2) for item in range(9)]
ROWS += [(1, 8, 1, 0), (1, 9, 1, 1), (1, 3, 2, 0), (1, 4, 3, 1)]


def windows(length: int, **context: np.ndarray) -> ImpressionWindows:
    return ImpressionWindows(divide(ROWS, "leave_last_out"), context, HistoryConfig(length, labels=True))


def batch(length: int, numbers: list[int], **context: np.ndarray) -> dict[str, list]:
    values = windows(length, **context).batch(tf.constant(numbers, tf.int64))
    return {name: value.numpy().tolist() for name, value in values.items()}


def test_a_short_history_is_one_window() -> None:
    user, other = 0, 1
    both = batch(8, [user, other])
    assert len(windows(8)) == 2
    assert both["user"] == [2, 3]
    assert both["item"] == [[2, 3, 4, 5, 6, 7, 8], [10, 11, 0, 0, 0, 0, 0]]
    assert both["label"] == [[0, 1, 0, 1, 0, 1, 0], [0, 1, 0, 0, 0, 0, 0]]
    assert both["asked"] == [[1] * 7, [1, 1, 0, 0, 0, 0, 0]]
    # What was shown at the same time is no history.
    assert both["past"] == [[0, 1, 2, 3, 4, 5, 6], [0, 0, 0, 0, 0, 0, 0]]


def test_a_long_history_is_asked_once_everywhere_with_half_a_window_before_it() -> None:
    # Places 0 to 3; then 4 and 5 after 2 and 3; then 6 after 3, 4 and 5.
    assert len(windows(4)) == 4
    three = batch(4, [0, 1, 2])
    assert three["item"] == [[2, 3, 4, 5], [4, 5, 6, 7], [5, 6, 7, 8]]
    assert three["asked"] == [[1, 1, 1, 1], [0, 0, 1, 1], [0, 0, 0, 1]]
    assert three["past"] == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]


def test_every_training_impression_is_asked_once() -> None:
    for length in (1, 2, 3, 5, 100):
        each = windows(length)
        asked = each.batch(each.numbers)
        items = tf.boolean_mask(asked["item"], asked["asked"] > 0).numpy()
        assert sorted(items.tolist()) == [2, 3, 4, 5, 6, 7, 8, 10, 11]
        assert each.num_asked == 9


def test_no_input_is_a_bool() -> None:
    """Several devices' batches are put together, which TensorFlow can't do with bools."""
    each = windows(4)
    assert all(value.dtype != tf.bool for value in each.batch(each.numbers).values())


def test_the_context_comes_along() -> None:
    assert batch(4, [2], hour=np.arange(13, dtype=np.int32))["context/hour"] == [[3, 4, 5, 6]]


def test_of_another_part_only_the_windows_that_ask() -> None:
    # User 0's place 7 is validated, in the window of places 4 to 7, and user 1's place 2.
    each = ImpressionWindows(divide(ROWS, "leave_last_out"), {}, HistoryConfig(4, labels=True), VALIDATION)
    [asked] = each.in_order()
    assert asked["item"].numpy().tolist() == [[6, 7, 8, 9], [10, 11, 5, 0]]
    assert asked["asked"].numpy().tolist() == [[0, 0, 0, 1], [0, 0, 1, 0]]
    assert asked["past"].numpy().tolist() == [[0, 1, 2, 3], [0, 0, 2, 0]]
