"""A causal GPT over what a user did."""

from collections.abc import Mapping

import keras
import keras_hub
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection


class GPTUserTower(keras.layers.Layer):
    """GPT-2's blocks over the item vectors of the history -> unit vectors, one for each place or for the last.

    The blocks, the position embedding and the closing normalisation are those of a KerasHub GPT2Backbone (Radford et
    al. 2019, "Language models are unsupervised multitask learners"); item vectors stand where token embeddings would.
    As in SASRec (Kang & McAuley 2018, "Self-attentive sequential recommendation", section III) the output at place t
    sees the items up to t, and is asked for the item at t + 1. Histories are padded at the end, where causal attention
    never looks.

    Args:
        columns: The users' attributes; none: the history alone.
        history_length: Places of the history.
        embedding_size: Dimensions of the item vectors, the blocks and the user vectors.
        num_layers: Blocks.
        num_heads: Attention heads of a block.
        dropout: Share of the units that training drops, of the input and of what each block adds to it. GPT-2 also
            drops attention weights; to draw those takes longer than all the rest of a step on a CPU.
        attribute_dropout: Share of the rows whose attributes training hides.

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
        num_layers: int = 2,
        num_heads: int = 2,
        dropout: float = 0.0,
        attribute_dropout: float = 0.0,
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.history_length = history_length
        self.embedding_size = embedding_size
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.dropout = dropout
        gpt = keras_hub.models.GPT2Backbone(
            vocabulary_size=1,  # There are no tokens; its embedding is left behind.
            num_layers=num_layers,
            num_heads=num_heads,
            hidden_dim=embedding_size,
            intermediate_dim=4 * embedding_size,
            dropout=0.0,
            max_sequence_length=history_length,
        )
        self.position_embedding = gpt.position_embedding
        self.blocks = gpt.transformer_layers
        self.layer_norm = gpt.layer_norm
        self.drop = keras.layers.Dropout(dropout)
        self.attribute_dropout = attribute_dropout
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
        # GPT-2's embeddings are small beside unit vectors; this gives the items the scale that the blocks expect.
        states = history * self.embedding_size**0.5
        if self.attributes is not None:
            states += self.attributes(features, training=training)[:, tf.newaxis]
        states = self.drop(states + self.position_embedding(states), training=training)
        for block in self.blocks:
            states += self.drop(block(states, training=training) - states, training=training)
        states = self.layer_norm(states)  # [batch_size, history_length, embedding_size]
        if not every_place:
            last = tf.maximum(tf.reduce_sum(tf.cast(mask, tf.int32), axis=1) - 1, 0)
            states = tf.gather(states, last, batch_dims=1)
        return tf.math.l2_normalize(tf.cast(states, tf.float32), axis=-1)
