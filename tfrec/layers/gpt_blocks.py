"""GPT-2's blocks, over vectors instead of tokens."""

import keras
import keras_hub
import tensorflow as tf


class GPTBlocks(keras.layers.Layer):
    """Position embedding, causal blocks and closing normalisation of a KerasHub GPT2Backbone.

    Radford et al. 2019, "Language models are unsupervised multitask learners". Sequences are padded at the end, where
    causal attention never looks.

    Args:
        gpt: The backbone, such as `new_gpt` makes or a pretrained one. Its token embedding is left to the caller.
        dropout: Share of the units that training drops, of the input and of what each block adds to it. GPT-2 also
            drops attention weights; to draw those takes longer on a CPU than all the rest of a step.

    Call arguments:
        inputs: [batch_size, places, size], with at most as many places as the backbone has positions.

    Returns:
        [batch_size, places, size]
    """

    def __init__(self, gpt: keras_hub.models.GPT2Backbone, dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.size = int(gpt.hidden_dim)
        self.dropout = dropout
        self.position_embedding = gpt.position_embedding
        self.blocks = gpt.transformer_layers
        self.layer_norm = gpt.layer_norm
        self.drop = keras.layers.Dropout(dropout)
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        states = self.drop(inputs + self.position_embedding(inputs), training=training)
        for block in self.blocks:
            states += self.drop(block(states, training=training) - states, training=training)
        return self.layer_norm(states)


def new_gpt(num_layers: int, num_heads: int, size: int, num_places: int, num_tokens: int = 1) -> keras.Model:
    """A GPT2Backbone with fresh weights, and without GPT-2's own dropout."""
    return keras_hub.models.GPT2Backbone(
        vocabulary_size=num_tokens,
        num_layers=num_layers,
        num_heads=num_heads,
        hidden_dim=size,
        intermediate_dim=4 * size,
        dropout=0.0,
        max_sequence_length=num_places,
    )
