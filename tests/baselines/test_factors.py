"""iALS, BPR and SVD++."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import optimize

from tfrec.baselines import BPR, IALS, SVDPlusPlus
from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.pairwise import Adagrad, Unseen, pairwise_slope
from tfrec.datasets.ragged import Ragged

from .contract import RecommenderContract
from .random_data import dense, random_rows

NUM_ITEMS = 14


class TestIALS(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self) -> IALS:
        return IALS(self.train, self.num_items, factors=3, iterations=2)


class TestBPR(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self) -> BPR:
        return BPR(self.train, self.num_items, factors=3, epochs=2)


class TestSVDPlusPlus(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self) -> SVDPlusPlus:
        return SVDPlusPlus(self.train, self.num_items, factors=3, epochs=2)


def test_ials_alternates_between_exact_solutions() -> None:
    train, histories = random_rows(num_items=NUM_ITEMS), random_rows(5, NUM_ITEMS, seed=1)
    done, asked = dense(train, NUM_ITEMS), dense(histories, NUM_ITEMS)
    factors, weight, penalty, exponent = 3, 0.4, 0.05, 0.5

    def solve(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
        solved = np.zeros((len(rows), factors))
        for number, row in enumerate(rows):
            left = penalty * (row.sum() + weight * len(others)) ** exponent * np.eye(factors)
            right = np.zeros(factors)
            for entry, vector in zip(row, others, strict=True):
                left += (entry + weight) * np.outer(vector, vector)
                right += entry * vector
            solved[number] = np.linalg.solve(left, right)
        return solved

    items = np.random.default_rng(5).normal(scale=0.1 / factors**0.5, size=(NUM_ITEMS, factors))
    for _ in range(2):
        items = solve(done.T, solve(done, items))
    model = IALS(train, NUM_ITEMS, factors, weight, penalty, exponent, iterations=2, seed=5)
    np.testing.assert_allclose(model.item_factors, items, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(
        model.score(np.arange(5), histories), solve(asked, items) @ items.T, rtol=1e-3, atol=1e-4
    )


def test_the_slope_is_that_of_the_logarithm_of_the_logistic_function() -> None:
    gaps = np.array([-3.0, 0.0, 2.0])
    differences = np.log1p(np.exp(-gaps - 1e-5)) - np.log1p(np.exp(-gaps + 1e-5))
    np.testing.assert_allclose(pairwise_slope(gaps), differences / 2e-5, rtol=1e-6)


def test_adagrad_adds_up_what_a_row_is_given_twice() -> None:
    # Row 1: 3 + 1 and twice .5 of what it is, 2: 4 + 2 = 6; its square is 36, and the step is .1 * 6 / 6.
    table = np.array([[1.0], [2.0], [3.0]], np.float32)
    Adagrad(table, learning_rate=0.1).step(np.array([1, 1]), np.array([[3.0], [1.0]], np.float32), 0.5)
    np.testing.assert_allclose(table, [[1], [1.9], [3]], rtol=1e-5)


def test_what_was_done_is_hardly_ever_drawn_as_not_done() -> None:
    train = Ragged(np.arange(5, dtype=np.int32), np.array([0, 5]))
    unseen = Unseen(InteractionMatrix(train, 10).binary, np.random.default_rng(0))
    drawn = unseen.draw(np.zeros(4000, int))
    # One in two is drawn anew, three times: one in sixteen is left, 250 of 4,000, with a standard deviation of 15.
    assert np.count_nonzero(drawn < 5) == pytest.approx(250, abs=75)
    assert set(drawn[drawn >= 5]) == {5, 6, 7, 8, 9}


@pytest.mark.parametrize("model", [BPR, SVDPlusPlus])
def test_puts_what_like_minded_users_do_before_what_they_do_not(model: type[BPR] | type[SVDPlusPlus]) -> None:
    # Two tastes: even users do even items, odd users odd ones, each but one of them.
    rows = [[item for item in range(user % 2, 12, 2) if item // 2 != user // 2 % 6] for user in range(48)]
    train = Ragged.from_lengths(np.concatenate(rows).astype(np.int32), np.array([len(row) for row in rows]))
    trained = model(train, 12, factors=4, epochs=40, seed=1)
    users = np.arange(48)
    scores = trained.score(users, train)
    missing = users % 2 + 2 * (users // 2 % 6)
    others = scores[users[:, None], (1 - users % 2)[:, None] + 2 * np.arange(6)]
    assert (scores[users, missing][:, None] > others).mean() > 0.95
    # Nor does somebody unknown need a row of training.
    history = Ragged(np.array([0, 2, 4, 1, 3, 5], np.int32), np.array([0, 3, 6]))
    strangers = trained.score(np.array([1000, 1001]), history)
    assert strangers[0, 6::2].min() > strangers[0, 7::2].max()
    assert strangers[1, 7::2].min() > strangers[1, 6::2].max()


def test_bpr_scores_whom_it_knows_by_the_trained_row() -> None:
    train = random_rows(num_items=NUM_ITEMS)
    model = BPR(train, NUM_ITEMS, factors=3, epochs=1)
    scores = model.score(np.array([2, 3]), random_rows(2, NUM_ITEMS, seed=3))
    expected = model.user_factors[[2, 3]] @ model.item_factors.T + model.item_biases
    np.testing.assert_allclose(scores, expected, rtol=1e-5)


def descend(loss: Callable[..., float], tables: list[np.ndarray], steps: int, learning_rate: float) -> list[np.ndarray]:
    """Adagrad's steps down a loss of tables and of the step's number, whose slope is found by differences."""
    tables = [table.astype(np.float64) for table in tables]
    squares = [np.full_like(table, 1e-6) for table in tables]
    for step in range(steps):
        slopes = [np.zeros_like(table) for table in tables]
        for table, slope in zip(tables, slopes, strict=True):
            for place in np.ndindex(*table.shape):
                kept = table[place]
                table[place] = kept + 1e-5
                above = loss(step, *tables)
                table[place] = kept - 1e-5
                slope[place] = (above - loss(step, *tables)) / 2e-5
                table[place] = kept
        for table, slope, square in zip(tables, slopes, squares, strict=True):
            square += slope**2
            table -= learning_rate * slope / np.sqrt(square)
    return tables


def test_bpr_goes_down_its_loss() -> None:
    train, penalty, generator = random_rows(8, NUM_ITEMS), 0.3, np.random.default_rng(4)
    matrix = InteractionMatrix(train, NUM_ITEMS).binary
    first = [generator.normal(scale=0.1, size=(count, 2)).astype(np.float32) for count in (8, NUM_ITEMS)]
    unseen, rows, triples = Unseen(matrix, generator), np.repeat(np.arange(8), np.diff(matrix.indptr)), []
    for _ in range(3):
        order = generator.permutation(len(rows))
        triples.append((rows[order], matrix.indices[order], unseen.draw(rows[order])))

    def loss(step: int, users: np.ndarray, items: np.ndarray, biases: np.ndarray) -> float:
        u, i, j = triples[step]
        gaps = biases[i] - biases[j] + (users[u] * (items[i] - items[j])).sum(axis=1)
        sizes = sum((part**2).sum() for part in (users[u], items[i], items[j], biases[i], biases[j]))
        return float(np.log1p(np.exp(-gaps)).sum() + penalty / 2 * sizes)

    users, items, biases = descend(loss, [*first, np.zeros(NUM_ITEMS)], steps=3, learning_rate=0.1)
    model = BPR(train, NUM_ITEMS, 2, learning_rate=0.1, regularization=penalty, epochs=3, seed=4)
    np.testing.assert_allclose(model.user_factors, users, atol=1e-3)
    np.testing.assert_allclose(model.item_factors, items, atol=1e-3)
    np.testing.assert_allclose(model.item_biases, biases, atol=1e-3)


def test_bpr_folds_in_whom_it_does_not_know() -> None:
    train, history = random_rows(num_items=NUM_ITEMS), Ragged(np.array([1, 4, 6, 4], np.int32), np.array([0, 4]))
    model = BPR(train, NUM_ITEMS, factors=3, epochs=1)
    items = model.item_factors.astype(np.float64)

    def loss(vector: np.ndarray) -> float:
        return float(((items[[1, 4, 6]] @ vector - 1) ** 2).sum() + ((items @ vector) ** 2).sum() + vector @ vector)

    vector = optimize.minimize(loss, np.zeros(3), tol=1e-12).x
    expected = items @ vector + model.item_biases
    np.testing.assert_allclose(model.score(np.array([1000]), history)[0], expected, atol=1e-5)


def test_svd_plus_plus_goes_down_its_loss() -> None:
    train, penalty, generator = random_rows(8, NUM_ITEMS), 0.3, np.random.default_rng(4)
    done = dense(train, NUM_ITEMS)
    first = [generator.normal(scale=0.1, size=(NUM_ITEMS, 2)).astype(np.float32) for _ in range(2)]
    unseen, triples = Unseen(InteractionMatrix(train, NUM_ITEMS).binary, generator), []
    for _ in range(3):
        pairs = [(user, item) for user in generator.permutation(8) for item in np.flatnonzero(done[user])]
        u, i = np.array(pairs).T
        triples.append((u, i, unseen.draw(u)))
    assert done.sum(axis=1).min() > 1

    def loss(step: int, users: np.ndarray, items: np.ndarray, others: np.ndarray, biases: np.ndarray) -> float:
        u, i, k = triples[step]
        rest = done[u] - np.eye(NUM_ITEMS)[i]
        vectors = users[u] + rest @ others / np.sqrt(rest.sum(axis=1, keepdims=True))
        gaps = biases[i] - biases[k] + (vectors * (items[i] - items[k])).sum(axis=1)
        sizes = sum((part**2).sum() for part in (users[u], items[i], items[k], others[i], biases[i], biases[k]))
        return float(np.log1p(np.exp(-gaps)).sum() + penalty / 2 * sizes)

    found = descend(loss, [np.zeros((8, 2)), *first, np.zeros(NUM_ITEMS)], steps=3, learning_rate=0.1)
    model = SVDPlusPlus(train, NUM_ITEMS, 2, learning_rate=0.1, regularization=penalty, epochs=3, seed=4)
    tables = (model.user_factors, model.item_factors, model.history_factors, model.item_biases)
    for table, expected in zip(tables, found, strict=True):
        np.testing.assert_allclose(table, expected, atol=1e-3)


def test_svd_plus_plus_is_the_users_vector_and_the_historys() -> None:
    train, history = random_rows(num_items=NUM_ITEMS), Ragged(np.array([1, 4, 6, 9], np.int32), np.array([0, 4, 4]))
    model = SVDPlusPlus(train, NUM_ITEMS, factors=3, epochs=1)
    scores = model.score(np.array([2, 3]), history)
    vector = model.user_factors[2] + model.history_factors[[1, 4, 6, 9]].sum(axis=0) / 2
    np.testing.assert_allclose(scores[0], model.item_factors @ vector + model.item_biases, rtol=1e-4, atol=1e-6)
    expected = model.item_factors @ model.user_factors[3] + model.item_biases
    np.testing.assert_allclose(scores[1], expected, rtol=1e-4, atol=1e-6)
