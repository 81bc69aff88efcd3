"""What a step draws at random: negatives, and the places of long histories."""

import keras
import tensorflow as tf

from tfrec.features.vocabulary import NUM_SPECIAL


def draw_negatives(
    positives: tf.Tensor, num_items: int, num_negatives: int, seed: keras.random.SeedGenerator
) -> tf.Tensor:
    """Items other than the positive, each with the same probability; one may be drawn twice.

    Args:
        positives: int32 [...] item indices; beside a special one any item may be drawn but the first.
        num_items: Size of the catalogue, at least 2.
        num_negatives: How many for each positive.
        seed: Where the draws come from.

    Returns:
        int32 [..., num_negatives] item indices.
    """
    shape = tf.concat([tf.shape(positives), [num_negatives]], axis=0)
    drawn = keras.random.randint(shape, NUM_SPECIAL, NUM_SPECIAL + num_items - 1, seed=seed)
    return drawn + tf.cast(drawn >= positives[..., tf.newaxis], tf.int32)


def draw_places(asked: tf.Tensor, num_places: int, seed: keras.random.SeedGenerator) -> tuple[tf.Tensor, tf.Tensor]:
    """Some of the places that are asked for something, drawn without replacement.

    Args:
        asked: bool [batch_size, length]
        num_places: At most so many a row.
        seed: Where the draws come from.

    Returns:
        Places, int32 [batch_size, min(num_places, length)]; and their weights, float32 of the same shape, with which a
        sum over them is on average the sum over all places that are asked. Where a row has fewer, the weight is 0.
    """
    order = tf.where(asked, keras.random.uniform(tf.shape(asked), seed=seed), -1.0)
    values, places = tf.math.top_k(order, tf.minimum(num_places, tf.shape(asked)[1]))
    drawn = tf.cast(values >= 0, tf.float32)
    num_asked = tf.reduce_sum(tf.cast(asked, tf.float32), axis=1, keepdims=True)
    weights = tf.math.divide_no_nan(num_asked, tf.reduce_sum(drawn, axis=1, keepdims=True)) * drawn
    return places, weights
