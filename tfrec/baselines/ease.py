"""A linear model of items by items, in closed form."""

import numpy as np
from scipy.linalg import lapack

from tfrec.baselines.interaction_matrix import InteractionMatrix
from tfrec.baselines.item_item import ItemItemModel
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError


class EASE(ItemItemModel):
    """Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", WWW 2019.

    Of all B with a zero diagonal, the one with the least `|X - X B|² + λ |B|²`: with `P = (XᵀX + λ I)⁻¹`,
    `B_ij = -P_ij / P_jj` for i ≠ j (eq. 8). Holds up to 20 num_items² bytes while it is fitted, 4
    afterwards, and takes time with the cube of num_items.

    Args:
        train: Each user's training interactions, a row a user.
        num_items: Size of the catalogue.
        regularization: λ, above 0; hundreds for a large catalogue.

    Raises:
        InputError: λ is not above 0, or so small that the matrix has no inverse in 64 bits.

    Example:
        >>> EASE(split.train, 1682, regularization=200.0).score(users, histories).shape
        (128, 1682)
    """

    name = "ease"

    def __init__(self, train: Ragged, num_items: int, regularization: float = 250.0) -> None:
        matrix = InteractionMatrix(train, num_items).binary
        gram = (matrix.T @ matrix).astype(np.float64).toarray(order="F")
        gram[np.diag_indices(num_items)] += regularization
        # Positive definite: Cholesky's factor, and the inverse from it, in the same memory. Only the lower triangle is.
        factor, failed = lapack.dpotrf(gram, lower=True, overwrite_a=True)
        if failed or regularization <= 0:
            raise InputError(
                "Expected a regularization above 0, under which all items can be told apart. "
                f"Received: {regularization}. Raise it; hundreds are usual."
            )
        inverse, _ = lapack.dpotri(factor, lower=True, overwrite_c=True)
        lower = inverse.astype(np.float32, order="C")
        del gram, factor, inverse
        diagonal = np.diag(lower).copy()
        weights = np.tril(lower, -1)
        del lower
        weights += weights.T
        weights /= -diagonal  # B_ij = -P_ij / P_jj
        self.weights: np.ndarray = weights
