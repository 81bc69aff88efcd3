"""Factors of the user, and of all that the user did."""

import numpy as np
from scipy import sparse

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.pairwise import Adagrad, Unseen, pairwise_slope
from tfrec.datasets.ragged import Ragged


class SVDPlusPlus:
    """Koren, "Factorization Meets the Neighborhood", KDD 2008, eq. 15, trained to rank.

    `r̂_ui = b_i + q_i · (p_u + |N(u)|^-½ sum over N(u) of y_j)`; the mean and the user's bias of the paper change no
    order and are left out. The paper fits ratings by their squared error over what was rated; of what was only done
    there is nothing to fit so, and the loss is BPR's, `-ln σ(r̂_ui - r̂_uk)` for k that u did not do. As in FISM (Kabbur,
    Ning and Karypis, KDD 2013, eq. 5), i is not in the sum that explains i itself, which would learn to repeat it.

    N(u) is the history that is given. A user whom training never saw has no p_u: 0.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        factors: Length of the vectors.
        learning_rate: Adagrad's.
        regularization: λ; each triple brings `½ λ (|p_u|² + |q_i|² + |q_k|² + |y_i|² + b_i² + b_k²)`.
        epochs: Each takes every interaction once.
        users_at_once: Users in a step, with all that they did.
        seed: Draws vectors, order and what was not done.

    Attributes:
        item_factors, history_factors: q and y, float32 [num_items, factors].
        user_factors: p, float32 [num_users, factors]. item_biases: b, float32 [num_items].

    Example:
        >>> SVDPlusPlus(split.train, 1682, factors=32).score(users, histories).shape
        (128, 1682)
    """

    name = "svd_plus_plus"

    def __init__(
        self,
        train: Ragged,
        num_items: int,
        factors: int = 64,
        learning_rate: float = 0.05,
        regularization: float = 0.01,
        epochs: int = 30,
        users_at_once: int = 32,
        seed: int = 0,
    ) -> None:
        matrix = InteractionMatrix(train, num_items).binary
        generator = np.random.default_rng(seed)
        self.user_factors = np.zeros((matrix.shape[0], factors), np.float32)
        self.item_factors, self.history_factors = (
            generator.normal(scale=0.1, size=(num_items, factors)).astype(np.float32) for _ in range(2)
        )
        biases = np.zeros((num_items, 1), np.float32)
        steps = [
            Adagrad(table, learning_rate)
            for table in (self.user_factors, self.item_factors, self.history_factors, biases)
        ]
        unseen = Unseen(matrix, generator)
        lengths = np.diff(matrix.indptr)
        several = np.flatnonzero(lengths > 1)  # Without i, one who did nothing else has nothing to explain it.
        for _ in range(epochs):
            order = generator.permutation(several)
            for start in range(0, len(order), users_at_once):
                users = order[start : start + users_at_once]
                self._step(matrix[users], users, biases, steps, unseen, regularization)
        self.item_biases = biases[:, 0]

    def _step(
        self,
        history: sparse.csr_array,
        users: np.ndarray,
        biases: np.ndarray,
        steps: list[Adagrad],
        unseen: Unseen,
        regularization: float,
    ) -> None:
        lengths = np.diff(history.indptr)
        rows = np.repeat(np.arange(len(users)), lengths)
        scales = (lengths[rows] - 1.0).astype(np.float32)[:, None] ** -0.5
        done, not_done = history.indices, unseen.draw(users[rows])
        sums = (history @ self.history_factors)[rows] - self.history_factors[done]  # without i: [num_done, factors]
        of_user = self.user_factors[users[rows]] + scales * sums
        apart = self.item_factors[done] - self.item_factors[not_done]
        gap = biases[done, 0] - biases[not_done, 0] + np.einsum("bf,bf->b", of_user, apart)
        slope = pairwise_slope(gap)[:, None]
        both = np.concatenate([done, not_done])
        # y_j of a user: the slopes by all the user's i but j itself.
        slopes = slope * apart
        scaled = scales * slopes
        add_up = sparse.csr_array((np.ones(len(rows), np.float32), np.arange(len(rows)), history.indptr))
        of_history = (add_up @ scaled)[rows] - scaled
        of_users, of_items, of_histories, of_biases = steps
        of_users.step(users[rows], slopes, regularization)
        of_items.step(both, np.concatenate([slope * of_user, -slope * of_user]), regularization)
        of_histories.step(done, of_history, regularization)
        of_biases.step(both, np.concatenate([slope, -slope]), regularization)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """r̂: float32 [batch_size, num_items]."""
        history = InteractionMatrix(histories, len(self.item_factors)).binary
        scales = np.maximum(np.diff(history.indptr), 1).astype(np.float32)[:, None] ** -0.5
        vectors = scales * (history @ self.history_factors)
        known = users < len(self.user_factors)
        vectors[known] += self.user_factors[users[known]]
        scores: np.ndarray = vectors @ self.item_factors.T + self.item_biases
        return scores
