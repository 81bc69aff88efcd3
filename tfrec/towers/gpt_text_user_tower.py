"""A causal GPT over the words of a history."""

from collections.abc import Mapping

import keras
import keras_hub
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.feature_projection import FeatureProjection
from tfrec.layers.gpt_blocks import GPTBlocks

NO_TOKEN = -1
"""Where an item's text has ended. GPT-2's vocabulary has no padding of its own, and uses 0 for a word."""


class GPTTextUserTower(keras.layers.Layer):
    """GPT-2 over the history as one text, the items' texts one after the other -> unit vectors.

    The state at the last token of an item, which marks the end of its text, has read all words up to there and is the
    user's vector at that place, as the state at an item is in GPTUserTower. (Geng et al. 2022, "Recommendation as
    language processing", and Li et al. 2023, "Text is all you need: learning language representations for sequential
    recommendation", put histories into words likewise.)

    Args:
        columns: The users' attributes; none: the history alone.
        history_length: Places of the history.
        embedding_size: Dimensions of the user vectors.
        gpt: A GPT2Backbone whose vocabulary the tokens are of, with a position for each token of a full history.
        dropout: As GPTBlocks'.
        attribute_dropout: Share of the rows whose attributes training hides.

    Call arguments:
        history: int32 [batch_size, history_length, item_tokens], oldest first, each item's tokens followed by NO_TOKEN.
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
        **kwargs: object,
    ) -> None:
        super().__init__(**kwargs)
        self.columns = tuple(columns)
        self.history_length = history_length
        self.embedding_size = embedding_size
        self.token_embedding = gpt.token_embedding
        self.blocks = GPTBlocks(gpt, dropout)
        self.output_projection = keras.layers.Dense(embedding_size)
        self.attributes = FeatureProjection(self.columns, self.blocks.size, attribute_dropout) if columns else None

    def build(self, input_shape: object = None) -> None:
        self.output_projection.build((None, self.blocks.size))
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
        written = (history != NO_TOKEN) & mask[:, :, tf.newaxis]
        lengths = tf.reduce_sum(tf.cast(written, tf.int32), axis=2)  # [batch_size, history_length]
        ends = tf.maximum(tf.cumsum(lengths, axis=1) - 1, 0)
        # A stable sort moves the tokens together, in their order; at least one place, for a history without any.
        written = tf.reshape(written, [tf.shape(mask)[0], -1])  # [batch_size, history_length * item_tokens]
        order = tf.argsort(tf.cast(~written, tf.int32), stable=True)
        order = order[:, : tf.reduce_max(ends) + 1]
        tokens = tf.gather(tf.reshape(history, tf.shape(written)), order, batch_dims=1)  # [batch_size, longest]
        states = self.token_embedding(tf.maximum(tokens, 0))
        if self.attributes is not None:
            states += self.attributes(features, training=training)[:, tf.newaxis]
        states = self.blocks(states, training=training)
        if not every_place:
            ends = ends[:, -1:]
        states = self.output_projection(tf.gather(states, ends, batch_dims=1))
        vectors = tf.math.l2_normalize(tf.cast(states, tf.float32), axis=-1)
        return vectors if every_place else vectors[:, 0]
