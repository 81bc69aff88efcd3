"""What every recommender promises. A test class inherits it and says how to build one."""

import numpy as np
import pytest

from tfrec.datasets.ragged import Ragged
from tfrec.evaluation.protocol import Recommender


class RecommenderContract:
    """Inherit and define a fixture `recommender`, built for `num_items` items and `num_users` users.

    Attributes:
        num_items: At least 4.
        num_users: At least 4.
        tolerance: How far scores may differ between batch sizes, relative and absolute: floating-point sums depend on
            the shapes. 0 for what computes each score by itself.

    Example:
        >>> class TestPopularity(RecommenderContract):
        ...     @pytest.fixture
        ...     def recommender(self) -> Popularity:
        ...         return Popularity(self.train, self.num_items)
    """

    num_items = 12
    num_users = 5
    tolerance = 0.0

    @property
    def train(self) -> Ragged:
        """A row for each user: user u did the first u items, and each of those before 3 twice."""
        rows = [[*range(user), *range(min(user, 3))] for user in range(self.num_users)]
        return _ragged([[code % self.num_items for code in row] for row in rows])

    @property
    def users(self) -> np.ndarray:
        return np.arange(self.num_users, dtype=np.int32)

    def test_scores_have_the_shape_and_type_of_the_catalogue(self, recommender: Recommender) -> None:
        scores = recommender.score(self.users, self.train)
        assert isinstance(scores, np.ndarray)
        assert scores.shape == (self.num_users, self.num_items)
        assert scores.dtype == np.float32

    def test_scores_are_finite(self, recommender: Recommender) -> None:
        assert np.isfinite(recommender.score(self.users, self.train)).all()

    def test_scores_are_the_same_twice(self, recommender: Recommender) -> None:
        first = np.array(recommender.score(self.users, self.train))
        np.testing.assert_array_equal(recommender.score(self.users, self.train), first)

    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_scores_do_not_depend_on_the_batch(self, recommender: Recommender, batch_size: int) -> None:
        together = np.array(recommender.score(self.users, self.train))
        for start in range(0, self.num_users, batch_size):
            users = self.users[start : start + batch_size]
            apart = recommender.score(users, _ragged([self.train[user].tolist() for user in users]))
            np.testing.assert_allclose(
                apart, together[start : start + batch_size], rtol=self.tolerance, atol=self.tolerance
            )

    def test_accepts_empty_histories(self, recommender: Recommender) -> None:
        scores = recommender.score(self.users, _ragged([[]] * self.num_users))
        assert scores.shape == (self.num_users, self.num_items)
        assert np.isfinite(scores).all()


def _ragged(rows: list[list[int]]) -> Ragged:
    lengths = [len(row) for row in rows]
    return Ragged(np.array([code for row in rows for code in row], np.int32), np.cumsum([0, *lengths], dtype=np.int64))
