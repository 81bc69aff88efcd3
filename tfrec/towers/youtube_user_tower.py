"""The user of YouTube's candidate generation: an MLP over all that is known, and how old the example is."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection
from tfrec.layers.weighted_sum import weighted_sum


class YouTubeUserTower(keras.layers.Layer):
    r"""The history's mean, the user's attributes and the example's age, side by side, through layers of ReLU.

    With $h$ the mean of the history's item vectors, $a$ the attributes and $t$ the age,

    $$ x = \mathrm{MLP}([h; a; t; t^2; \sqrt{t}]) $$

    Covington et al. 2016, "Deep Neural Networks for YouTube Recommendations", section 3 and figure 3; the powers as in
    section 4.2. Here the vectors have length 1, as those of every user tower.

    The age tells when an example happened, so that the model need not learn the average of all times; when it is
    asked, it is about now, and the age is 0.

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
        example_age: float32 [batch_size], 0 for the latest example and 1 for the oldest; None: 0.

    Returns:
        float32 [batch_size, embedding_size], of length 1.
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
        self.attributes = FeatureProjection(self.columns, embedding_size, attribute_dropout) if columns else None
        self.hidden = [keras.layers.Dense(size, activation="relu") for size in hidden_sizes]
        self.drop = keras.layers.Dropout(dropout)
        self.projection = keras.layers.Dense(embedding_size)

    def build(self, input_shape: object = None) -> None:
        size = self.embedding_size + 3
        if self.attributes is not None:
            self.attributes.build()
            size += self.embedding_size
        for layer in self.hidden:
            layer.build((None, size))
            size = layer.units
        self.projection.build((None, size))
        self.built = True

    def call(
        self,
        history: tf.Tensor,
        mask: tf.Tensor,
        features: Mapping[str, tf.Tensor],
        training: bool = False,
        example_age: tf.Tensor | None = None,
    ) -> tf.Tensor:
        filled = tf.cast(mask, history.dtype)
        means = tf.math.divide_no_nan(weighted_sum(filled, history), tf.reduce_sum(filled, axis=1, keepdims=True))
        age = tf.zeros_like(means[:, 0]) if example_age is None else tf.cast(example_age, means.dtype)
        parts = [means, tf.stack([age, age**2, tf.sqrt(age)], axis=1)]
        if self.attributes is not None:
            parts.append(self.attributes(features, training=training))
        outputs = tf.concat(parts, axis=1)
        for layer in self.hidden:
            outputs = self.drop(layer(outputs), training=training)
        return tf.math.l2_normalize(tf.cast(self.projection(outputs), tf.float32), axis=-1)
