"""Items whose users are the same."""

from typing import Literal

import numpy as np
from scipy import sparse

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.item_item import ItemItemModel
from tfrec.baselines.neighbours import Weighting, most_alike
from tfrec.datasets.ragged import Ragged


class ItemKNN(ItemItemModel):
    """Item-based neighbours: Sarwar et al., "Item-Based Collaborative Filtering Recommendation Algorithms", WWW 2001.

    An item's score is the sum of its similarities with the items of the history whose k nearest it is among (Deshpande
    and Karypis, "Item-Based Top-N Recommendation Algorithms", ACM TOIS 22(1), 2004). Similarities are cosines of the
    items' columns, weighted:

    - `cosine`: ones. `tf_idf`, `bm25`: as `Weighting` has it, items being the documents and users the terms.
    - `adjusted_cosine` (Sarwar, eq. 3, with each item's norm over all its users): each user's mean is taken off first,
      for some rate everything highly. Of ratings, where `train.context` has a `value`, it is the mean of what the user
      rated. What is implicit has but ones, from which their mean would leave nothing: there the mean is over the whole
      catalogue, n of num_items for a user with n items, and what was not done counts as 0.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        similarity: One of these.
        neighbours: Items that each item lends weight to.
        shrinkage: Added to the product of the norms.

    Example:
        >>> ItemKNN(split.train, 1682, "bm25", neighbours=50).score(users, histories).shape
        (128, 1682)
    """

    name = "item_knn"

    def __init__(
        self,
        train: Ragged,
        num_items: int,
        similarity: Literal["cosine", "adjusted_cosine", "tf_idf", "bm25"] = "cosine",
        neighbours: int = 100,
        shrinkage: float = 0.0,
    ) -> None:
        matrix = InteractionMatrix(train, num_items)
        centre = None
        if similarity == "adjusted_cosine" and "value" in train.context:
            items = _centred_values(train, num_items).T.tocsr()
        elif similarity == "adjusted_cosine":
            items = matrix.binary.T.tocsr()
            centre = np.diff(matrix.binary.indptr) / num_items
        else:
            counts = matrix.counts.T.tocsr()
            items = Weighting("binary" if similarity == "cosine" else similarity, counts)(counts)
        self.weights = most_alike(items, neighbours, shrinkage, centre)


def _centred_values(train: Ragged, num_items: int) -> sparse.csr_array:
    """Each value less its user's mean; 0 where there is none. Repeats add up: float64 CSR [num_users, num_items]."""
    values = train.context["value"].astype(np.float64)
    has_value, rows = ~np.isnan(values), train.rows
    sums = np.bincount(rows[has_value], values[has_value], minlength=len(train))
    means = sums / np.maximum(np.bincount(rows[has_value], minlength=len(train)), 1)
    centred = np.where(has_value, values - means[rows], 0)
    return sparse.csr_array((centred, (rows, train.values)), shape=(len(train), num_items))
