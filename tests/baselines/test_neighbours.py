"""Item-based and user-based neighbours, beside loops over the papers' formulas."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import sparse

from tfrec.baselines import ItemKNN, UserKNN
from tfrec.baselines.neighbours import highest
from tfrec.datasets.ragged import Ragged

from .contract import RecommenderContract
from .random_data import dense, random_rows

NUM_ITEMS = 14
SHRINKAGE = 0.7


@pytest.mark.parametrize("similarity", ["cosine", "adjusted_cosine", "tf_idf", "bm25"])
class TestItemKNN(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self, similarity: str) -> ItemKNN:
        return ItemKNN(self.train, self.num_items, similarity, neighbours=3)


@pytest.mark.parametrize("similarity", ["cosine", "tf_idf", "bm25"])
class TestUserKNN(RecommenderContract):
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self, similarity: str) -> UserKNN:
        return UserKNN(self.train, self.num_items, similarity, neighbours=3)


def weigh(documents: np.ndarray, kind: str) -> np.ndarray:
    """Rows are documents; by loops."""
    num, width = documents.shape
    mean = documents.sum() / num
    weighted = np.zeros_like(documents)
    for row in range(num):
        for column in range(width):
            count, frequency = documents[row, column], np.count_nonzero(documents[:, column])
            if kind == "cosine":
                weighted[row, column] = count > 0
            elif kind == "tf_idf":
                weighted[row, column] = count * (1 + math.log((1 + num) / (1 + frequency)))
            else:
                idf = math.log(1 + (num - frequency + 0.5) / (frequency + 0.5))
                length = 1.2 * (1 - 0.75 + 0.75 * documents[row].sum() / mean)
                weighted[row, column] = idf * count * 2.2 / (count + length)
    return weighted


def nearest(similarity: Callable[[int, int], float], num: int, k: int) -> np.ndarray:
    found = np.zeros((num, num))
    for row in range(num):
        values = sorted(((similarity(row, other), other) for other in range(num) if other != row), reverse=True)
        for value, other in values[:k]:
            found[row, other] = max(value, 0)
    return found


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    product = float(first @ second)
    return product / (math.sqrt(first @ first) * math.sqrt(second @ second) + SHRINKAGE) if product else 0.0


@pytest.mark.parametrize("similarity", ["cosine", "tf_idf", "bm25"])
def test_items_are_as_near_as_the_formulas_say(similarity: str) -> None:
    train = random_rows(num_items=NUM_ITEMS)
    items = weigh(dense(train, NUM_ITEMS).T, similarity)
    expected = nearest(lambda i, j: cosine(items[i], items[j]), NUM_ITEMS, 4)
    model = ItemKNN(train, NUM_ITEMS, similarity, neighbours=4, shrinkage=SHRINKAGE)
    np.testing.assert_allclose(np.sort(model.weights.toarray()), np.sort(expected), rtol=1e-5, atol=1e-6)
    history = Ragged(np.array([3, 5, 3], np.int32), np.array([0, 3]))
    # A repeat counts once.
    np.testing.assert_allclose(
        model.score(np.array([0]), history)[0], model.weights.toarray()[[3, 5]].sum(axis=0), rtol=1e-6
    )


def test_the_adjusted_cosine_of_ones_takes_off_what_a_user_does_anyhow() -> None:
    train = random_rows(num_items=NUM_ITEMS)
    done = dense(train, NUM_ITEMS)
    centred = done - done.mean(axis=1, keepdims=True)
    together = done.T @ done > 0
    expected = nearest(
        lambda i, j: cosine(centred[:, i], centred[:, j]) if together[i, j] else 0.0, NUM_ITEMS, NUM_ITEMS
    )
    model = ItemKNN(train, NUM_ITEMS, "adjusted_cosine", neighbours=NUM_ITEMS, shrinkage=SHRINKAGE)
    np.testing.assert_allclose(model.weights.toarray(), expected, rtol=1e-5, atol=1e-6)


def test_the_adjusted_cosine_of_ratings_is_worked_out_by_hand() -> None:
    # User 0 rated item 0 with 5 and item 1 with 3: +1, -1. User 1 rated 0, 1, 2 with 4, 4, 1: +1, +1, -2.
    # User 2 rated item 1 with 2, which is the mean, and did item 2 without rating it.
    # Columns: (1, 1, -), (-1, 1, 0), (-, -2, 0): 0 and 1 have the product 0, 0 and 2 and 1 and 2 have -2.
    values = np.array([5, 3, 4, 4, 1, 2, np.nan], np.float32)
    train = Ragged(np.array([0, 1, 0, 1, 2, 1, 2], np.int32), np.array([0, 2, 5, 7]), {"value": values})
    assert ItemKNN(train, 3, "adjusted_cosine").weights.nnz == 0
    # With 3 in place of the 1: user 1's mean is 11 / 3, so +1/3, +1/3, -2/3, and 0 and 1 have -1 + 1/9.
    # With 5 and 3 turned about in user 0, and 4, 4, 1: columns (-1, 1), (1, 1), (-, -2).
    values[:2] = 3, 5
    assert ItemKNN(train, 3, "adjusted_cosine").weights.nnz == 0
    # Both like item 0 and item 1 more than item 2: user 0 rates 5, 5, 2, which is +1, +1, -2.
    values = np.array([5, 5, 2, 4, 4, 1], np.float32)
    train = Ragged(np.array([0, 1, 2, 0, 1, 2], np.int32), np.array([0, 3, 6]), {"value": values})
    weights = ItemKNN(train, 3, "adjusted_cosine").weights.toarray()
    np.testing.assert_allclose(weights, [[0, 1, 0], [1, 0, 0], [0, 0, 0]], atol=1e-6)


@pytest.mark.parametrize("similarity", ["cosine", "tf_idf", "bm25"])
def test_users_are_as_near_as_the_formulas_say(similarity: str) -> None:
    train, histories = random_rows(num_items=NUM_ITEMS), random_rows(6, NUM_ITEMS, seed=1)
    done, asked = dense(train, NUM_ITEMS), dense(histories, NUM_ITEMS)
    users = np.array([4, 7, 999, 0, 1, 2], np.int32)  # One whom training never saw.
    known = weigh(done, similarity)
    scores = UserKNN(train, NUM_ITEMS, similarity, neighbours=5, shrinkage=SHRINKAGE).score(users, histories)
    for row, user in enumerate(users.tolist()):
        # The history is weighed by what training says: as one more row it would change the frequencies.
        query = np.zeros(NUM_ITEMS)
        for item in np.flatnonzero(asked[row]):
            frequency = np.count_nonzero(done[:, item])
            if similarity == "cosine":
                query[item] = 1
            elif similarity == "tf_idf":
                query[item] = 1 + math.log(31 / (1 + frequency))
            else:
                length = 1.2 * (1 - 0.75 + 0.75 * asked[row].sum() / (done.sum() / 30))
                query[item] = math.log(1 + (30 - frequency + 0.5) / (frequency + 0.5)) * 2.2 / (1 + length)
        alike = [cosine(query, known[other]) if other != user else 0.0 for other in range(30)]
        order = sorted(range(30), key=lambda other: (-alike[other], other))[:5]
        expected = sum(alike[other] * done[other] for other in order)
        np.testing.assert_allclose(scores[row], expected, rtol=1e-4, atol=1e-5)


def test_nobody_is_their_own_neighbour() -> None:
    # Users 0 and 1 share item 0, and user 2 shares item 1 with user 0. Nobody is as like user 0 as user 0.
    train = Ragged(np.array([0, 1, 0, 2, 1, 3, 4], np.int32), np.array([0, 2, 4, 7]))
    scores = UserKNN(train, 5, neighbours=1).score(np.array([0, 77]), train.take(np.array([0, 0])))
    assert np.flatnonzero(scores[0]).tolist() == [0, 2]
    # A stranger with the same history is most like user 0.
    assert np.flatnonzero(scores[1]).tolist() == [0, 1]


def test_only_the_highest_of_a_row_are_kept_and_of_equal_ones_the_first() -> None:
    rows = sparse.csr_array(np.array([[2, 1, 1, 1, 3], [0, -1, 0, 5, 0]], np.float32))
    assert highest(rows, 3).toarray().tolist() == [[2, 1, 0, 0, 3], [0, 0, 0, 5, 0]]
