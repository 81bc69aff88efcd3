"""The leading directions of the interaction matrix."""

import numpy as np
from sklearn.utils.extmath import randomized_svd

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.datasets.ragged import Ragged


class PureSVD:
    """Cremonesi, Koren and Turrin, "Performance of Recommender Algorithms on Top-N Recommendation Tasks", RecSys 2010.

    With `X ≈ U Σ Qᵀ`, the truncated singular value decomposition, what was not done being 0, a history x scores
    `x Q Qᵀ` (eq. 12): users need no row in training. By the randomised method of Halko, Martinsson and Tropp 2011. An
    empty history scores everything 0.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        factors: Directions; no more than there are users or items.
        seed: Of the random projection.

    Attributes:
        item_factors: Q, float32 [num_items, factors].

    Example:
        >>> PureSVD(split.train, 1682, factors=50).score(users, histories).shape
        (128, 1682)
    """

    name = "pure_svd"

    def __init__(self, train: Ragged, num_items: int, factors: int = 50, seed: int = 0) -> None:
        matrix = InteractionMatrix(train, num_items).binary
        factors = min(factors, *matrix.shape)
        _, _, directions = randomized_svd(matrix, factors, n_iter=7, random_state=seed)
        self.item_factors = np.ascontiguousarray(directions.T, dtype=np.float32)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """`x Q Qᵀ`: float32 [batch_size, num_items]."""
        history = InteractionMatrix(histories, len(self.item_factors)).binary
        scores: np.ndarray = (history @ self.item_factors) @ self.item_factors.T
        return scores
