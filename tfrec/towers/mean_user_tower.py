"""The mean of what a user did: what a GPT over it must beat."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection
from tfrec.layers.running_mean import running_mean


class MeanUserTower(keras.layers.Layer):
    """The plain mean of the history's item vectors, and the user's attributes -> unit vectors.

    It stands where GPTUserTower stands and learns nothing of its own from the history, so that a comparison of the two,
    under the same items and the same loss, says what the GPT gives. (UserTower, of `two_tower`, weighs and has an MLP.)

    Args:
        columns: The users' attributes; none: the history alone.
        history_length: Places of the history.
        embedding_size: Dimensions of the item vectors and the user vectors.
        attribute_dropout: Share of the rows whose attributes training hides.

    Call arguments:
        history: float32 [batch_size, history_length, embedding_size], oldest first.
        mask: bool [batch_size, history_length]; True where an item is.
        features: Name -> encoded column [batch_size, …].
        every_place: Return the means up to each place instead of that of the whole history.

    Returns:
        float32 [batch_size, embedding_size], or [batch_size, history_length, embedding_size]; zero where there is
        nothing to read.
    """

    def __init__(
        self,
        columns: tuple[Column, ...],
        history_length: int,
        embedding_size: int,
        attribute_dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.history_length = history_length
        self.embedding_size = embedding_size
        self.attributes = FeatureProjection(self.columns, embedding_size, attribute_dropout) if columns else None

    def build(self, input_shape: object = None) -> None:
        if self.attributes is not None:
            self.attributes.build()
        self.built = True

    def call(
        self,
        history: tf.Tensor,
        mask: tf.Tensor,
        features: Mapping[str, tf.Tensor],
        training: bool = False,
        every_place: bool = False,
    ) -> tf.Tensor:
        outputs = running_mean(history, mask)
        if not every_place:
            outputs = outputs[:, -1]
        if self.attributes is not None:
            attributes = self.attributes(features, training=training)
            outputs += attributes[:, tf.newaxis] if every_place else attributes
        return tf.math.l2_normalize(tf.cast(outputs, tf.float32), axis=-1)
