"""Exact top-k over the whole catalogue."""

from collections.abc import Callable
from functools import partial

import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL, PADDING
from tfrec.indices.rounded import RoundedProducts

BLOCK = 8
"""Items, or blocks, of which the best is looked at first."""
SMALL = 2**15
"""Up to so many rows, all scores are sorted at once."""
FEW_BLOCKS = 2**14
"""Up to so many blocks are not put into larger ones."""
FEW_QUERIES = 2
"""Of so few the product is quicker the other way round."""
FACTOR = 1.5
ONE_IN = 32
"""Of so many items one may be taken by rounded products: half of what RoundedProducts tells from each other."""
SCORES_AT_ONCE = 2**27
"""Of queries and items; more queries are answered in turn."""


class ExactIndex(tf.Module):
    r"""The items with the largest dot products, all of them looked at.

    1. All products, the maximum of each block of items, of each block of blocks, until few are left.
    2. The k best members lie in the k blocks with the largest maxima: from the largest blocks down to items.

    Of items that are excluded there are so many blocks and items more, and a mask before the last top-k: an excluded
    item can't come back, however few are left.

    Rounded, the products are of integers of 8 bits (RoundedProducts): `factor` times as many blocks and items are
    taken, for excluded ones, too, and their exact products decide. Where that is more than one of ONE_IN items, nothing
    is rounded: excluded are mostly the best, and below those all rounded products are alike.

    Args:
        vectors: float32 [num_rows, dimensions], a row for each row of the item table: the first two are padding and
            unknown, never an answer.
        is_rounded: Whether products are rounded first. It needs a quarter as much memory again.

    Call arguments:
        queries: float32 [batch_size, dimensions]
        excluded: int32 [batch_size, num_excluded] item indices; 0 and 1 exclude nothing.
        top_k: How many are wanted.
        allowed: What may be found at all, bool [batch_size, num_rows]; None: everything.

    Returns:
        Scores float32 [batch_size, top_k], best first, and item indices int32 [batch_size, top_k]. Where fewer items
        are left, the index is 0 and the score 0.
    """

    def __init__(self, vectors: tf.Variable, is_rounded: bool = False) -> None:
        super().__init__(name="exact_index")
        self.vectors = vectors
        self.num_rows = int(vectors.shape[0])
        self._rounded = RoundedProducts(vectors) if is_rounded and self.num_rows > SMALL else None
        self.factor = FACTOR

    def num_again(self, number: tf.Tensor | int) -> tf.Tensor:
        """How many of the best by rounded products are looked at again, exactly, for so many wanted and excluded."""
        return tf.cast(tf.math.ceil(self.factor * tf.cast(number, tf.float32)), tf.int32)

    def __call__(
        self, queries: tf.Tensor, excluded: tf.Tensor, top_k: int, allowed: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if self.num_rows <= SMALL or top_k * 2 * BLOCK**2 > self.num_rows:
            return top_items(tf.matmul(queries, self.vectors, transpose_b=True), excluded, top_k, allowed)
        rows = (queries, excluded) if allowed is None else (queries, excluded, allowed)
        at_once = SCORES_AT_ONCE // self.num_rows
        exact = partial(in_turn, partial(self._in_blocks, None), at_once, top_k, *rows)
        if self._rounded is None:
            return exact()
        rounded = partial(in_turn, partial(self._in_blocks, self._rounded), at_once, top_k, *rows)
        are_few = self.num_again(tf.shape(excluded)[1] + top_k) <= self.num_rows // ONE_IN
        return tf.cond(are_few, rounded, exact)  # type: ignore[no-any-return]

    def _in_blocks(
        self,
        rounded: RoundedProducts | None,
        top_k: int,
        queries: tf.Tensor,
        excluded: tf.Tensor,
        allowed: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        products = self._products(queries) if rounded is None else rounded(queries, allowed is not None)
        num_blocks = self.num_rows
        if allowed is not None:
            products = tf.where(tf.transpose(allowed), products, products.dtype.min)
        levels = [products]
        while num_blocks > FEW_BLOCKS:
            levels.append(_maxima(levels[-1]))
            num_blocks //= BLOCK
        # The best that are allowed are among so many of all.
        num_taken = tf.shape(excluded)[1] + top_k
        if rounded is not None:
            num_taken = self.num_again(num_taken)
        num_taken += NUM_SPECIAL
        scores = tf.transpose(tf.cast(levels.pop(), tf.float32))  # [num_queries, num_blocks]
        _, members = tf.math.top_k(scores, tf.minimum(num_taken, num_blocks))
        while levels:
            values = levels.pop()
            members = _members(members, tf.shape(values)[0])
            members, scores = best(_of_columns(values, members), members, num_taken)
        if allowed is not None:
            members = tf.where(scores > tf.cast(products.dtype.min, tf.float32), members, PADDING)
        if rounded is not None:
            # Of the value: once a variable was gathered from, TensorFlow copies it whenever it is read as a whole.
            scores = tf.einsum("qd,qcd->qc", queries, tf.gather(self.vectors.value(), members))
        return best_allowed(scores, members, excluded, top_k)

    def _products(self, queries: tf.Tensor) -> tf.Tensor:
        """Items first, [num_rows, num_queries], by whichever kernel was measured to be the quickest."""
        return tf.cond(
            tf.shape(queries)[0] <= FEW_QUERIES,
            lambda: tf.transpose(tf.matmul(queries, self.vectors, transpose_b=True)),
            lambda: tf.matmul(self.vectors, queries, transpose_b=True),
        )


def in_turn(
    find: Callable[..., tuple[tf.Tensor, tf.Tensor]], at_once: int, top_k: int, *rows: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """What `find(top_k, *rows)` answers, of at most so many rows at once; at least one."""
    batch_size = tf.shape(rows[0])[0]
    num_parts = -(-batch_size // max(at_once, 1))

    def all_parts() -> tuple[tf.Tensor, ...]:
        size = -(-batch_size // num_parts)
        missing = num_parts * size - batch_size

        def parts(rows: tf.Tensor) -> tf.Tensor:
            padded = tf.pad(rows, [[0, missing], [0, 0]])
            shape = [num_parts, size, tf.shape(rows)[1]]
            return tf.ensure_shape(tf.reshape(padded, shape), [None, None, rows.shape[1]])

        answers = tf.map_fn(
            lambda part: find(top_k, *part),
            tuple(map(parts, rows)),
            fn_output_signature=(tf.TensorSpec([None, top_k], tf.float32), tf.TensorSpec([None, top_k], tf.int32)),
            parallel_iterations=1,
        )
        return tuple(tf.reshape(each, [-1, top_k])[:batch_size] for each in answers)

    return tf.cond(num_parts <= 1, lambda: find(top_k, *rows), all_parts)  # type: ignore[no-any-return]


def _maxima(values: tf.Tensor) -> tf.Tensor:
    """The maximum of each block of rows, [num_rows // BLOCK, num_queries].

    Row i is in block i modulo the number of blocks, so that maxima are of whole stretches, as of channels in pooling;
    the last rows may be in none.
    """
    num_blocks, num_queries = tf.shape(values)[0] // BLOCK, tf.shape(values)[1]
    # Flat: TensorFlow copies a slice of short rows one by one.
    flat = tf.reshape(values, [-1])[: BLOCK * num_blocks * num_queries]
    stretches = tf.reshape(flat, [1, BLOCK, 1, num_blocks * num_queries])
    return tf.reshape(tf.nn.max_pool2d(stretches, (BLOCK, 1), (BLOCK, 1), "VALID"), [num_blocks, num_queries])


def _members(blocks: tf.Tensor, num_rows: tf.Tensor) -> tf.Tensor:
    """The rows of some blocks, [num_queries, num_members], and those in none; in order, so that of equal scores the
    first is taken."""
    num_queries, num_blocks = tf.shape(blocks)[0], num_rows // BLOCK
    rows = tf.sort(blocks)[:, tf.newaxis] + num_blocks * tf.range(BLOCK)[:, tf.newaxis]
    rest = tf.tile(tf.range(BLOCK * num_blocks, num_rows)[tf.newaxis], [num_queries, 1])
    return tf.concat([tf.reshape(rows, [num_queries, -1]), rest], axis=1)


def _of_columns(values: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Some rows of each query's column, float32 [num_queries, num_members]."""
    # int64: of many queries the values may be more than 2^31.
    num_queries = tf.shape(values, tf.int64)[1]
    places = tf.cast(rows, tf.int64) * num_queries + tf.range(num_queries)[:, tf.newaxis]
    return tf.cast(tf.gather(tf.reshape(values, [-1]), places), tf.float32)


def best(scores: tf.Tensor, members: tf.Tensor, number: tf.Tensor | int) -> tuple[tf.Tensor, tf.Tensor]:
    """So many members with the best scores, if there are, and their scores."""
    scores, places = tf.math.top_k(scores, tf.minimum(number, tf.shape(members)[1]))
    return tf.gather(members, places, batch_dims=1), scores


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


def top_items(
    scores: tf.Tensor, excluded: tf.Tensor, top_k: int, allowed: tf.Tensor | None = None
) -> tuple[tf.Tensor, tf.Tensor]:
    """The best items of each row, without the excluded ones.

    Args:
        scores: float32 [batch_size, num_rows], a column for each row of the item table, so the first two columns are
            padding and unknown: never an answer, and the place where padding among the excluded ends up.
        excluded: int32 [batch_size, num_excluded] item indices; 0 and 1 exclude nothing, nor does what has no column.
        top_k: How many are wanted.
        allowed: What may be found at all, bool [batch_size, num_rows]; None: everything.

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
    is_item = tf.range(num_rows) >= NUM_SPECIAL
    scores = tf.where(is_item if allowed is None else is_item & allowed, scores, scores.dtype.min)
    best, indices = tf.math.top_k(scores, tf.minimum(top_k, num_rows))
    missing = tf.maximum(top_k - num_rows, 0)
    best = tf.pad(best, [[0, 0], [0, missing]], constant_values=scores.dtype.min)
    indices = tf.pad(indices, [[0, 0], [0, missing]])
    shape = [None, top_k]
    return _answer(tf.ensure_shape(best, shape), tf.ensure_shape(indices, shape), scores.dtype.min)


def _answer(scores: tf.Tensor, indices: tf.Tensor, lowest: float) -> tuple[tf.Tensor, tf.Tensor]:
    found = scores > lowest
    return tf.where(found, scores, 0.0), tf.where(found, indices, 0)
