"""Approximate top-k: only the cells that lie nearest to the query are looked at."""

import warnings

import numpy as np
import tensorflow as tf
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from tfrec import console
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING
from tfrec.indices.exact import ExactIndex, best_allowed, num_rescored

CELL = 16
"""Items of a cell at most."""
CLUSTER, SUBCLUSTER = 8192, 2 * CELL
"""Items of a cluster of the first and of the second level, on average."""
SAMPLED = 256
"""Items that the place of a cluster is learned from, on average."""


class InvertedLists(tf.Module):
    """The items with the largest dot products, among those of the cells whose means are nearest.

    An inverted file (Jégou, Douze and Schmid 2011, "Product Quantization for Nearest Neighbor Search", section IV): the
    means of cells are the coarse quantiser, and the cells hold the vectors in bfloat16; the exact products of the best
    decide. Cells hold few items each, of the same number, so that what is looked at has one shape; there are
    many of them, and an ExactIndex finds the nearest.

    Excluded items are masked before the last top-k, as in ExactIndex. Where so much is excluded that the cells hold too
    little else, the whole catalogue is looked at.

    Args:
        vectors: float32 [num_rows, dimensions], a row for each row of the item table.
        cells: Their item indices, int32 [num_cells, CELL], as of `divide`; 0 fills up.
        num_probes: How many cells are looked at.

    Call arguments, returns:
        As of ExactIndex.
    """

    def __init__(self, vectors: tf.Variable, cells: np.ndarray, num_probes: int) -> None:
        super().__init__(name="inverted_lists")
        self.vectors = vectors
        self.num_probes = min(num_probes, len(cells))
        self._exact = ExactIndex(vectors)
        self._cells = tf.Variable(cells, trainable=False, name="cells")
        codes = tf.gather(vectors.value(), cells)  # [num_cells, CELL, dimensions]
        filled = tf.cast(cells != PADDING, tf.float32)[:, :, tf.newaxis]
        means = tf.reduce_sum(codes * filled, axis=1) / tf.reduce_sum(filled, axis=1)
        self._codes = tf.Variable(tf.cast(codes, tf.bfloat16), trainable=False, name="codes")
        means = tf.pad(means, [[NUM_SPECIAL, 0], [0, 0]])
        self._nearest = ExactIndex(tf.Variable(means, trainable=False, name="means"), "bfloat16")

    def __call__(
        self, queries: tf.Tensor, excluded: tf.Tensor, top_k: int, allowed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if allowed is not None:
            return self._exact(queries, excluded, top_k, allowed)
        num_queries, num_members = tf.shape(queries)[0], self.num_probes * CELL
        _, nearest = self._nearest(queries, tf.zeros([num_queries, 0], tf.int32), self.num_probes)
        nearest = tf.maximum(nearest - NUM_SPECIAL, 0)  # A query that is no number finds none.
        members = tf.reshape(tf.gather(self._cells.value(), nearest), [num_queries, num_members])
        codes = tf.reshape(tf.gather(self._codes.value(), nearest), [num_queries, num_members, self._codes.shape[2]])
        scores = tf.squeeze(tf.matmul(codes, tf.cast(queries, tf.bfloat16)[:, :, tf.newaxis]), axis=2)
        scores = tf.where(members == PADDING, tf.float32.min, tf.cast(scores, tf.float32))
        num_taken = tf.minimum(tf.shape(excluded)[1] + num_rescored(top_k), num_members)
        _, places = tf.math.top_k(scores, num_taken)
        members = tf.gather(members, places, batch_dims=1)
        scores = tf.einsum("qd,qcd->qc", queries, tf.gather(self.vectors.value(), members))
        found = best_allowed(scores, members, excluded, top_k)
        return tf.cond(
            tf.reduce_all(found[1][:, -1] != PADDING),
            lambda: found,
            lambda: self._exact(queries, excluded, top_k),
        )


def divide(vectors: np.ndarray, seed: int = 0) -> np.ndarray:
    """Divides the items into cells of items that are alike.

    K-means twice (scikit-learn's, Lloyd's algorithm), inside each cluster again; then what is still too large is halved
    along the direction in which it is longest.

    Args:
        vectors: float32 [num_rows, dimensions], a row for each row of the item table.
        seed: The same seed gives the same cells.

    Returns:
        int32 [num_cells, CELL] item indices; 0 fills up.
    """
    items = np.arange(NUM_SPECIAL, len(vectors))
    generator = np.random.default_rng(seed)
    cells: list[np.ndarray] = []
    clusters = _cluster(vectors, items, CLUSTER, generator)
    with console.progress("cells of the index", len(items)) as advance:
        for cluster in clusters:
            for subcluster in _cluster(vectors, cluster, SUBCLUSTER, generator):
                cells += _halve(vectors, subcluster)
            advance(len(cluster))
    table = np.full((len(cells), CELL), PADDING, np.int32)
    for row, cell in zip(table, cells, strict=True):
        row[: len(cell)] = cell
    return table


def _cluster(vectors: np.ndarray, items: np.ndarray, size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Clusters of items, of about so many each."""
    number = len(items) // size
    if number < 2:
        return [items]
    sample = generator.permutation(items)[: number * SAMPLED]
    means = KMeans(number, init="random", n_init=1, max_iter=8, random_state=int(generator.integers(2**31)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # Of fewer different items than clusters.
        labels = means.fit(vectors[sample]).predict(vectors[items])
    order = np.argsort(labels, kind="stable")
    ends = np.searchsorted(labels[order], np.arange(number), side="right")
    return [part for part in np.split(items[order], ends[:-1]) if len(part)]


def _halve(vectors: np.ndarray, items: np.ndarray) -> list[np.ndarray]:
    if len(items) <= CELL:
        return [items]
    centred = vectors[items] - vectors[items].mean(axis=0)
    direction = centred[np.argmax((centred**2).sum(axis=1))]
    for _ in range(3):  # Power iteration.
        direction = centred.T @ (centred @ direction)
        direction /= max(float(np.linalg.norm(direction)), 1e-12)
    order = items[np.argsort(centred @ direction, kind="stable")]
    half = -(-len(items) // CELL) // 2 * CELL
    return [*_halve(vectors, order[:half]), *_halve(vectors, order[half:])]
