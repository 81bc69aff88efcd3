"""What of a history matters for one candidate."""

import keras
import tensorflow as tf


class TargetAttention(keras.layers.Layer):
    r"""The history's vectors, summed with weights that depend on the candidate.

    With $e_j$ the items of the history and $v$ the candidate,

    $$ \sum_j a(e_j, v) \, e_j $$

    Zhou et al. 2018, "Deep Interest Network for Click-Through Rate Prediction", equation 3. The activation unit $a$ is
    an MLP over $e_j$, $v$, $e_j - v$ and $e_j \odot v$; like theirs its weights are no softmax, so that they may be
    negative, and need not add up. Other than in the paper, $a$ also knows whether the item was liked, and how long ago
    it was as a learned embedding of its place; and the sum is divided by the history's length.

    Args:
        history_length: Places of a history.
        hidden_sizes: Widths of the activation unit's hidden layers.

    Call arguments:
        candidate: [batch_size, embedding_size]
        history: [batch_size, history_length, embedding_size], oldest first, padded at the end.
        labels: float32 [batch_size, history_length]; whether each was liked.
        mask: bool [batch_size, history_length]; True where an item is.

    Returns:
        [batch_size, embedding_size]; zero for an empty history.
    """

    def __init__(
        self, embedding_size: int, history_length: int, hidden_sizes: tuple[int, ...], **kwargs: object
    ) -> None:
        super().__init__(**kwargs)
        self.embedding_size = embedding_size
        self.history_length = history_length
        self.hidden = [keras.layers.Dense(size, activation="relu") for size in hidden_sizes]
        self.weight = keras.layers.Dense(1)
        self.recency = keras.layers.Embedding(history_length, RECENCY_SIZE)

    def build(self, input_shape: object = None) -> None:
        size = 4 * self.embedding_size + 1 + RECENCY_SIZE
        for layer in self.hidden:
            layer.build((None, None, size))
            size = layer.units
        self.weight.build((None, None, size))
        self.recency.build()
        self.built = True

    def call(self, candidate: tf.Tensor, history: tf.Tensor, labels: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        candidates = tf.broadcast_to(candidate[:, tf.newaxis], tf.shape(history))
        filled = tf.cast(mask, history.dtype)[..., tf.newaxis]  # [batch_size, history_length, 1]
        ago = tf.cumsum(tf.cast(mask, tf.int32), axis=1, exclusive=True, reverse=True)  # 0 for the most recent item
        labels = tf.cast(labels, history.dtype)[..., tf.newaxis]
        pairs = [history, candidates, history - candidates, history * candidates]
        hidden = tf.concat([*pairs, labels, self.recency(ago)], axis=-1)
        for layer in self.hidden:
            hidden = layer(hidden)
        weighted = tf.reduce_sum(self.weight(hidden) * filled * history, axis=1)
        return weighted / tf.maximum(tf.reduce_sum(filled, axis=1), 1)


RECENCY_SIZE = 8
"""Dimensions of the embedding of how long ago an item was."""
