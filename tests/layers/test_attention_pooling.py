"""A text's tokens to one vector."""

import numpy as np
import tensorflow as tf

from tfrec.layers.attention_pooling import AttentionPooling

VECTORS = np.array([[[4, 0], [0, 8], [100, 100]]], np.float32)


def pool(query: list[float], mask: list[list[bool]]) -> np.ndarray:
    layer = AttentionPooling(2)
    layer.build()
    layer.set_weights([np.array(query)])
    return layer(tf.constant(VECTORS), tf.constant(mask)).numpy()


def test_starts_as_the_mean_of_the_filled_places() -> None:
    layer = AttentionPooling(2)
    np.testing.assert_allclose(layer(tf.constant(VECTORS), tf.constant([[True, True, False]])), [[2, 4]])


def test_weights_follow_the_query() -> None:
    # q . h / sqrt(2) = (0, log 3), so the weights are 1/4 and 3/4: (1 * [4, 0] + 3 * [0, 8]) / 4.
    pooled = pool([0, np.log(3) / 8 * np.sqrt(2)], [[True, True, False]])
    np.testing.assert_allclose(pooled, [[1, 6]], rtol=1e-6)


def test_what_is_not_there_has_no_weight_whatever_it_says() -> None:
    np.testing.assert_allclose(pool([50, 50], [[True, False, False]]), [[4, 0]])
    np.testing.assert_array_equal(pool([50, 50], [[False, False, False]]), [[0, 0]])


def test_no_places_at_all() -> None:
    layer = AttentionPooling(2)
    np.testing.assert_array_equal(layer(tf.zeros([3, 0, 2]), tf.zeros([3, 0], tf.bool)), np.zeros((3, 2)))


def test_the_query_learns() -> None:
    layer = AttentionPooling(2)
    with tf.GradientTape() as tape:
        output = tf.reduce_sum(layer(tf.constant(VECTORS), tf.constant([[True, True, False]]))[:, 0])
    [gradient] = tape.gradient(output, layer.trainable_variables)
    # d/dq sum_t w_t x_t = sum_t w_t (x_t - mean) h_t / sqrt(2), with w = 1/2, x = (4, 0), mean 2.
    np.testing.assert_allclose(gradient, np.array([4, -8]) / np.sqrt(2), rtol=1e-6)


def test_a_layer_is_rebuilt_from_its_configuration() -> None:
    layer = AttentionPooling(5, name="pooling")
    assert AttentionPooling.from_config(layer.get_config()).get_config() == layer.get_config()
