"""Exact top-k over the whole catalogue."""

import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL


def top_items(scores: tf.Tensor, excluded: tf.Tensor, top_k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The best items of each row, without the excluded ones.

    Exclusion is a mask, set before the top-k: an excluded item can't come back, however few are left.

    Args:
        scores: float32 [batch_size, num_rows], a column for each row of the item table, so the first two columns are
            padding and unknown: never an answer, and the place where padding among the excluded ends up.
        excluded: int32 [batch_size, num_excluded] item indices; 0 and 1 exclude nothing.
        top_k: How many are wanted.

    Returns:
        Scores float32 [batch_size, top_k], best first, and item indices int32 [batch_size, top_k]. Where fewer items
        are left, the index is 0 and the score 0.
    """
    batch_size, num_rows = tf.shape(scores)[0], tf.shape(scores)[1]
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
    found = best > scores.dtype.min
    shape = [None, top_k]
    return tf.ensure_shape(tf.where(found, best, 0.0), shape), tf.ensure_shape(tf.where(found, indices, 0), shape)
