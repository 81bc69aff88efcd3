import numpy as np
import pytest

from tests.baselines.contract import RecommenderContract
from tfrec.baselines import EASE, RecentHistory
from tfrec.datasets.ragged import Ragged


class TestRecentHistory(RecommenderContract):
    tolerance = 1e-6

    @pytest.fixture
    def recommender(self) -> RecentHistory:
        return RecentHistory(EASE(self.train, self.num_items, 1.0), 2)


class Reader:
    """Scores what it reads."""

    name = "reader"

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        scores = np.zeros((len(users), 5), np.float32)
        scores[histories.rows, histories.values] = 1
        return scores


def test_reads_the_last_items() -> None:
    histories = Ragged.from_lengths(np.array([0, 1, 2, 3, 4, 4], np.int32), np.array([3, 0, 3]))
    recommender = RecentHistory(Reader(), 2)
    assert recommender.name == "reader"
    assert recommender.score(np.arange(3), histories).tolist() == [[0, 1, 1, 0, 0], [0] * 5, [0, 0, 0, 0, 1]]
