"""What training knew of items and users, for metrics beyond accuracy and for cohorts."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Background:
    """What is known beside the cases.

    Attributes:
        counts: Training interactions of each item, int [num_items].
        trained: Training interactions of each user, int [num_users].
        vectors: What items are like, such as their texts' vectors, float [num_items, size]; None: nothing is known.
        categories: The share of each category in an item, float [num_items, num_categories]: a film of two genres has
            twice .5, one of none has zeros; None: there are none.
    """

    counts: np.ndarray
    trained: np.ndarray
    vectors: np.ndarray | None = None
    categories: np.ndarray | None = None


def shares(codes: np.ndarray, first: int) -> np.ndarray:
    """The share of each category in each item, float64 [num_items, num_categories].

    Args:
        codes: Category codes, int [num_items] or, of several a item, [num_items, num_values].
        first: The lowest code that is a category: what is below is padding or unknown.
    """
    codes = codes.reshape(len(codes), -1)
    found = np.zeros((len(codes), max(int(codes.max(initial=0)) + 1, first)))
    np.add.at(found, (np.arange(len(codes))[:, None], codes), 1)
    found = found[:, first:]
    shared: np.ndarray = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
    return shared
