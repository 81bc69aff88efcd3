"""What all models of items by items share: how they score."""

import numpy as np
from scipy import sparse

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.datasets.ragged import Ragged


class ItemItemModel:
    """Scores an item by the sum of its weights with the items of the history, `x B`.

    The user is nothing but the history x, so that users whom training never saw are scored as all others are. Repeats
    in a history count once. An empty history scores everything 0.

    Attributes:
        weights: B, float32 [num_items, num_items], row: the item of the history, column: the scored one; CSR or dense.
    """

    weights: sparse.csr_array | np.ndarray

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        """`x B`: float32 [batch_size, num_items]."""
        history = InteractionMatrix(histories, self.weights.shape[0]).binary
        scores = history @ self.weights
        return scores.toarray() if sparse.issparse(scores) else scores
