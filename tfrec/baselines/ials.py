"""Factors of users and items by alternating least squares."""

import numpy as np
from scipy import sparse

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.least_squares import solve_rows
from tfrec.datasets.ragged import Ragged


class IALS:
    """Hu, Koren and Volinsky, "Collaborative Filtering for Implicit Feedback Datasets", ICDM 2008, in the form of
    Rendle et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks", RecSys 2022.

    The least of `sum over what was done of (w_u · h_i - 1)² + α₀ sum over all pairs of (w_u · h_i)²
    + sum of λ_u |w_u|² + sum of λ_i |h_i|²`, where `λ_u = λ (|I_u| + α₀ |I|)^ν` and likewise for items; each side in
    turn is solved for exactly, `w_u = (sum over I_u of h_i h_iᵀ + α₀ HᵀH + λ_u I)⁻¹ sum over I_u of h_i`.

    The same equation folds a history in, so that a user needs no row in training. An empty one scores everything 0.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        factors: Length of the vectors.
        unobserved_weight: α₀, what a pair that did not occur counts beside one that did.
        regularization: λ.
        frequency_exponent: ν, 1: who did more is regularised more; 0: all alike.
        iterations: Rounds of users and items.
        seed: Draws the first vectors.

    Attributes:
        item_factors: H, float32 [num_items, factors].

    Example:
        >>> IALS(split.train, 1682, factors=64).score(users, histories).shape
        (128, 1682)
    """

    name = "ials"

    def __init__(
        self,
        train: Ragged,
        num_items: int,
        factors: int = 64,
        unobserved_weight: float = 0.3,
        regularization: float = 0.01,
        frequency_exponent: float = 1.0,
        iterations: int = 12,
        seed: int = 0,
    ) -> None:
        self.unobserved_weight = unobserved_weight
        self.regularization = regularization
        self.frequency_exponent = frequency_exponent
        matrix = InteractionMatrix(train, num_items).binary
        transposed = matrix.T.tocsr()
        first = np.random.default_rng(seed).normal(scale=0.1 / factors**0.5, size=(num_items, factors))
        self.item_factors = first.astype(np.float32)
        for _ in range(iterations):
            user_factors = self._solve(matrix, self.item_factors)
            self.item_factors = self._solve(transposed, user_factors)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """`w · h_i` of the w that the history has: float32 [batch_size, num_items]."""
        history = InteractionMatrix(histories, len(self.item_factors)).binary
        scores: np.ndarray = self._solve(history, self.item_factors) @ self.item_factors.T
        return scores

    def _solve(self, rows: sparse.csr_array, others: np.ndarray) -> np.ndarray:
        """The vectors of these rows, those of the columns being `others`: float32 [num_rows, factors]."""
        everywhere = self.unobserved_weight * (others.T @ others)
        sizes = np.diff(rows.indptr) + self.unobserved_weight * len(others)
        return solve_rows(rows, others, everywhere, self.regularization * sizes**self.frequency_exponent)
