"""Users who did the same."""

from typing import Literal

import numpy as np
from scipy import sparse

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.neighbours import Weighting, highest
from tfrec.datasets.ragged import Ragged


class UserKNN:
    """User-based neighbours: an item's score is the sum of the similarities of the nearest users who did it.

    Resnick et al., "GroupLens: An Open Architecture for Collaborative Filtering of Netnews", CSCW 1994, for implicit
    data and by the cosine, `(u · v) / (|u| |v| + shrinkage)`. The history is compared with the training row of every
    user but the one that it is of. An empty history scores everything 0.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        similarity: `cosine` of ones, or of rows weighted by `tf_idf` or `bm25` (see `Weighting`): what many did says
            less of who is alike.
        neighbours: The nearest users that are asked.
        shrinkage: Added to the product of the norms.

    Example:
        >>> UserKNN(split.train, 1682, neighbours=80).score(users, histories).shape
        (128, 1682)
    """

    name = "user_knn"

    def __init__(
        self,
        train: Ragged,
        num_items: int,
        similarity: Literal["cosine", "tf_idf", "bm25"] = "cosine",
        neighbours: int = 100,
        shrinkage: float = 0.0,
    ) -> None:
        matrix = InteractionMatrix(train, num_items)
        self.num_items = num_items
        self.neighbours = neighbours
        self.shrinkage = shrinkage
        self.rows = matrix.binary
        self.weighting = Weighting("binary" if similarity == "cosine" else similarity, matrix.counts)
        weighted = self.weighting(matrix.counts)
        self.columns = weighted.T.tocsr()  # [num_items, num_users]
        self.norms = _norms(weighted)

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """Sums of similarities: float32 [batch_size, num_items]."""
        queries = self.weighting(InteractionMatrix(histories, self.num_items).counts)
        alike = sparse.coo_array(queries @ self.columns)  # [batch_size, num_users]
        row, user = alike.coords
        scales = _norms(queries)[row] * self.norms[user] + self.shrinkage
        alike.data = np.where(users[row] == user, 0, alike.data / scales).astype(np.float32)
        scores: np.ndarray = (highest(alike.tocsr(), self.neighbours) @ self.rows).toarray()
        return scores


def _norms(rows: sparse.csr_array) -> np.ndarray:
    norms: np.ndarray = np.sqrt(rows.multiply(rows).sum(axis=1))
    return norms
