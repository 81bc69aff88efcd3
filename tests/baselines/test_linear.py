"""EASE, SLIM and PureSVD, beside the papers' formulas."""

import numpy as np
import pytest

from tfrec.baselines import EASE, SLIM, PureSVD
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError

from .contract import RecommenderContract
from .random_data import dense, random_rows

NUM_ITEMS = 14


class TestEASE(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self) -> EASE:
        return EASE(self.train, self.num_items, 2.0)


class TestSLIM(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self) -> SLIM:
        return SLIM(self.train, self.num_items, 0.1, 0.1)


class TestPureSVD(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self) -> PureSVD:
        return PureSVD(self.train, self.num_items, 3)


def test_ease_is_worked_out_by_hand() -> None:
    # Two users did item 0, one of them item 1 too. XᵀX + 1 = [[3, 1], [1, 2]], its inverse [[2, -1], [-1, 3]] / 5:
    # B_01 = 1 / 3 and B_10 = 1 / 2.
    train = Ragged(np.array([0, 1, 0], np.int32), np.array([0, 2, 3]))
    np.testing.assert_allclose(EASE(train, 2, regularization=1.0).weights, [[0, 1 / 3], [1 / 2, 0]], rtol=1e-6)


def test_ease_is_a_ridge_regression_of_each_item_on_the_others() -> None:
    # Lagrange's multipliers give eq. 8; without them, each column is a regression of its own.
    train = random_rows(num_items=NUM_ITEMS)
    done = dense(train, NUM_ITEMS)
    expected = np.zeros((NUM_ITEMS, NUM_ITEMS))
    for item in range(NUM_ITEMS):
        others = np.delete(np.arange(NUM_ITEMS), item)
        explaining = done[:, others]
        expected[others, item] = np.linalg.solve(
            explaining.T @ explaining + 3 * np.eye(NUM_ITEMS - 1), explaining.T @ done[:, item]
        )
    model = EASE(train, NUM_ITEMS, regularization=3.0)
    np.testing.assert_allclose(model.weights, expected, rtol=1e-4, atol=1e-6)
    scores = model.score(np.arange(30), train)
    np.testing.assert_allclose(scores, done @ expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("regularization", [0.0, -1.0, 1e-300])
def test_ease_refuses_what_has_no_inverse(regularization: float) -> None:
    # Nobody did item 2.
    with pytest.raises(InputError, match="regularization above 0"):
        EASE(Ragged(np.array([0, 1], np.int32), np.array([0, 2])), 3, regularization)


def test_slim_has_the_least_loss() -> None:
    train = random_rows(200, NUM_ITEMS)
    done, l1, l2 = dense(train, NUM_ITEMS), 1.5, 3.0
    weights = SLIM(train, NUM_ITEMS, l1, l2, neighbours=NUM_ITEMS).weights.toarray().astype(np.float64)
    assert (weights >= 0).all()
    assert (np.diag(weights) == 0).all()
    assert 0 < np.count_nonzero(weights) < NUM_ITEMS * (NUM_ITEMS - 1)
    # Karush, Kuhn and Tucker: the slope is 0 where a weight is above 0, and not below 0 where it is 0.
    slope = -done.T @ (done - done @ weights) + l2 * weights + l1
    np.fill_diagonal(slope, 0)
    assert np.abs(slope[weights > 0]).max() < 0.1
    assert slope[weights == 0].min() > -0.1


def test_slim_explains_an_item_by_its_neighbours_alone() -> None:
    train = random_rows(200, NUM_ITEMS)
    done = dense(train, NUM_ITEMS)
    lengths = np.sqrt(done.sum(axis=0))
    cosines = done.T @ done / np.outer(lengths, lengths) - 2 * np.eye(NUM_ITEMS)
    weights = SLIM(train, NUM_ITEMS, 0.01, 1.0, neighbours=3).weights.toarray()
    for item in range(NUM_ITEMS):
        assert set(np.flatnonzero(weights[:, item])) <= set(np.argsort(-cosines[:, item], kind="stable")[:3])


def test_pure_svd_projects_on_the_leading_directions() -> None:
    train = random_rows(num_items=NUM_ITEMS)
    done = dense(train, NUM_ITEMS)
    directions = np.linalg.eigh(done.T @ done)[1][:, -4:]
    scores = PureSVD(train, NUM_ITEMS, factors=4).score(np.arange(30), train)
    np.testing.assert_allclose(scores, done @ directions @ directions.T, rtol=1e-3, atol=1e-3)
