"""What every tower is that reads a history up to each of its places."""

from abc import abstractmethod
from collections.abc import Mapping

import keras
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection


class CausalUserTower(keras.layers.Layer):
    """A history and the user's attributes -> unit vectors, one for each place or for the last.

    The vector of a place knows the history up to it, itself included, and nothing later: it can be asked for the item
    that comes next.

    Args:
        columns: The users' attributes; none: the history alone.
        history_length: Places of the history.
        embedding_size: Dimensions of the user vectors.
        attribute_dropout: Share of the rows whose attributes training hides.
        attribute_size: Dimensions in which the attributes are added to what the subclass reads.

    Call arguments:
        history: [batch_size, history_length, …], oldest first, padded at the end; what it holds, the subclass says.
        mask: bool [batch_size, history_length]; True where an item is.
        features: Name -> encoded column [batch_size, …].
        every_place: Return the vectors of all places instead of the last item's.

    Returns:
        float32 [batch_size, embedding_size], or [batch_size, history_length, embedding_size].
    """

    def __init__(
        self,
        columns: tuple[Column, ...],
        history_length: int,
        embedding_size: int,
        attribute_dropout: float,
        attribute_size: int,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.history_length = history_length
        self.embedding_size = embedding_size
        self.attribute_dropout = attribute_dropout
        self.attribute_size = attribute_size
        self.attributes = FeatureProjection(self.columns, attribute_size, attribute_dropout) if columns else None

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
        user = 0.0
        if self.attributes is not None:
            user = self.attributes(features, training=training)[:, tf.newaxis]
        states = self.read(history, mask, user, training)
        if not every_place:
            places = tf.range(tf.shape(mask)[1])
            last = tf.reduce_max(tf.where(mask, places, 0), axis=1)
            states = tf.gather(states, last, batch_dims=1)
        return tf.math.l2_normalize(tf.cast(states, tf.float32), axis=-1)

    @abstractmethod
    def read(self, history: tf.Tensor, mask: tf.Tensor, user: tf.Tensor | float, training: bool) -> tf.Tensor:
        """What is known at each place, [batch_size, history_length, embedding_size], of any length.

        Args:
            history, mask, training: As in a call.
            user: What the attributes say, [batch_size, 1, attribute_size]; 0 if there are none.
        """
