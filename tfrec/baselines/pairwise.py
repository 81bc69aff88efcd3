"""What the models that are trained on pairs share: what was not done, and the step."""

import numpy as np
from scipy import sparse, special


class Unseen:
    """Draws items that a user did not do.

    Args:
        matrix: What was done, CSR [num_users, num_items].
        generator: Draws.
    """

    def __init__(self, matrix: sparse.csr_array, generator: np.random.Generator) -> None:
        self.num_items = matrix.shape[1]
        rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
        self.done = np.sort(rows * self.num_items + matrix.indices)
        self.generator = generator

    def draw(self, users: np.ndarray) -> np.ndarray:
        """One item for each of the users, evenly from all; drawn anew, three times, where the user did it."""
        items = self.generator.integers(self.num_items, size=len(users))
        for _ in range(3):
            keys = users.astype(np.int64) * self.num_items + items
            places = np.searchsorted(self.done, keys)
            again = np.flatnonzero(self.done.take(places, mode="clip") == keys)
            items[again] = self.generator.integers(self.num_items, size=len(again))
        return items


class Adagrad:
    """Duchi, Hazan and Singer, "Adaptive Subgradient Methods", JMLR 2011, of the rows of a table that a step touches.

    Args:
        table: Changed in place, float32 [num_rows, size].
        learning_rate: Of the step.
    """

    def __init__(self, table: np.ndarray, learning_rate: float) -> None:
        self.table = table
        self.learning_rate = learning_rate
        self.squares = np.full_like(table, 1e-6)

    def step(self, rows: np.ndarray, gradients: np.ndarray, regularization: float) -> None:
        """Goes down: gradients float32 [num_given, size], of `rows` [num_given]; those of one row are added up."""
        touched, places = np.unique(rows, return_inverse=True)
        ones = np.ones(len(rows), np.float32)
        add_up = sparse.csr_array((ones, (places, np.arange(len(rows)))), shape=(len(touched), len(rows)))
        total = add_up @ gradients + regularization * add_up.sum(axis=1)[:, None] * self.table[touched]
        self.squares[touched] += total * total
        self.table[touched] -= self.learning_rate * total / np.sqrt(self.squares[touched])


def pairwise_slope(gaps: np.ndarray) -> np.ndarray:
    """Of `-ln σ(gap)`, by the gap: `-σ(-gap)`, float32 [num_pairs]."""
    slopes: np.ndarray = -special.expit(-gaps)
    return slopes
