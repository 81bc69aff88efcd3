"""Random scores."""

import numpy as np
import pytest

from tfrec.baselines import Random
from tfrec.config import EvaluationConfig
from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged
from tfrec.evaluation import evaluate

from .contract import RecommenderContract

EMPTY = Ragged(np.array([], np.int32), np.array([0, 0]))


class TestRandom(RecommenderContract):
    @pytest.fixture
    def recommender(self) -> Random:
        return Random(self.train, self.num_items)


def test_is_splitmix64() -> None:
    # The published generator, seeded with 0, begins with 0xE220A8397B1DCDAF; its upper 24 bits are 0xE220A8. User 0's
    # item 1 is at its first step.
    scores = Random(EMPTY, num_items=3).score(np.array([0], np.int32), EMPTY)
    assert scores[0, 1] == 0xE220A8 / 2**24


def test_users_items_and_seeds_differ() -> None:
    users = np.arange(50, dtype=np.int32)
    scores = Random(EMPTY, num_items=200).score(users, EMPTY)
    # 10,000 draws from 2^24 values: three pairs are expected to be equal.
    assert len(np.unique(scores)) > 9_980
    assert not np.isin(Random(EMPTY, num_items=200, seed=1).score(users, EMPTY), scores[0]).all(axis=1).any()


def test_finds_as_many_targets_as_chance() -> None:
    # 2,000 users, 100 items, one target each: recall at 10 is 0.1, its standard error sqrt(0.1 * 0.9 / 2000) = 0.0067.
    num_users = 2000
    targets = np.random.default_rng(0).integers(0, 100, num_users).astype(np.int32)
    cases = EvaluationSet(
        np.arange(num_users, dtype=np.int32),
        Ragged(EMPTY.values, np.zeros(num_users + 1, np.int64)),
        Ragged(targets, np.arange(num_users + 1)),
    )
    report = evaluate(Random(EMPTY, num_items=100), cases, 100, EvaluationConfig())
    assert report.metrics["recall@10"].mean == pytest.approx(0.1, abs=4 * 0.0067)
    assert report.metrics["coverage@10"].mean == 1
