"""Each impression with the history that its user had then."""

import numpy as np
import tensorflow as tf

from tests.datasets.test_impressions import ROWS, divide
from tfrec.datasets.splits import TEST, TRAINING
from tfrec.features.impression_rows import HistoryConfig, ImpressionRows

# In order: user 0 meets 2+, 0-, 1+, 3-; user 1 meets 3-, 1+, 0-, 2+. Indices of items and users are two more.


def batch(part: int, history: HistoryConfig, **context: np.ndarray) -> dict[str, list]:
    rows = ImpressionRows(divide(ROWS, "leave_last_out"), context, history, part)
    return {name: value.numpy().tolist() for name, value in rows.batch(rows.numbers).items()}


def test_a_history_is_what_was_liked_before() -> None:
    test = batch(TEST, HistoryConfig(length=3))
    assert test["user"] == [2, 3]
    assert test["item"] == [5, 4]
    assert test["label"] == [0, 1]
    assert test["history"] == [[4, 3, 0], [3, 0, 0]]
    assert test["history_label"] == [[1, 1, 0], [1, 0, 0]]


def test_with_labels_it_is_all_that_was_shown() -> None:
    test = batch(TEST, HistoryConfig(length=3, labels=True))
    assert test["history"] == [[4, 2, 3], [5, 3, 2]]
    assert test["history_label"] == [[1, 0, 1], [0, 1, 0]]


def test_the_most_recent_are_kept() -> None:
    assert batch(TEST, HistoryConfig(length=2, labels=True))["history"] == [[2, 3], [3, 2]]
    assert batch(TEST, HistoryConfig(length=1))["history"] == [[3], [3]]


def test_nothing_is_of_another_user() -> None:
    train = batch(TRAINING, HistoryConfig(length=3, labels=True))
    assert train["user"] == [2, 2, 3, 3]
    assert train["history"] == [[0, 0, 0], [4, 0, 0], [0, 0, 0], [5, 0, 0]]


def test_the_context_comes_along() -> None:
    test = batch(TEST, HistoryConfig(length=1), device=np.arange(8, dtype=np.int32))
    assert test["context/device"] == [3, 7]


def test_in_order_gives_every_impression_once() -> None:
    rows = ImpressionRows(divide(ROWS, "leave_last_out"), {}, HistoryConfig(length=2), TRAINING)
    items = tf.concat([each["item"] for each in rows.in_order()], axis=0)
    assert items.numpy().tolist() == [4, 2, 5, 3]
