"""From a pool of good items to an answer that is varied."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL


class Cap(NamedTuple):
    """How many items of one category an answer may have.

    Attributes:
        codes: The category of each item of the pool, int32 [batch_size, num_pool]; padding and unknown are none.
        limit: So many.
    """

    codes: tf.Tensor
    limit: int


def select(
    scores: tf.Tensor, items: tf.Tensor, vectors: tf.Tensor, caps: Sequence[Cap], diversity: float, top_k: int
) -> tuple[tf.Tensor, tf.Tensor]:
    r"""Chooses one item after the other, by maximal marginal relevance (Carbonell and Goldstein 1998, "The Use of MMR,
    Diversity-Based Reranking for Reordering Documents and Producing Summaries", section 2):

    $$\arg\max_i\; \lambda\, s_i - (1 - \lambda) \max_{j\ \text{chosen}} \cos(v_i, v_j)$$

    with $\lambda$ = 1 - `diversity`, and $s$ the scores of the pool, scaled from 0 to 1. An item whose category has as
    many items in the answer as its cap allows is passed over.

    Args:
        scores: float32 [batch_size, num_pool]
        items: int32 [batch_size, num_pool] item indices; padding is not chosen.
        vectors: Of these items, float32 [batch_size, num_pool, dimensions].
        caps: What limits categories.
        diversity: 0: the best that the caps allow.
        top_k: How many are chosen.

    Returns:
        Scores float32 [batch_size, top_k] and items int32 [batch_size, top_k], in the order in which they were chosen:
        the scores may rise and fall. Where the pool does not give as many, both are 0.
    """
    is_there = items >= NUM_SPECIAL
    low = tf.reduce_min(tf.where(is_there, scores, scores.dtype.max), axis=1, keepdims=True)
    high = tf.reduce_max(tf.where(is_there, scores, scores.dtype.min), axis=1, keepdims=True)
    relevance = (1 - diversity) * tf.math.divide_no_nan(scores - low, high - low)
    vectors = tf.math.l2_normalize(vectors, axis=2)
    num_rows, num_pool = tf.unstack(tf.shape(scores))

    def step(
        place: tf.Tensor, is_left: tf.Tensor, similarity: tf.Tensor, counts: tf.Tensor, chosen: tf.TensorArray
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.TensorArray]:
        is_open = is_left
        for number, cap in enumerate(caps):
            is_open &= counts[number] < cap.limit
        value = relevance - diversity * similarity if diversity else relevance
        best = tf.argmax(tf.where(is_open, value, value.dtype.min), axis=1, output_type=tf.int32)
        is_chosen = tf.equal(tf.range(num_pool), best[:, tf.newaxis]) & is_open
        if diversity:
            alike = tf.linalg.matvec(vectors, tf.gather(vectors, best, batch_dims=1))
            similarity = tf.where(place == 0, alike, tf.maximum(similarity, alike))
        if caps:
            of_best = [tf.gather(cap.codes, best, batch_dims=1)[:, tf.newaxis] for cap in caps]
            pairs = zip(caps, of_best, strict=True)
            counts += tf.stack([tf.cast((cap.codes == its) & (its >= NUM_SPECIAL), tf.int32) for cap, its in pairs])
        chosen = chosen.write(place, tf.where(tf.reduce_any(is_chosen, axis=1), best, -1))
        return place + 1, is_left & ~is_chosen, similarity, counts, chosen

    state = (
        tf.constant(0),
        is_there,
        tf.zeros([num_rows, num_pool] if diversity else [0, 0]),
        tf.zeros([len(caps), num_rows, num_pool] if caps else [0, 0, 0], tf.int32),
        tf.TensorArray(tf.int32, size=top_k, element_shape=[None]),
    )
    *_, chosen = tf.while_loop(lambda place, *_: place < top_k, step, state, parallel_iterations=1)
    places = tf.transpose(chosen.stack())  # [batch_size, top_k]
    is_full = places >= 0
    places = tf.maximum(places, 0)
    return (
        tf.where(is_full, tf.gather(scores, places, batch_dims=1), 0.0),
        tf.where(is_full, tf.gather(items, places, batch_dims=1), 0),
    )
