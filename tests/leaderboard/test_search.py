"""One hyperparameter after another."""

from typing import Any

import numpy as np

from tfrec.baselines import RecentHistory
from tfrec.datasets import Ragged
from tfrec.leaderboard.entries import Entry
from tfrec.leaderboard.search import search


class Fitted:
    """Knows what it was fitted with, and how long a history it is given."""

    def __init__(self, **chosen: Any) -> None:
        self.chosen = chosen

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        return histories.lengths[:, np.newaxis].astype(np.float32)


def test_turns_to_each_hyperparameter_with_the_others_as_they_were_chosen() -> None:
    entry = Entry("two", Fitted, {"a": (1, 2, 3), "b": (10, 20, 30)}, history_lengths=(None,))
    tried, told = [], []

    def measure(recommender: Any) -> float:
        chosen = recommender.chosen
        tried.append(tuple(chosen.values()))
        return -abs(chosen["a"] - 2) - abs(chosen["b"] - 20)

    found = search(entry, measure, advance=told.append)
    assert tried == [(1, 10), (2, 10), (3, 10), (2, 20), (2, 30)]
    assert (found.parameters, found.value) == ({"a": 2, "b": 20}, 0)
    assert found.recommender.chosen == found.parameters
    assert sum(told) == entry.num_trials == 5


def test_the_length_of_histories_is_chosen_first_and_kept() -> None:
    entry = Entry("one", Fitted, {"a": (1, 2)}, history_lengths=(None, 3, 1))
    seven = Ragged.from_lengths(np.arange(7, dtype=np.int32), np.array([7]))

    def measure(recommender: Any) -> float:
        inner = recommender.recommender if isinstance(recommender, RecentHistory) else recommender
        return inner.chosen["a"] - abs(float(recommender.score(np.zeros(1), seven)[0, 0]) - 3)

    found = search(entry, measure)
    assert found.parameters == {"a": 2, "history_length": 3}
    assert found.value == 2
    assert search(entry, measure, is_tuned=False).parameters == {"a": 1}


def test_of_equals_the_first_is_taken() -> None:
    found = search(Entry("one", Fitted, {"a": (1, 2)}), lambda recommender: 0.0)
    assert found.parameters == {"a": 1}
