"""The rows of a sparse matrix that are most alike, without ever holding all pairs."""

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfTransformer

ROWS_AT_ONCE = 512
K1, B = 1.2, 0.75
"""BM25's: how soon a repeat stops counting, and how much a long row is held against it."""


class Weighting:
    """How much each entry of a row says, by what is known of all rows.

    Rows are documents and columns are their terms: of users' rows an item that few have says more, of items' rows a
    user of few items does.

    - `binary`: 1.
    - `tf_idf`: `count (1 + ln((1 + n) / (1 + df)))`, by scikit-learn (Salton and Buckley 1988, smoothed).
    - `bm25`: `idf count (K1 + 1) / (count + K1 (1 - B + B length / mean length))`, where
      `idf = ln(1 + (n - df + 0.5) / (df + 0.5))` (Robertson and Zaragoza 2009, eq. 3.15; idf as in Lucene, above 0).

    Args:
        kind: One of these.
        rows: What is learned from: counts, CSR [num_rows, num_columns].
    """

    def __init__(self, kind: str, rows: sparse.csr_array) -> None:
        self.kind = kind
        frequency = np.bincount(rows.indices, minlength=rows.shape[1])  # df: the rows that have a column
        self.mean_length = max(rows.sum() / max(rows.shape[0], 1), 1e-9)
        self.idf = np.log1p((rows.shape[0] - frequency + 0.5) / (frequency + 0.5)).astype(np.float32)
        self._tf_idf = TfidfTransformer(norm=None).fit(rows) if kind == "tf_idf" else None

    def __call__(self, rows: sparse.csr_array) -> sparse.csr_array:
        """The weighted entries of these rows, which need not be those that it has learned from."""
        if self._tf_idf is not None:
            return sparse.csr_array(self._tf_idf.transform(rows), dtype=np.float32)
        weighted = rows.copy()
        if self.kind == "binary":
            weighted.data = np.ones_like(rows.data)
            return weighted
        lengths = np.repeat(rows.sum(axis=1) / self.mean_length, np.diff(rows.indptr))
        saturated = rows.data * (K1 + 1) / (rows.data + K1 * (1 - B + B * lengths))
        weighted.data = (saturated * self.idf[rows.indices]).astype(np.float32)
        return weighted


def most_alike(
    rows: sparse.csr_array, neighbours: int, shrinkage: float, centre: np.ndarray | None = None
) -> sparse.csr_array:
    """For each row its nearest others by the cosine: float32 CSR [num_rows, num_rows], each row's k highest.

    `similarity(i, j) = (i · j) / (|i| |j| + shrinkage)`: shrinkage pulls down what rests on a few entries alone. Only
    pairs that share a column, and only similarities above 0, are kept; no row is its own neighbour.

    Args:
        rows: CSR [num_rows, num_columns].
        neighbours: k.
        shrinkage: 0 or more.
        centre: What is taken from every entry of a row, those that are not stored too: float [num_columns].
    """
    shift, constant = np.zeros(rows.shape[0]), 0.0
    if centre is not None:
        # (i - c) · (j - c) = i · j - i · c - j · c + c · c
        shift, constant = rows @ centre, float(centre @ centre)
    norms = np.sqrt(np.maximum(rows.multiply(rows).sum(axis=1) - 2 * shift + constant, 0))
    transposed = rows.T.tocsr()
    parts = []
    for start in range(0, rows.shape[0], ROWS_AT_ONCE):
        block = sparse.coo_array(rows[start : start + ROWS_AT_ONCE] @ transposed)
        first, second = block.coords[0] + start, block.coords[1]
        products = block.data - shift[first] - shift[second] + constant
        scales = norms[first] * norms[second] + shrinkage
        similarity = np.divide(products, scales, out=np.zeros(len(products)), where=scales > 0)
        similarity[first == second] = 0
        block.data = similarity.astype(np.float32)
        parts.append(highest(block.tocsr(), neighbours))
    return sparse.vstack(parts, format="csr")


def highest(rows: sparse.csr_array, k: int) -> sparse.csr_array:
    """Only the k highest entries of each row, of those above 0; of equal ones those of the lower columns."""
    keep = rows.data > 0
    lengths = np.diff(rows.indptr)
    for row in np.flatnonzero(lengths > k).tolist():
        place = slice(rows.indptr[row], rows.indptr[row + 1])
        limit = np.partition(rows.data[place], -k)[-k]
        above, equal = rows.data[place] > limit, np.flatnonzero(rows.data[place] == limit)
        equal = equal[np.argsort(rows.indices[place][equal])][: k - np.count_nonzero(above)]
        above[equal] = True
        keep[place] &= above
    offsets = np.concatenate([[0], np.cumsum(keep)])[rows.indptr].astype(np.int32)
    return sparse.csr_array((rows.data[keep], rows.indices[keep].astype(np.int32), offsets), shape=rows.shape)
