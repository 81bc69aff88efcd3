"""Low-rank completion."""

import numpy as np
import pytest

from tfrec.baselines import SoftImpute
from tfrec.baselines import soft_impute as soft_impute_module
from tfrec.datasets.ragged import Ragged

from .contract import RecommenderContract
from .random_data import dense, random_rows

NUM_ITEMS = 14


class TestSoftImpute(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self) -> SoftImpute:
        return SoftImpute(self.train, self.num_items, factors=3, iterations=3)


def completed(done: np.ndarray, weight: float, penalty: float) -> np.ndarray:
    """The least of the convex loss, by whole singular value decompositions of the whole matrix."""
    believed = np.zeros_like(done)
    for _ in range(2000):
        left, values, right = np.linalg.svd(np.where(done > 0, 1, (1 - weight) * believed), full_matrices=False)
        believed = (left * np.maximum(values - penalty, 0)) @ right
    return believed


@pytest.mark.parametrize("weight", [0.1, 0.4, 1.0])
def test_it_finds_the_least_of_its_loss(weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soft_impute_module, "ENTRIES_AT_ONCE", 50)
    train = random_rows(num_items=NUM_ITEMS)
    done = dense(train, NUM_ITEMS)
    model = SoftImpute(train, NUM_ITEMS, weight, regularization=0.2, iterations=400, tolerance=1e-7)
    expected = completed(done, weight, 0.2 * np.linalg.norm(done, 2))
    # A row of training is folded in as its row of Z.
    np.testing.assert_allclose(model.score(np.arange(30), train), expected, atol=1e-4)
    rank = np.linalg.matrix_rank(expected, tol=1e-6)
    assert 1 < rank < NUM_ITEMS
    assert model.item_factors.shape == (NUM_ITEMS, rank)
    values = np.linalg.norm(expected, 2), np.linalg.norm(model.item_factors[:, 0]) ** 2
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_a_history_is_folded_in_by_its_own_least() -> None:
    weight, train, histories = 0.3, random_rows(num_items=NUM_ITEMS), random_rows(5, NUM_ITEMS, seed=1)
    model = SoftImpute(train, NUM_ITEMS, weight, regularization=0.2)
    items, penalty = model.item_factors.astype(float), 0.2 * np.linalg.norm(dense(train, NUM_ITEMS), 2)
    for scores, row in zip(model.score(np.arange(5), histories), dense(histories, NUM_ITEMS), strict=True):
        weights = np.diag(np.where(row > 0, 1, weight))
        left = items.T @ weights @ items + penalty * np.eye(items.shape[1])
        np.testing.assert_allclose(scores, items @ np.linalg.solve(left, items.T @ weights @ row), atol=1e-5)


def test_with_the_full_weight_it_is_the_decomposition_with_shrunk_values() -> None:
    train = random_rows(num_items=NUM_ITEMS)
    done = dense(train, NUM_ITEMS)
    left, values, right = np.linalg.svd(done, full_matrices=False)
    expected = (left * np.maximum(values - 0.3 * values[0], 0)) @ right
    model = SoftImpute(train, NUM_ITEMS, unobserved_weight=1.0, regularization=0.3, tolerance=1e-6)
    np.testing.assert_allclose(model.score(np.arange(30), train), expected, atol=1e-4)


def test_nothing_is_left_of_the_largest_penalty() -> None:
    train = random_rows(num_items=NUM_ITEMS)
    model = SoftImpute(train, NUM_ITEMS, regularization=1.01)
    assert model.item_factors.shape == (NUM_ITEMS, 0)
    assert not model.score(np.arange(2), Ragged(np.array([1, 2], np.int32), np.array([0, 1, 2]))).any()


def test_the_rank_is_bounded() -> None:
    model = SoftImpute(random_rows(num_items=NUM_ITEMS), NUM_ITEMS, regularization=0.01, factors=4)
    assert model.item_factors.shape == (NUM_ITEMS, 4)
