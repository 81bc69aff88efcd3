"""A sparse linear model of items by items."""

import warnings

import numpy as np
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.item_item import ItemItemModel
from tfrec.baselines.neighbours import most_alike
from tfrec.datasets.ragged import Ragged


class SLIM(ItemItemModel):
    """Ning and Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011.

    For each item j the column w ≥ 0 with w_j = 0 that has the least
    `½ |x_j - X w|² + ½ l2 |w|² + l1 |w|₁` (eq. 3), by scikit-learn's coordinate descent. As the paper's fsSLIM, each
    item is explained by those most like it alone (section IV-D), which is much quicker and hardly worse.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        l1: How many weights become 0.
        l2: How small the others are.
        neighbours: The most similar items, by the cosine, that may explain an item; num_items: SLIM itself.

    Example:
        >>> SLIM(split.train, 1682, l1=1.0, l2=10.0).weights.nnz
    """

    name = "slim"

    def __init__(self, train: Ragged, num_items: int, l1: float = 1.0, l2: float = 10.0, neighbours: int = 100) -> None:
        matrix = InteractionMatrix(train, num_items).binary
        columns = matrix.tocsc().astype(np.float64)
        allowed = most_alike(matrix.T.tocsr(), neighbours, shrinkage=0.0)
        num_users = max(matrix.shape[0], 1)
        # scikit-learn divides the squared error by num_users, and has both penalties in alpha.
        alpha = (l1 + l2) / num_users
        regression = ElasticNet(
            alpha=alpha, l1_ratio=l1 / (l1 + l2), positive=True, fit_intercept=False, max_iter=100, tol=1e-3
        )
        items, explaining, weights = [], [], []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # After 100 rounds what is left does not show in ranks.
            for item in range(num_items):
                others = allowed.indices[allowed.indptr[item] : allowed.indptr[item + 1]]
                if not len(others):
                    continue
                regression.fit(columns[:, others], columns[:, [item]].toarray().ravel())
                kept = np.flatnonzero(regression.coef_)
                items.append(np.full(len(kept), item))
                explaining.append(others[kept])
                weights.append(regression.coef_[kept])
        entries = [np.concatenate(parts) if parts else np.zeros(0, int) for parts in (weights, explaining, items)]
        self.weights = sparse.csr_array(
            (entries[0].astype(np.float32), (entries[1], entries[2])), shape=(num_items, num_items)
        )
