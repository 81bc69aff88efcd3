"""The vectors of rows, given those of the columns."""

import numpy as np
from scipy import sparse

ENTRIES_AT_ONCE = 2**22


def solve_rows(
    rows: sparse.csr_array, others: np.ndarray, everywhere: np.ndarray, penalties: np.ndarray, weight: float = 1.0
) -> np.ndarray:
    """`(weight sum of h_i h_iᵀ + everywhere + penalty I)⁻¹ sum of h_i`, the sums over what each row did.

    Args:
        rows: Who did what, CSR [num_rows, num_columns]; the values are passed over.
        others: h, float32 [num_columns, factors].
        everywhere: What all rows have in common, float32 [factors, factors].
        penalties: Of each row, [num_rows].
        weight: Of what was done.

    Returns:
        float32 [num_rows, factors]; 0 for a row that did nothing.
    """
    lengths = np.diff(rows.indptr)
    factors = others.shape[1]
    solved = np.zeros((len(lengths), factors), np.float32)
    padded = np.concatenate([others, np.zeros((1, factors), np.float32)])
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    start = 0
    while start < len(order):
        # Rows of like length, padded to the longest with a vector of zeros.
        stop = min(start + 256, len(order))
        while stop > start + 1 and (stop - start) * lengths[order[stop - 1]] * factors > ENTRIES_AT_ONCE:
            stop = start + (stop - start) // 2
        batch = order[start:stop]
        places = rows.indptr[batch][:, None] + np.arange(lengths[batch[-1]])
        is_there = places < rows.indptr[batch + 1][:, None]
        columns = np.where(is_there, rows.indices.take(places, mode="clip"), len(others))
        vectors = padded[columns]  # [batch, longest, factors]
        left = weight * (vectors.transpose(0, 2, 1) @ vectors) + everywhere
        left[:, np.arange(factors), np.arange(factors)] += penalties[batch][:, None].astype(np.float32)
        solved[batch] = np.linalg.solve(left, vectors.sum(axis=1)[:, :, None])[:, :, 0]
        start = stop
    return solved
