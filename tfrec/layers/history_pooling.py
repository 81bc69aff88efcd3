"""A history's vectors, pooled into one."""

import keras
import tensorflow as tf

from tfrec.layers.weighted_sum import weighted_sum


@keras.saving.register_keras_serializable(package="tfrec")
class HistoryPooling(keras.layers.Layer):
    r"""A weighted mean over the history, with a learned weight for how long ago each item was.

    The weight of the item that stands $r$ places before the most recent one is $\mathrm{softmax}(b)_r$ over the
    places that are filled. $b$ starts at zero: the plain mean (Covington et al. 2016, "Deep neural networks for
    YouTube recommendations", section 3.2).

    Args:
        history_length: Places of the history.

    Call arguments:
        vectors: [batch_size, history_length, size]
        mask: bool [batch_size, history_length]; True where an item is. May have holes.

    Returns:
        [batch_size, size]; zero for a history without items.
    """

    def __init__(self, history_length: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.history_length = history_length

    def build(self, input_shape: object = None) -> None:
        self.recency_bias = self.add_weight(
            shape=(self.history_length,), initializer="zeros", name="recency_bias", dtype="float32", autocast=False
        )
        self.built = True

    def call(self, vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        filled = tf.cast(mask, tf.int32)
        recency = tf.cumsum(filled, axis=1, exclusive=True, reverse=True)  # 0 for the most recent item
        bias = tf.gather(self.recency_bias, recency)  # [batch_size, history_length]
        # The softmax of the filled places alone; in float32 under every precision policy.
        weights = tf.nn.softmax(tf.where(mask, bias, bias.dtype.min), axis=1)
        weights = tf.where(mask, weights, 0.0)
        return weighted_sum(tf.cast(weights, vectors.dtype), vectors)
