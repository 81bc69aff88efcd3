"""The items that are most like each."""

import numpy as np
import pytest

from tfrec.baselines.similar_items import similar_items

from .random_data import dense, random_rows

NUM_ITEMS = 14


def nearest(cosines: np.ndarray, count: int) -> np.ndarray:
    np.fill_diagonal(cosines, 0)
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
    return np.where(np.take_along_axis(cosines, order, axis=1) > 1e-9, order, -1)


@pytest.mark.parametrize("count", [3, 20])
def test_by_who_did_something_with_them(count: int) -> None:
    train = random_rows(num_items=NUM_ITEMS)
    train = train.where(train.values != 5)  # Nobody did anything with it.
    done = dense(train, NUM_ITEMS)
    lengths = np.maximum(np.linalg.norm(done, axis=0), 1e-9)
    expected = nearest(np.round(done.T @ done / lengths / lengths[:, None], 6), count)
    similar = similar_items(train, NUM_ITEMS, count)
    assert similar.dtype == np.int32
    assert similar.shape == (NUM_ITEMS, count)
    np.testing.assert_array_equal(similar[:, : expected.shape[1]], expected)
    assert (similar[5] == -1).all() and not (similar == 5).any()
    assert (similar[:, expected.shape[1] :] == -1).all()


def test_by_their_vectors_and_only_what_training_has_seen() -> None:
    train = random_rows(num_items=NUM_ITEMS)
    train = train.where(train.values != 5)
    vectors = np.random.default_rng(3).normal(size=(NUM_ITEMS, 4)).astype(np.float32)
    vectors[7] = 0
    lengths = np.maximum(np.linalg.norm(vectors, axis=1), 1e-9)
    cosines = vectors @ vectors.T / lengths / lengths[:, None]
    cosines[:, 5] = 0
    similar = similar_items(train, NUM_ITEMS, 4, vectors)
    np.testing.assert_array_equal(similar, nearest(cosines, 4))
    assert (similar[5] != -1).any() and not (similar == 5).any()
    assert (similar[7] == -1).all()
    assert similar_items(train, NUM_ITEMS, 30, vectors).shape == (NUM_ITEMS, 30)
