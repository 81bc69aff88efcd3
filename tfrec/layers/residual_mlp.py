"""The feed-forward part of a tower."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tfrec")
class ResidualMLP(keras.layers.Layer):
    """Hidden layers whose output is added to their input: it starts close to doing nothing.

    The last projection starts at zero, so that at first the input, the sum of what the embeddings say, goes through
    as it is, and the hidden layers learn what is missing.

    Args:
        output_size: Size of input and output.
        hidden_sizes: Widths of the hidden layers; none: the layer returns its input.
        dropout: Share of the hidden units dropped in training.

    Call arguments:
        inputs: [rows, output_size]
    """

    def __init__(self, output_size: int, hidden_sizes: tuple[int, ...], dropout: float = 0.0, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.output_size = output_size
        self.hidden_sizes = tuple(hidden_sizes)
        self.dropout = dropout
        self.hidden = [keras.layers.Dense(size, activation="gelu") for size in self.hidden_sizes]
        self.drop = keras.layers.Dropout(dropout)
        self.projection = keras.layers.Dense(output_size, kernel_initializer="zeros") if hidden_sizes else None

    def build(self, input_shape: object = None) -> None:
        size = self.output_size
        for layer in self.hidden:
            layer.build((None, size))
            size = layer.units
        if self.projection is not None:
            self.projection.build((None, size))
        self.built = True

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        if self.projection is None:
            return inputs
        outputs = inputs
        for layer in self.hidden:
            outputs = self.drop(layer(outputs), training=training)
        return inputs + self.projection(outputs)
