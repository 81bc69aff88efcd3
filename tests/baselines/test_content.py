"""Content similarity."""

from typing import Literal

import numpy as np
import pytest

from tfrec.baselines import ContentSimilarity
from tfrec.datasets.ragged import Ragged

from .contract import RecommenderContract

# Lengths other than 1, so that a cosine and a dot product differ; item 3 has no text.
VECTORS = np.array([[2, 0], [0, 3], [3, 4], [0, 0]], np.float32)
UNIT = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]])
# User 0 did items 0 and 1, user 1 nothing, user 2 the item without text and item 2.
HISTORIES = Ragged(np.array([0, 1, 3, 2], np.int32), np.array([0, 2, 2, 4]))
USERS = np.arange(3, dtype=np.int32)


@pytest.mark.parametrize("pooling", ["mean", "max"])
class TestContentSimilarity(RecommenderContract):
    tolerance = 1e-6

    @pytest.fixture
    def recommender(self, pooling: Literal["mean", "max"]) -> ContentSimilarity:
        vectors = np.random.default_rng(0).normal(size=(self.num_items, 5)).astype(np.float32)
        return ContentSimilarity(vectors, pooling)


def test_is_the_cosine_with_the_mean_of_the_history() -> None:
    # User 0's mean is (1, 1) / 2, of direction (1, 1) / sqrt(2): cosines 1 / sqrt(2), 1 / sqrt(2), 1.4 / sqrt(2), 0.
    # User 2's mean is half of item 2's vector.
    scores = ContentSimilarity(VECTORS).score(USERS, HISTORIES)
    root = 2**-0.5
    np.testing.assert_allclose(scores, [[root, root, 1.4 * root, 0], [0] * 4, [0.6, 0.8, 1, 0]], atol=1e-6)


def test_is_the_cosine_with_the_nearest_of_the_history() -> None:
    # User 0: item 2 has 0.6 with item 0 and 0.8 with item 1. User 2: the item without text has 0 with all.
    scores = ContentSimilarity(VECTORS, "max").score(USERS, HISTORIES)
    np.testing.assert_allclose(scores, [[1, 1, 0.8, 0], [0] * 4, [0.6, 0.8, 1, 0]], atol=1e-6)


def test_does_not_scale_the_vectors_that_it_is_given() -> None:
    vectors = VECTORS.copy()
    recommender = ContentSimilarity(vectors)
    np.testing.assert_array_equal(vectors, VECTORS)
    np.testing.assert_allclose(recommender.vectors, UNIT, atol=1e-7)
