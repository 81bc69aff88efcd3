"""Exact top-k over the whole catalogue."""

from typing import Literal

import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL, PADDING

BLOCK = 64
"""Items of which the best is looked at first."""
SMALL = 2**15
"""Up to so many rows, all scores are sorted at once."""
SCORES_AT_ONCE = 2**27
"""Of queries and items; more queries are answered in turn."""
FEW_QUERIES = 4
"""Of so few the product is quicker the other way round."""


class ExactIndex(tf.Module):
    r"""The items with the largest dot products, all of them looked at, in two stages.

    1. All products, and the maximum of each block of items. The k best items lie in the k blocks with the largest
       maxima.
    2. The k best of what these blocks hold.

    With `bfloat16` the first stage reads half the bytes, and is rounded: some more blocks and items are taken, and
    their exact products decide. What is left out is better than the last of the answer by less than
    $2^{-6} |q| \max |v|$, twice the rounding of both factors and of their product.

    Of items that are excluded there are so many blocks and items more, and a mask before the last top-k: an excluded
    item can't come back, however few are left.

    Args:
        vectors: float32 [num_rows, dimensions], a row for each row of the item table: the first two are padding and
            unknown, never an answer.
        precision: Of the first stage. bfloat16 needs half as much memory again, and pays where the processor
            multiplies it.

    Call arguments:
        queries: float32 [batch_size, dimensions]
        excluded: int32 [batch_size, num_excluded] item indices; 0 and 1 exclude nothing.
        top_k: How many are wanted.

    Returns:
        Scores float32 [batch_size, top_k], best first, and item indices int32 [batch_size, top_k]. Where fewer items
        are left, the index is 0 and the score 0.
    """

    def __init__(self, vectors: tf.Variable, precision: Literal["float32", "bfloat16"] = "float32") -> None:
        super().__init__(name="exact_index")
        self.vectors = vectors
        self.num_rows = int(vectors.shape[0])
        self.is_rounded = precision == "bfloat16" and self.num_rows > SMALL
        self._read = vectors
        if self.is_rounded:
            self._read = tf.Variable(tf.cast(vectors, tf.bfloat16), trainable=False, name="rounded_vectors")

    def __call__(self, queries: tf.Tensor, excluded: tf.Tensor, top_k: int) -> tuple[tf.Tensor, tf.Tensor]:
        if self.num_rows <= SMALL or top_k * 2 * BLOCK > self.num_rows:
            return self._at_once(queries, excluded, top_k)
        batch_size = tf.shape(queries)[0]
        num_parts = tf.maximum(-(-batch_size // max(SCORES_AT_ONCE // self.num_rows, 1)), 1)
        size = -(-batch_size // num_parts)
        missing = num_parts * size - batch_size

        def parts(rows: tf.Tensor) -> tf.Tensor:
            padded = tf.pad(rows, [[0, missing], [0, 0]])
            return tf.reshape(padded, [num_parts, size, tf.shape(rows)[1]])

        scores, indices = tf.map_fn(
            lambda part: self._in_blocks(part[0], part[1], top_k),
            (tf.ensure_shape(parts(queries), [None, None, queries.shape[1]]), parts(excluded)),
            fn_output_signature=(
                tf.TensorSpec([None, top_k], tf.float32),
                tf.TensorSpec([None, top_k], tf.int32),
            ),
            parallel_iterations=1,
        )
        return tuple(tf.reshape(each, [-1, top_k])[:batch_size] for each in (scores, indices))  # type: ignore[return-value]

    def _at_once(self, queries: tf.Tensor, excluded: tf.Tensor, top_k: int) -> tuple[tf.Tensor, tf.Tensor]:
        return top_items(tf.matmul(queries, self.vectors, transpose_b=True), excluded, top_k)

    def _in_blocks(self, queries: tf.Tensor, excluded: tf.Tensor, top_k: int) -> tuple[tf.Tensor, tf.Tensor]:
        num_queries, num_blocks = tf.shape(queries)[0], self.num_rows // BLOCK
        asked = tf.cast(queries, self._read.dtype)
        # Items first: [num_rows, num_queries]
        products = tf.cond(
            num_queries <= FEW_QUERIES,
            lambda: tf.transpose(tf.matmul(asked, self._read, transpose_b=True)),
            lambda: tf.matmul(self._read, asked, transpose_b=True),
        )
        # Item i is in block i modulo num_blocks, so that maxima are of whole stretches.
        maxima = tf.reshape(products[: num_blocks * BLOCK], [BLOCK, -1])
        height = BLOCK
        while height > 1:
            height //= 2
            maxima = tf.maximum(maxima[:height], maxima[height:])
        maxima = tf.transpose(tf.reshape(tf.cast(maxima, tf.float32), [num_blocks, num_queries]))
        # The best that are allowed are among so many of all.
        num_barred = tf.shape(excluded)[1] + NUM_SPECIAL
        num_taken = num_barred + (num_rescored(top_k) if self.is_rounded else top_k)
        _, blocks = tf.math.top_k(maxima, tf.minimum(num_taken, num_blocks))
        # In the order of the catalogue, so that of equal scores the first is taken.
        members = tf.sort(blocks)[:, tf.newaxis] + num_blocks * tf.range(BLOCK)[:, tf.newaxis]
        rest = tf.tile(tf.range(num_blocks * BLOCK, self.num_rows)[tf.newaxis], [num_queries, 1])
        members = tf.concat([tf.reshape(members, [num_queries, -1]), rest], axis=1)
        # int64: of many queries the products may be more than 2^31.
        places = tf.cast(members, tf.int64) * tf.cast(num_queries, tf.int64)
        places += tf.range(num_queries, dtype=tf.int64)[:, tf.newaxis]
        scores = tf.cast(tf.gather(tf.reshape(products, [-1]), places), tf.float32)
        scores, places = tf.math.top_k(scores, tf.minimum(num_taken, tf.shape(members)[1]))
        members = tf.gather(members, places, batch_dims=1)
        if self.is_rounded:
            # Of the value: once a variable was gathered from, TensorFlow copies it whenever it is read as a whole.
            scores = tf.einsum("qd,qcd->qc", queries, tf.gather(self.vectors.value(), members))
        return best_allowed(scores, members, excluded, top_k)


def num_rescored(top_k: int) -> int:
    """How many of the best by rounded products are looked at again, exactly."""
    return top_k + max(top_k // 2, 16)


def best_allowed(scores: tf.Tensor, items: tf.Tensor, excluded: tf.Tensor, top_k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The best of some items, without the excluded ones, padding and unknown.

    Args:
        scores: float32 [batch_size, num_candidates]
        items: int32 [batch_size, num_candidates], their indices.
        excluded: int32 [batch_size, num_excluded] item indices.
        top_k: How many are wanted.

    Returns:
        As of `top_items`.
    """
    barred = tf.sort(tf.pad(excluded, [[0, 0], [0, 1]]))  # Padding is never an answer, and so the row is not empty.
    places = tf.minimum(tf.searchsorted(barred, items), tf.shape(barred)[1] - 1)
    is_barred = tf.equal(tf.gather(barred, places, batch_dims=1), items)
    scores = tf.where(is_barred | (items < NUM_SPECIAL), scores.dtype.min, scores)
    missing = tf.maximum(top_k - tf.shape(scores)[1], 0)
    scores = tf.pad(scores, [[0, 0], [0, missing]], constant_values=scores.dtype.min)
    scores, places = tf.math.top_k(scores, top_k)
    items = tf.gather(tf.pad(items, [[0, 0], [0, missing]]), places, batch_dims=1)
    return _answer(scores, items, scores.dtype.min)


def top_items(scores: tf.Tensor, excluded: tf.Tensor, top_k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The best items of each row, without the excluded ones.

    Args:
        scores: float32 [batch_size, num_rows], a column for each row of the item table, so the first two columns are
            padding and unknown: never an answer, and the place where padding among the excluded ends up.
        excluded: int32 [batch_size, num_excluded] item indices; 0 and 1 exclude nothing, nor does what has no column.
        top_k: How many are wanted.

    Returns:
        Scores float32 [batch_size, top_k], best first, and item indices int32 [batch_size, top_k]. Where fewer items
        are left, the index is 0 and the score 0.
    """
    batch_size, num_rows = tf.shape(scores)[0], tf.shape(scores)[1]
    excluded = tf.where(excluded < num_rows, excluded, PADDING)
    rows = tf.broadcast_to(tf.range(batch_size)[:, tf.newaxis], tf.shape(excluded))
    places = tf.reshape(tf.stack([rows, excluded], axis=-1), [-1, 2])  # [batch_size * num_excluded, 2]
    lowest = tf.fill([tf.shape(places)[0]], scores.dtype.min)
    scores = tf.tensor_scatter_nd_min(scores, places, lowest)
    allowed = tf.range(num_rows) >= NUM_SPECIAL
    scores = tf.where(allowed, scores, scores.dtype.min)
    best, indices = tf.math.top_k(scores, tf.minimum(top_k, num_rows))
    missing = tf.maximum(top_k - num_rows, 0)
    best = tf.pad(best, [[0, 0], [0, missing]], constant_values=scores.dtype.min)
    indices = tf.pad(indices, [[0, 0], [0, missing]])
    shape = [None, top_k]
    return _answer(tf.ensure_shape(best, shape), tf.ensure_shape(indices, shape), scores.dtype.min)


def _answer(scores: tf.Tensor, indices: tf.Tensor, lowest: float) -> tuple[tf.Tensor, tf.Tensor]:
    found = scores > lowest
    return tf.where(found, scores, 0.0), tf.where(found, indices, 0)
