"""The interaction matrix, completed to one of low rank."""

import numpy as np
from scipy import sparse
from scipy.linalg import qr, svd
from scipy.sparse.linalg import LinearOperator, aslinearoperator
from sklearn.utils.extmath import randomized_svd

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.least_squares import solve_rows
from tfrec.datasets.ragged import Ragged

ENTRIES_AT_ONCE = 2**24


class SoftImpute:
    """Low-rank completion: Mazumder, Hastie and Tibshirani, "Spectral Regularization Algorithms for Learning Large
    Incomplete Matrices", JMLR 11, 2010.

    Their matrix is of ratings, of which the missing ones are unknown: the Z with the least
    `½ sum over what was observed of (r_ui - z_ui)² + λ ‖Z‖_*`, the nuclear norm being the sum of the singular values,
    is found by `Z ← S_λ(P_Ω(R) + P_Ω^⊥(Z))` (algorithm 1), which fills in what is missing with what is believed, and
    takes λ off each singular value. Of what was only done all observed entries are 1, and the best completion is that
    everybody does everything. So what was not done is here a weak 0, as in Pan et al., "One-Class Collaborative
    Filtering", ICDM 2008 (its uniform weights): the least of

        ½ sum over what was done of (1 - z_ui)² + ½ w sum over all others of z_ui² + λ ‖Z‖_*

    The weighted step is `Z ← S_λ((1 - w) Z + P_Ω(1 - (1 - w) Z))`, by the majorisation of Srebro and Jaakkola,
    "Weighted Low-Rank Approximations", ICML 2003. With w = 0 it is theirs; with w = 1 it is one step, PureSVD with
    shrunk singular values. In between it is the convex twin of iALS: ‖Z‖_* is the least `½ (‖A‖² + ‖B‖²)` of all
    `Z = A Bᵀ` (lemma 6), so that α₀ there is w / (1 - w) here, and the rank comes of λ.

    What S_λ is taken of is a matrix of low rank and a sparse one, and is never formed. Its leading directions are
    followed from step to step by one step of subspace iteration each, as softImpute-ALS does it (Hastie et al., "Matrix
    Completion and Low-Rank SVD via Fast Alternating Least Squares", JMLR 16, 2015).

    A history is folded in by the A that belongs to it, B being kept, `(w BᵀB + (1 - w) B_IᵀB_I + λ I)⁻¹ B_Iᵀ 1`: for
    a row of training that is its row of Z. An empty one scores everything 0.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        unobserved_weight: w, from 0 to 1.
        regularization: λ, as a share of the largest singular value; of 1 and more nothing is left.
        factors: The highest rank.
        iterations: At most so many steps.
        tolerance: Steps end when the singular values change by less than this share of them.
        seed: Of the random projection that it begins with.

    Attributes:
        item_factors: B, float32 [num_items, rank]. Its columns are orthogonal, their squared lengths Z's singular
            values.

    Example:
        >>> SoftImpute(split.train, 1682, unobserved_weight=0.3).score(users, histories).shape
        (128, 1682)
    """

    name = "soft_impute"

    def __init__(
        self,
        train: Ragged,
        num_items: int,
        unobserved_weight: float = 0.3,
        regularization: float = 0.1,
        factors: int = 100,
        iterations: int = 30,
        tolerance: float = 1e-3,
        seed: int = 0,
    ) -> None:
        matrix = InteractionMatrix(train, num_items).binary
        left, values, right = randomized_svd(matrix, min(factors, *matrix.shape), n_iter=7, random_state=seed)
        self.unobserved_weight = unobserved_weight
        self.penalty = float(regularization * values[0])
        right = right.T
        values = np.maximum(values - self.penalty, 0)
        for _ in range(iterations):
            before = values
            filled = self._filled(matrix, left * values, right)
            left, _ = qr(filled @ right, mode="economic")
            right, values, rotation = svd(filled.rmatmat(left), full_matrices=False)
            left = left @ rotation.T
            values = np.maximum(values - self.penalty, 0)
            if np.linalg.norm(values - before) <= tolerance * np.linalg.norm(values):
                break
        rank = np.count_nonzero(values)
        self.item_factors = np.ascontiguousarray(right[:, :rank] * values[:rank] ** 0.5, dtype=np.float32)

    def _filled(self, matrix: sparse.csr_array, left: np.ndarray, right: np.ndarray) -> LinearOperator:
        """`(1 - w) Z + P_Ω(1 - (1 - w) Z)`, of `Z = left rightᵀ`."""
        believed = 1 - self.unobserved_weight
        rest = matrix.copy()
        rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        at_once = max(ENTRIES_AT_ONCE // left.shape[1], 1)
        for low in range(0, len(rows), at_once):
            some = slice(low, low + at_once)
            rest.data[some] -= believed * np.einsum("ef,ef->e", left[rows[some]], right[matrix.indices[some]])
        return aslinearoperator(rest) + aslinearoperator(believed * left) @ aslinearoperator(right.T)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """The rows of Z that the histories have: float32 [batch_size, num_items]."""
        history = InteractionMatrix(histories, len(self.item_factors)).binary
        everywhere = self.unobserved_weight * (self.item_factors.T @ self.item_factors)
        penalties = np.full(len(histories), self.penalty)
        vectors = solve_rows(history, self.item_factors, everywhere, penalties, 1 - self.unobserved_weight)
        scores: np.ndarray = vectors @ self.item_factors.T
        return scores
