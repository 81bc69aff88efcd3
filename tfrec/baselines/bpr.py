"""Factors of users and items that put what was done before what was not."""

import numpy as np
from scipy import linalg

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.pairwise import Adagrad, Unseen, pairwise_slope
from tfrec.datasets.ragged import Ragged


class BPR:
    """BPR-MF: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009.

    The least of `-sum of ln σ(x̂_ui - x̂_uj)` over users u, items i that u did and j that u did not, where
    `x̂_ui = b_i + w_u · h_i` (BPR-OPT, section 4.1). As in the paper's algorithm (figure 4) each drawn triple brings its
    penalty, `½ λ (|w_u|² + |h_i|² + |h_j|² + b_i² + b_j²)`, so that what is drawn often is held smaller than by the
    `λ |Θ|²` of BPR-OPT. Steps are Adagrad's over batches of the triples, and not the paper's single ones.

    The paper knows a user by a row that was trained: who has one is scored by it, whatever the history. Who has none is
    folded in: the w with the least `sum over the history of (w · h_i - 1)² + sum over all items of (w · h_i)²
    + |w|²`, beside the items' b.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        factors: Length of the vectors.
        learning_rate: Adagrad's.
        regularization: λ.
        epochs: Each draws as many triples as there are interactions.
        batch_size: Triples in a step.
        seed: Draws vectors and triples.

    Attributes:
        user_factors, item_factors: float32 [num_users, factors] and [num_items, factors].
        item_biases: b, float32 [num_items].

    Example:
        >>> BPR(split.train, 1682, factors=64).score(users, histories).shape
        (128, 1682)
    """

    name = "bpr"

    def __init__(
        self,
        train: Ragged,
        num_items: int,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        epochs: int = 30,
        batch_size: int = 2048,
        seed: int = 0,
    ) -> None:
        matrix = InteractionMatrix(train, num_items).binary
        generator = np.random.default_rng(seed)
        self.is_known = np.diff(matrix.indptr) > 0
        self.user_factors, self.item_factors = (
            generator.normal(scale=0.1, size=(count, factors)).astype(np.float32) for count in matrix.shape
        )
        biases = np.zeros((num_items, 1), np.float32)
        of_users, of_items, of_biases = (
            Adagrad(table, learning_rate) for table in (self.user_factors, self.item_factors, biases)
        )
        unseen = Unseen(matrix, generator)
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        for _ in range(epochs):
            order = generator.permutation(len(rows))
            for start in range(0, len(order), batch_size):
                batch = order[start : start + batch_size]
                users, done = rows[batch], matrix.indices[batch]
                not_done = unseen.draw(users)
                of_user = self.user_factors[users]
                apart = self.item_factors[done] - self.item_factors[not_done]
                gap = biases[done, 0] - biases[not_done, 0] + np.einsum("bf,bf->b", of_user, apart)
                slope = pairwise_slope(gap)[:, None]
                both = np.concatenate([done, not_done])
                of_users.step(users, slope * apart, regularization)
                of_items.step(both, np.concatenate([slope * of_user, -slope * of_user]), regularization)
                of_biases.step(both, np.concatenate([slope, -slope]), regularization)
        self.item_biases = biases[:, 0]

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """x̂: float32 [batch_size, num_items]."""
        vectors = np.zeros((len(users), self.item_factors.shape[1]), np.float32)
        known = users < len(self.is_known)
        known[known] = self.is_known[users[known]]
        vectors[known] = self.user_factors[users[known]]
        everywhere = self.item_factors.T @ self.item_factors + np.eye(self.item_factors.shape[1], dtype=np.float32)
        for row in np.flatnonzero(~known & (histories.lengths > 0)).tolist():
            done = self.item_factors[np.unique(histories[row])]
            vectors[row] = linalg.solve(everywhere + done.T @ done, done.sum(axis=0), assume_a="pos")
        scores: np.ndarray = vectors @ self.item_factors.T + self.item_biases
        return scores
