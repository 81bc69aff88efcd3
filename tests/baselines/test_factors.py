"""iALS, BPR and SVD++."""

import numpy as np
import pytest

from tfrec.baselines import BPR, IALS, SVDPlusPlus
from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.pairwise import Adagrad, Unseen, pairwise_slope
from tfrec.datasets.dataset import Ragged

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


def test_svd_plus_plus_is_the_users_vector_and_the_historys() -> None:
    train, history = random_rows(num_items=NUM_ITEMS), Ragged(np.array([1, 4, 6, 9], np.int32), np.array([0, 4, 4]))
    model = SVDPlusPlus(train, NUM_ITEMS, factors=3, epochs=1)
    scores = model.score(np.array([2, 3]), history)
    vector = model.user_factors[2] + model.history_factors[[1, 4, 6, 9]].sum(axis=0) / 2
    np.testing.assert_allclose(scores[0], model.item_factors @ vector + model.item_biases, rtol=1e-4, atol=1e-6)
    expected = model.item_factors @ model.user_factors[3] + model.item_biases
    np.testing.assert_allclose(scores[1], expected, rtol=1e-4, atol=1e-6)


def test_svd_plus_plus_goes_down_the_slope_of_its_loss() -> None:
    # One user of three items, one item that is left to be not done: nothing is drawn but that one, and a first step of
    # Adagrad's goes against the sign of each slope, by the learning rate.
    train = Ragged(np.array([0, 1, 2], np.int32), np.array([0, 3]))
    before = SVDPlusPlus(train, 4, factors=2, epochs=0, seed=7)
    after = SVDPlusPlus(train, 4, factors=2, epochs=1, learning_rate=1e-3, regularization=0.0, seed=7)
    generator = np.random.default_rng(7)
    for _ in range(2):
        generator.normal(scale=0.1, size=(4, 2))
    generator.permutation(1)
    drawn = Unseen(InteractionMatrix(train, 4).binary, generator).draw(np.zeros(3, int))

    def loss(history_factors: np.ndarray) -> float:
        total = 0.0
        for item, other in zip(range(3), drawn, strict=True):
            vector = np.delete(history_factors[:3], item, axis=0).sum(axis=0) / 2**0.5
            gap = (before.item_factors[item] - before.item_factors[other]).astype(float) @ vector
            total += np.log1p(np.exp(-gap))
        return total

    for item in range(3):
        for factor in range(2):
            shift = np.zeros((4, 2))
            shift[item, factor] = 1e-5
            slope = loss(before.history_factors + shift) - loss(before.history_factors - shift)
            moved = after.history_factors[item, factor] - before.history_factors[item, factor]
            assert np.sign(moved) == -np.sign(slope)
            assert abs(moved) == pytest.approx(1e-3, rel=0.1)
