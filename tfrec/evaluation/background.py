"""What training knew of items and users, for metrics beyond accuracy and for cohorts."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse


@dataclass(frozen=True)
class Background:
    """What is known beside the cases.

    Attributes:
        counts: Training interactions of each item, int [num_items].
        trained: Training interactions of each user, int [num_users].
        vectors: What items are like, such as their texts' vectors, float [num_items, size]; None: nothing is known.
        categories: The share of each category in an item, sparse float [num_items, num_categories]: a film of two
            genres has twice .5, one of none has nothing; None: there are none.
    """

    counts: np.ndarray
    trained: np.ndarray
    vectors: np.ndarray | None = None
    categories: sparse.csr_array | None = None


def shares(codes: np.ndarray, first: int) -> sparse.csr_array:
    """The share of each category in each item, float64 CSR [num_items, num_categories].

    Args:
        codes: Category codes, int [num_items] or, of several a item, [num_items, num_values].
        first: The lowest code that is a category: what is below is padding or unknown.
    """
    codes = codes.reshape(len(codes), -1)
    items, places = np.nonzero(codes >= first)
    size = max(int(codes.max(initial=0)) + 1 - first, 0)
    found = sparse.csr_array((np.ones(len(items)), (items, codes[items, places] - first)), shape=(len(codes), size))
    return sparse.csr_array(found.multiply(1 / np.maximum(found.sum(axis=1), 1)[:, None]))
