"""Experts, and gates that mix them."""

import keras
import tensorflow as tf


class Gate(keras.layers.Layer):
    r"""A mixture of what experts say, weighted by what the gate makes of the input.

    $$ \sum_i \mathrm{softmax}(W x)_i \, f_i $$

    Ma et al. 2018, "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts", equations 6
    and 7.

    Args:
        num_experts: How many there are.

    Call arguments:
        inputs: What the gate reads, [batch_size, num_inputs].
        experts: What each expert says, num_experts tensors [batch_size, size].

    Returns:
        [batch_size, size]
    """

    def __init__(self, num_experts: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.weigh = keras.layers.Dense(num_experts, activation="softmax", use_bias=False)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.weigh.build(input_shape)
        self.built = True

    def call(self, inputs: tf.Tensor, experts: list[tf.Tensor]) -> tf.Tensor:
        return tf.einsum("be,bes->bs", self.weigh(inputs), tf.stack(experts, axis=1))
