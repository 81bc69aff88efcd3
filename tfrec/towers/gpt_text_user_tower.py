"""A causal GPT over the words of a history."""

import keras
import keras_hub
import tensorflow as tf

from tfrec.backbones.gpt import NO_TOKEN
from tfrec.features.columns import Column
from tfrec.layers.gpt_blocks import GPTBlocks
from tfrec.towers.causal_user_tower import CausalUserTower


class GPTTextUserTower(CausalUserTower):
    """GPT-2 over the history as one text, the items' texts one after the other -> unit vectors.

    The state at the last token of an item, which marks the end of its text, has read all words up to there and is the
    user's vector at that place, as the state at an item is in GPTUserTower. (Geng et al. 2022, "Recommendation as
    language processing", and Li et al. 2023, "Text is all you need: learning language representations for sequential
    recommendation", put histories into words likewise.)

    Args:
        columns, history_length, embedding_size, attribute_dropout: As CausalUserTower's; the history holds tokens,
            int32 [batch_size, history_length, item_tokens], each item's followed by NO_TOKEN.
        gpt: A GPT2Backbone whose vocabulary the tokens are of, with a position for each token of a full history.
        dropout: As GPTBlocks'.

    Call arguments and shapes are those of CausalUserTower.
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
        super().__init__(columns, history_length, embedding_size, attribute_dropout, int(gpt.hidden_dim), **kwargs)
        self.token_embedding = gpt.token_embedding
        self.blocks = GPTBlocks(gpt, dropout)
        self.output_projection = keras.layers.Dense(embedding_size)

    def build(self, input_shape: object = None) -> None:
        self.output_projection.build((None, self.blocks.size))
        super().build(input_shape)

    @property
    def pretrained_variables(self) -> list[keras.Variable]:
        """The weights that come from the GPT."""
        return [*self.token_embedding.trainable_variables, *self.blocks.trainable_variables]

    def read(self, history: tf.Tensor, mask: tf.Tensor, user: tf.Tensor | float, training: bool) -> tf.Tensor:
        written = (history != NO_TOKEN) & mask[:, :, tf.newaxis]
        lengths = tf.reduce_sum(tf.cast(written, tf.int32), axis=2)  # [batch_size, history_length]
        ends = tf.maximum(tf.cumsum(lengths, axis=1) - 1, 0)  # [batch_size, history_length]
        # A stable sort moves the tokens together, in their order; at least one place, for a history without any.
        written = tf.reshape(written, [tf.shape(mask)[0], -1])  # [batch_size, history_length * item_tokens]
        order = tf.argsort(tf.cast(~written, tf.int32), stable=True)
        order = order[:, : tf.reduce_max(ends) + 1]
        tokens = tf.gather(tf.reshape(history, tf.shape(written)), order, batch_dims=1)  # [batch_size, longest]
        states = self.blocks(self.token_embedding(tf.maximum(tokens, 0)) + user, training=training)
        return self.output_projection(tf.gather(states, ends, batch_dims=1))
