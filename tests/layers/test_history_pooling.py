"""Histories to one vector."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.layers.history_pooling import HistoryPooling

VECTORS = np.array([[[4, 0], [0, 8], [100, 100]]], np.float32)


def pool(bias: list[float], mask: list[list[bool]], vectors: np.ndarray = VECTORS) -> np.ndarray:
    layer = HistoryPooling(len(bias))
    layer.build()
    layer.set_weights([np.array(bias)])
    return layer(tf.constant(vectors), tf.constant(mask)).numpy()


def test_starts_as_the_mean_of_the_filled_places() -> None:
    layer = HistoryPooling(3)
    pooled = layer(tf.constant(VECTORS), tf.constant([[True, True, False]]))
    np.testing.assert_allclose(pooled, [[2, 4]])


def test_weights_follow_how_long_ago_an_item_was() -> None:
    # The most recent of two has the weight 3, the one before 1: (1 * [4, 0] + 3 * [0, 8]) / 4.
    pooled = pool([np.log(3), 0, 50], [[True, True, False]])
    np.testing.assert_allclose(pooled, [[1, 6]], rtol=1e-6)


def test_holes_do_not_count_as_time() -> None:
    # The first item stands one place before the most recent one: (1 * [4, 0] + 3 * [100, 100]) / 4.
    pooled = pool([np.log(3), 0, 50], [[True, False, True]])
    np.testing.assert_allclose(pooled, [[76, 75]], rtol=1e-6)


def test_an_empty_history_is_zero_whatever_stands_in_its_places() -> None:
    np.testing.assert_array_equal(pool([1, 2, 3], [[False] * 3]), [[0, 0]])


def test_a_single_item_is_itself_however_small_its_bias() -> None:
    # exp(-300) is 0 in float32.
    np.testing.assert_array_equal(pool([-300, 0, 0], [[False, True, False]]), [[0, 8]])


@given(
    mask=st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4),
    bias=st.lists(st.floats(-5, 5, width=32), min_size=5, max_size=5),
)
@settings(max_examples=50)
def test_is_a_softmax_over_the_filled_places(mask: list[list[bool]], bias: list[float]) -> None:
    vectors = np.random.default_rng(0).normal(size=(len(mask), 5, 3)).astype(np.float32)
    expected = np.zeros((len(mask), 3))
    for row, filled in enumerate(mask):
        newest_first = np.flatnonzero(filled)[::-1]
        weights = np.exp(np.array(bias[: len(newest_first)], np.float64))
        if len(newest_first):
            expected[row] = weights @ vectors[row, newest_first] / weights.sum()
    np.testing.assert_allclose(pool(bias, mask, vectors), expected, atol=1e-5)


def test_gradient_of_the_bias() -> None:
    # With weights w, d(sum_r w_r v_r) / d(b_r) = w_r (v_r - mean). The third weight is not in use.
    layer = HistoryPooling(3)
    layer.build()
    with tf.GradientTape() as tape:
        pooled = layer(tf.constant([[[8.0], [0.0], [5.0]]]), tf.constant([[True, True, False]]))
    gradient = tf.convert_to_tensor(tape.gradient(pooled, layer.trainable_variables[0].value))
    # Most recent: 1/2 (0 - 4) = -2; before: 1/2 (8 - 4) = 2.
    np.testing.assert_allclose(gradient, [-2, 2, 0], atol=1e-6)


def test_gradients_of_empty_histories_are_zero() -> None:
    layer = HistoryPooling(2)
    layer.build()
    vectors = tf.constant([[[1.0], [2.0]]])
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        pooled = layer(vectors, tf.constant([[False, False]]))
    for gradient in tape.gradient(pooled, [vectors, layer.trainable_variables[0].value]):
        assert not np.any(tf.convert_to_tensor(gradient))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_follows_the_policy_and_keeps_the_bias_in_float32(policy: str) -> None:
    layer = HistoryPooling(3, dtype=policy)
    pooled = layer(tf.constant(VECTORS), tf.constant([[True, True, False]]))
    assert pooled.dtype == keras.DTypePolicy(policy).compute_dtype
    assert layer.recency_bias.dtype == "float32"
    np.testing.assert_allclose(tf.cast(pooled, tf.float32), [[2, 4]], rtol=0.01)


def test_survives_its_configuration() -> None:
    layer = HistoryPooling.from_config(HistoryPooling(7, name="pooling").get_config())
    assert (layer.history_length, layer.name) == (7, "pooling")
