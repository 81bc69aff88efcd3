"""Random interactions, and the dense matrix that oracles compute with."""

import numpy as np

from tfrec.datasets.ragged import Ragged


def random_rows(num_users: int = 30, num_items: int = 14, share: float = 0.3, seed: int = 0) -> Ragged:
    """A row for each user, each item in it with a probability that differs from item to item; none twice."""
    generator = np.random.default_rng(seed)
    done = generator.random((num_users, num_items)) < share * generator.uniform(0.3, 2, num_items)
    rows = [generator.permutation(np.flatnonzero(row)) for row in done]
    return Ragged.from_lengths(np.concatenate(rows).astype(np.int32), np.array([len(row) for row in rows]))


def dense(rows: Ragged, num_items: int) -> np.ndarray:
    """1 for what was done: float64 [num_rows, num_items]."""
    matrix = np.zeros((len(rows), num_items))
    matrix[rows.rows, rows.values] = 1
    return matrix
