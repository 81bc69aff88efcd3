"""Vectors of a history, weighed and added up."""

import tensorflow as tf


def weighted_sum(weights: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
    """The sum over the places.

    Args:
        weights: [batch_size, length]
        vectors: [batch_size, length, size], of the same dtype.

    Returns:
        [batch_size, size]
    """
    # With its gradient, a third to two thirds of the time of tf.einsum("bh,bhd->bd").
    return tf.squeeze(tf.linalg.matmul(weights[:, tf.newaxis], vectors), axis=1)  # [batch_size, 1, size] -> …
