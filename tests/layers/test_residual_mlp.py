"""The feed-forward part of a tower."""

from math import erf, sqrt

import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers.residual_mlp import ResidualMLP

INPUTS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def gelu(values: np.ndarray) -> np.ndarray:
    return values * np.vectorize(lambda value: 0.5 * (1 + erf(value / sqrt(2))))(values)


def random_weights(layer: ResidualMLP) -> list[np.ndarray]:
    generator = np.random.default_rng(1)
    return [generator.normal(size=weight.shape).astype(np.float32) for weight in layer.weights if weight.ndim]


def randomised(layer: ResidualMLP) -> ResidualMLP:
    layer.build()
    for weight, value in zip(layer.trainable_weights, random_weights(layer), strict=True):
        weight.assign(value)
    return layer


@pytest.mark.parametrize("hidden_sizes", [(), (4,), (4, 6)])
def test_starts_as_the_identity(hidden_sizes: tuple[int, ...]) -> None:
    layer = ResidualMLP(3, hidden_sizes, dropout=0.5)
    np.testing.assert_array_equal(layer(tf.constant(INPUTS), training=True), INPUTS)


def test_adds_the_hidden_layers_to_the_input() -> None:
    layer = randomised(ResidualMLP(3, (4, 6), dropout=0.5))
    kernel_1, bias_1, kernel_2, bias_2, kernel_3, bias_3 = (np.float64(weight) for weight in layer.trainable_weights)
    assert (kernel_1.shape, kernel_2.shape, kernel_3.shape) == ((3, 4), (4, 6), (6, 3))
    hidden = gelu(gelu(INPUTS @ kernel_1 + bias_1) @ kernel_2 + bias_2)
    np.testing.assert_allclose(layer(tf.constant(INPUTS)), INPUTS + hidden @ kernel_3 + bias_3, rtol=1e-4, atol=1e-5)


def test_drops_hidden_units_in_training_only() -> None:
    layer = randomised(ResidualMLP(3, (64,), dropout=0.5))
    outputs = [layer(tf.constant(INPUTS), training=training).numpy() for training in (False, False, True, True)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    assert np.abs(outputs[2] - outputs[0]).max() > 0.1
    assert np.abs(outputs[2] - outputs[3]).max() > 0.1


def test_survives_its_configuration() -> None:
    layer = randomised(ResidualMLP(3, (4, 6), dropout=0.25, name="mlp"))
    copy = randomised(ResidualMLP.from_config(layer.get_config()))
    assert (copy.name, copy.hidden_sizes, copy.dropout) == ("mlp", (4, 6), 0.25)
    np.testing.assert_array_equal(copy(tf.constant(INPUTS)), layer(tf.constant(INPUTS)))
