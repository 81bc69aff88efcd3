"""A causal GPT over the items of a history."""

import keras
import keras_hub
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.layers.gpt_blocks import GPTBlocks
from tfrec.layers.running_mean import running_mean
from tfrec.towers.causal_user_tower import CausalUserTower

GPT_WEIGHT = 0.1
"""What the GPT weighs at first beside the mean."""


class GPTUserTower(CausalUserTower):
    """GPT-2's blocks over the item vectors of the history -> unit vectors.

    Item vectors stand where token embeddings would. As in SASRec (Kang & McAuley 2018, "Self-attentive sequential
    recommendation", section III) the output at place t sees the items up to t, and is asked for the item at t + 1.

    Args:
        columns, history_length, embedding_size, attribute_dropout: As CausalUserTower's; the history holds item vectors
            of embedding_size.
        gpt: A GPT2Backbone with a position for each place. Where it is of another width than the items, one projection
            leads into it and one out of it.
        dropout: As GPTBlocks'.
        start_from_mean: Begin with the mean of the item vectors as the user vector, and let the GPT learn what to add
            to it. With item vectors that begin as their texts' (ItemTower.start_from_texts) that is to begin with the
            similarity of texts, which knows what to do with items that are new.

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
        start_from_mean: bool = False,
        **kwargs: object,
    ) -> None:
        super().__init__(columns, history_length, embedding_size, attribute_dropout, int(gpt.hidden_dim), **kwargs)
        self.start_from_mean = start_from_mean
        self.blocks = GPTBlocks(gpt, dropout)
        is_other = self.blocks.size != embedding_size
        self.input_projection = keras.layers.Dense(self.blocks.size) if is_other else None
        self.output_projection = keras.layers.Dense(embedding_size) if is_other else None

    def build(self, input_shape: object = None) -> None:
        if self.input_projection is not None and self.output_projection is not None:
            self.input_projection.build((None, self.embedding_size))
            self.output_projection.build((None, self.blocks.size))
        if self.start_from_mean:
            initial = keras.initializers.Constant(GPT_WEIGHT)
            self.gpt_weight = self.add_weight(shape=(), initializer=initial, name="gpt_weight")
        super().build(input_shape)

    @property
    def pretrained_variables(self) -> list[keras.Variable]:
        """The weights that come from the GPT."""
        return [*self.blocks.trainable_variables]

    def read(self, history: tf.Tensor, mask: tf.Tensor, user: tf.Tensor | float, training: bool) -> tf.Tensor:
        # As in Vaswani et al. 2017, section 3.4: entries of about 1, beside which the positions are small.
        states = history * self.embedding_size**0.5
        if self.input_projection is not None:
            states = self.input_projection(states)  # [batch_size, history_length, size]
        states = self.blocks(states + user, training=training)
        if self.output_projection is not None:
            states = self.output_projection(states)
        if not self.start_from_mean:
            return states
        # The blocks' normalised states are of length embedding_size ** 0.5, the mean's at most 1.
        means = tf.cast(running_mean(history, mask), states.dtype)
        return means + self.gpt_weight * states / self.embedding_size**0.5
