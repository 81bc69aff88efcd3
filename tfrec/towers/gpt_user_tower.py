"""A causal GPT over the items of a history."""

from collections.abc import Mapping

import keras
import keras_hub
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection
from tfrec.layers.gpt_blocks import GPTBlocks
from tfrec.layers.running_mean import running_mean

GPT_WEIGHT = 0.1
"""What the GPT weighs at first beside the mean."""


class GPTUserTower(keras.layers.Layer):
    """GPT-2's blocks over the item vectors of the history -> unit vectors, one for each place or for the last.

    Item vectors stand where token embeddings would. As in SASRec (Kang & McAuley 2018, "Self-attentive sequential
    recommendation", section III) the output at place t sees the items up to t, and is asked for the item at t + 1.

    Args:
        columns: The users' attributes; none: the history alone.
        history_length: Places of the history.
        embedding_size: Dimensions of the item vectors and the user vectors.
        gpt: A GPT2Backbone with a position for each place. Where it is of another width than the items, one projection
            leads into it and one out of it.
        dropout: As GPTBlocks'.
        attribute_dropout: Share of the rows whose attributes training hides.
        start_from_mean: Begin with the mean of the item vectors as the user vector, and let the GPT learn what to add
            to it. With item vectors that begin as their texts' (ItemTower.start_from_texts) that is to begin with the
            similarity of texts, which knows what to do with items that are new.

    Call arguments:
        history: float32 [batch_size, history_length, embedding_size], oldest first, padded at the end.
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
        gpt: keras_hub.models.GPT2Backbone,
        dropout: float = 0.0,
        attribute_dropout: float = 0.0,
        start_from_mean: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.history_length = history_length
        self.embedding_size = embedding_size
        self.start_from_mean = start_from_mean
        self.blocks = GPTBlocks(gpt, dropout)
        is_other = self.blocks.size != embedding_size
        self.input_projection = keras.layers.Dense(self.blocks.size) if is_other else None
        self.output_projection = keras.layers.Dense(embedding_size) if is_other else None
        self.attributes = FeatureProjection(self.columns, self.blocks.size, attribute_dropout) if columns else None

    def build(self, input_shape: object = None) -> None:
        if self.input_projection is not None and self.output_projection is not None:
            self.input_projection.build((None, self.embedding_size))
            self.output_projection.build((None, self.blocks.size))
        if self.attributes is not None:
            self.attributes.build()
        if self.start_from_mean:
            initial = keras.initializers.Constant(GPT_WEIGHT)
            self.gpt_weight = self.add_weight(shape=(), initializer=initial, name="gpt_weight")
        self.built = True

    @property
    def pretrained_variables(self) -> list[keras.Variable]:
        """The weights that come from the GPT."""
        return [*self.blocks.trainable_variables]

    def call(
        self,
        history: tf.Tensor,
        mask: tf.Tensor,
        features: Mapping[str, tf.Tensor],
        training: bool = False,
        every_place: bool = False,
    ) -> tf.Tensor:
        # GPT-2's embeddings are small beside unit vectors; this gives the items the scale that the blocks expect.
        states = history * self.embedding_size**0.5
        if self.input_projection is not None:
            states = self.input_projection(states)  # [batch_size, history_length, size]
        if self.attributes is not None:
            states += self.attributes(features, training=training)[:, tf.newaxis]
        states = self.blocks(states, training=training)
        if self.output_projection is not None:
            states = self.output_projection(states)
        if self.start_from_mean:
            # The normalised states are of length embedding_size ** 0.5, the mean's at most 1.
            means = tf.cast(running_mean(history, mask), states.dtype)
            states = means + self.gpt_weight * states / self.embedding_size**0.5
        if not every_place:
            last = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1) - 1, 0)
            states = tf.gather(states, last, batch_dims=1)
        return tf.math.l2_normalize(tf.cast(states, tf.float32), axis=-1)
