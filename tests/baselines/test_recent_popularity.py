"""What is popular of late."""

import numpy as np
import pytest

from tfrec.baselines import RecentPopularity
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

from .contract import RecommenderContract


class TestRecentPopularity(RecommenderContract):
    @pytest.fixture
    def recommender(self) -> RecentPopularity:
        times = np.arange(len(self.train.values))
        return RecentPopularity(Ragged(self.train.values, self.train.offsets, {"timestamp": times}), self.num_items)


def test_an_interaction_is_worth_half_for_each_half_life() -> None:
    # Training spans 100 to 200, a quarter of which is the half-life: at 200 worth 1, at 175 1/2, at 100 1/16.
    times = {"timestamp": np.array([100, 200, 175, 175])}
    train = Ragged(np.array([0, 2, 2, 0], np.int32), np.array([0, 2, 4]), times)
    scores = RecentPopularity(train, 3, half_life=0.25).score(np.array([5, 6]), train)
    np.testing.assert_allclose(scores, [[0.5625, 0, 1.5]] * 2)


def test_of_one_moment_it_is_popularity() -> None:
    train = Ragged(np.array([1, 1], np.int32), np.array([0, 2]), {"timestamp": np.array([7, 7])})
    assert RecentPopularity(train, 2).score(np.array([0]), train).tolist() == [[0, 2]]


def test_asks_for_time_stamps() -> None:
    with pytest.raises(InputError, match="'timestamp'"):
        RecentPopularity(Ragged(np.array([1], np.int32), np.array([0, 1])), 2)
