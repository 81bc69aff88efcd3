"""Approximate top-k: only the cells that lie nearest to the query are looked at."""

import warnings
from functools import partial

import numpy as np
import tensorflow as tf
from scipy.sparse import csr_matrix
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from tfrec import console
from tfrec.features.vocabulary import NUM_SPECIAL, PADDING
from tfrec.indices.exact import ExactIndex, best, best_allowed, in_turn

CELL = 16
"""Items of a cell at most."""
CLUSTER, SUBCLUSTER = 8192, 2 * CELL
"""Items of a cluster of the first and of the second level, on average."""
SAMPLED = 256
"""Items that the place of a cluster is learned from, on average."""
FEW_CELLS = 2**13
"""Of so many the means are all looked at, in no time."""
FEW_QUERIES = 4
"""Of more it can be quicker to look at all means at once than to gather some for each."""
WIDER = 3
"""Of the cells of cells so many times as many are looked at: what is missed there is missed for good."""
COMPONENTS_AT_ONCE = 2**26
"""Of the vectors that are looked at; more queries are answered in turn."""


class InvertedLists(tf.Module):
    """The items with the largest dot products, among those of the cells whose means are nearest.

    An inverted file (Jégou, Douze and Schmid 2011, "Product Quantization for Nearest Neighbor Search", section IV): the
    means of cells are the coarse quantiser. Cells hold few items each, with room for the same number, so that what is
    looked at has one shape. There are many of them, and an ExactIndex finds the nearest. Where more than `few_cells`
    are, they are in cells in turn, by their means, until few are left: a query goes down from these, to the best of
    what lies in the best cells of the level above. The items' own vectors are read: nothing is rounded or held twice.
    If `num_probes_of_all` is set, so many cells are looked at for more than FEW_QUERIES, nearest of all.

    Excluded items are masked before the last top-k, as in ExactIndex. Where so much is excluded that the cells hold too
    little else, the whole catalogue is looked at.

    Args:
        vectors: float32 [num_rows, dimensions], a row for each row of the item table.
        cells: Their item indices, int32 [num_cells, CELL], as of `divide`; 0 fills up.
        num_probes: How many cells of items are looked at.
        few_cells: Of so many the means are all looked at.

    Call arguments, returns:
        As of ExactIndex.
    """

    def __init__(self, vectors: tf.Variable, cells: np.ndarray, num_probes: int, few_cells: int) -> None:
        super().__init__(name="inverted_lists")
        self.num_probes, self.num_probes_of_all = num_probes, 0
        self._exact = ExactIndex(vectors)
        tables, members = [_table(cells)], [vectors]
        means = _means(cells, vectors.numpy())
        indices = [ExactIndex(tf.Variable(means, trainable=False, name="means"))]
        while len(cells) > few_cells:
            members.append(indices[-1].vectors)
            cells = divide(means)
            tables.append(_table(cells))
            means = _means(cells, means)
            indices.append(ExactIndex(tf.Variable(means, trainable=False, name="means")))
        # From the top down: indices of cells' means, cells, and the vectors of what is in them.
        self._indices, self._cells, self._members = indices[::-1], tables[::-1], members[::-1]

    def __call__(
        self, queries: tf.Tensor, excluded: tf.Tensor, top_k: int, allowed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if allowed is not None:
            return self._exact(queries, excluded, top_k, allowed)
        down = partial(self._find, 0, self.num_probes, top_k, queries, excluded)
        of_all = partial(self._find, -1, self.num_probes_of_all, top_k, queries, excluded)
        found = tf.cond(tf.shape(queries)[0] <= FEW_QUERIES, down, of_all) if self.num_probes_of_all else down()
        return tf.cond(
            tf.reduce_all(found[1][:, -1] != PADDING),
            lambda: found,
            lambda: self._exact(queries, excluded, top_k),
        )

    def _find(
        self, level: int, num_probes: int, top_k: int, queries: tf.Tensor, excluded: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Down from a level of the means."""
        num_components = WIDER * num_probes * CELL * int(self._members[-1].shape[1])
        find = partial(self._among_cells, level, num_probes)
        return in_turn(find, COMPONENTS_AT_ONCE // num_components, top_k, queries, excluded)

    def _among_cells(
        self, level: int, num_probes: int, top_k: int, queries: tf.Tensor, excluded: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        index, tables, members = self._indices[level], self._cells[level:], self._members[level:]
        probes = [WIDER * num_probes] * (len(tables) - 1) + [num_probes]
        numbers = [*probes[1:], tf.shape(excluded)[1] + top_k]
        _, nearest = index(queries, tf.zeros([tf.shape(queries)[0], 0], tf.int32), probes[0])
        for cells, vectors, number in zip(tables, members, numbers, strict=True):
            inside = tf.gather(cells.value(), nearest)  # [num_queries, num_nearest, CELL]
            inside = tf.reshape(inside, [tf.shape(queries)[0], CELL * tf.shape(nearest)[1]])
            scores = tf.einsum("qd,qcd->qc", queries, tf.gather(vectors.value(), inside))
            scores = tf.where(inside == PADDING, scores.dtype.min, scores)
            nearest, scores = best(scores, inside, number)
        return best_allowed(scores, nearest, excluded, top_k)


def _table(cells: np.ndarray) -> tf.Variable:
    """With a row for padding and unknown, as items have: a cell of cells is found like an item."""
    return tf.Variable(np.pad(cells, [[NUM_SPECIAL, 0], [0, 0]]), trainable=False, name="cells")


def _means(cells: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Of what is in each cell, float32 [NUM_SPECIAL + num_cells, dimensions]."""
    is_filled = cells != PADDING
    numbers = is_filled.sum(axis=1)
    ends = np.concatenate([[0], np.cumsum(numbers)])
    shares = np.repeat(1 / numbers, numbers).astype(np.float32)
    means = csr_matrix((shares, cells[is_filled], ends), shape=(len(cells), len(vectors))) @ vectors
    return np.pad(means, [[NUM_SPECIAL, 0], [0, 0]])


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
        # Where most items are nearly the same, as those that training never saw, nearly all are in one cluster, and
        # k-means in it would take the square of their number.
        for cluster in (part for each in clusters for part in _halve(vectors, each, 2 * CLUSTER)):
            for subcluster in _cluster(vectors, cluster, SUBCLUSTER, generator):
                cells += _halve(vectors, subcluster, CELL)
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


def _halve(vectors: np.ndarray, items: np.ndarray, size: int) -> list[np.ndarray]:
    """Halves of halves, until none has more items than `size`."""
    if len(items) <= size:
        return [items]
    centred = vectors[items] - vectors[items].mean(axis=0)
    direction = centred[np.argmax(np.einsum("id,id->i", centred, centred))]
    for _ in range(3):  # Power iteration.
        direction = centred.T @ (centred @ direction)
        direction /= max(float(np.linalg.norm(direction)), 1e-12)
    order = items[np.argsort(centred @ direction, kind="stable")]
    half = -(-len(items) // size) // 2 * size
    return [*_halve(vectors, order[:half], size), *_halve(vectors, order[half:], size)]
