"""Popularity."""

import numpy as np
import pytest

from tfrec.baselines import Popularity
from tfrec.datasets.ragged import Ragged

from .contract import RecommenderContract


class TestPopularity(RecommenderContract):
    @pytest.fixture
    def recommender(self) -> Popularity:
        return Popularity(self.train, self.num_items)


def test_counts_interactions_not_users() -> None:
    # User 0 did item 1 twice and item 3 once, user 1 nothing, user 2 item 1 once; nobody did 0, 2 and 4.
    train = Ragged(np.array([1, 3, 1, 1], np.int32), np.array([0, 3, 3, 4]))
    scores = Popularity(train, num_items=5).score(np.array([1, 7], np.int32), train)
    assert scores.tolist() == [[0, 3, 0, 1, 0], [0, 3, 0, 1, 0]]
