"""The mean of a history, up to each of its places."""

import tensorflow as tf


def running_mean(history: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """The mean of the vectors up to each place, itself included.

    Args:
        history: [batch_size, history_length, size], oldest first.
        mask: bool [batch_size, history_length]; True where an item is.

    Returns:
        [batch_size, history_length, size]; zero where there is nothing yet. The last place's is the whole history's.
    """
    # Sums and counts in half precision would stand still.
    filled = tf.cast(mask, tf.float32)[:, :, tf.newaxis]
    means = tf.math.divide_no_nan(tf.cumsum(tf.cast(history, tf.float32) * filled, axis=1), tf.cumsum(filled, axis=1))
    return tf.cast(means, history.dtype)
