"""Who a user is and what they did, as one vector."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection
from tfrec.layers.history_pooling import HistoryPooling
from tfrec.layers.residual_mlp import ResidualMLP


class UserTower(keras.layers.Layer):
    """The history's item vectors and the user's attributes -> unit vectors.

    Args:
        columns: The users' attributes; none: the history alone.
        history_length: Places of the history.
        embedding_size: Dimensions of the item vectors and of the user vectors.
        hidden_sizes: Widths of the MLP's hidden layers.
        dropout: Share of the hidden units dropped in training.
        attribute_dropout: Share of the rows whose attributes training hides.

    Call arguments:
        history: float32 [batch_size, history_length, embedding_size], oldest first.
        mask: bool [batch_size, history_length]; True where an item is.
        features: Name -> encoded column [batch_size, …].

    Returns:
        float32 [batch_size, embedding_size], of length 1; zero where an empty history is all there is to read.
    """

    def __init__(
        self,
        columns: tuple[Column, ...],
        history_length: int,
        embedding_size: int,
        hidden_sizes: tuple[int, ...] = (),
        dropout: float = 0.0,
        attribute_dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.history_length = history_length
        self.embedding_size = embedding_size
        self.hidden_sizes = tuple(hidden_sizes)
        self.dropout = dropout
        self.pooling = HistoryPooling(history_length)
        self.attribute_dropout = attribute_dropout
        self.attributes = FeatureProjection(self.columns, embedding_size, attribute_dropout) if columns else None
        self.mlp = ResidualMLP(embedding_size, self.hidden_sizes, dropout)

    def build(self, input_shape: object = None) -> None:
        self.pooling.build()
        if self.attributes is not None:
            self.attributes.build()
        self.mlp.build()
        self.built = True

    def call(
        self, history: tf.Tensor, mask: tf.Tensor, features: Mapping[str, tf.Tensor], training: bool = False
    ) -> tf.Tensor:
        outputs = self.pooling(history, mask)
        if self.attributes is not None:
            outputs += self.attributes(features, training=training)
        outputs = self.mlp(outputs, training=training)
        return tf.math.l2_normalize(tf.cast(outputs, tf.float32), axis=-1)
