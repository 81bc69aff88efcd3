"""Users to vectors."""

from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfrec.features.columns import Column
from tfrec.towers.user_tower import UserTower

COLUMNS = (Column("country", "categorical", vocabulary=("Chile", "Ghana")),)
LENGTH, SIZE = 3, 4
HISTORY = np.random.default_rng(0).normal(size=(2, LENGTH, SIZE)).astype(np.float32)
MASK = np.array([[True, True, False], [True, False, False]])
FEATURES = {"country": tf.constant([3, 2])}


@pytest.fixture(autouse=True)
def seeded() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture
def bfloat16() -> Iterator[None]:
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy("float32")


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def test_adds_the_history_and_the_attributes() -> None:
    tower = UserTower(COLUMNS, LENGTH, SIZE, hidden_sizes=(8,))
    outputs = tower(tf.constant(HISTORY), tf.constant(MASK), FEATURES)
    country = np.asarray(tower.attributes.trainable_weights[0])
    # Pooling starts as the mean, the MLP as the identity.
    means = np.stack([HISTORY[0, :2].mean(axis=0), HISTORY[1, 0]])
    np.testing.assert_allclose(outputs, unit(means + country[[3, 2]]), atol=1e-5)


def test_the_history_alone() -> None:
    tower = UserTower((), LENGTH, SIZE)
    outputs = tower(tf.constant(HISTORY[1:]), tf.constant(MASK[1:]), {})
    np.testing.assert_allclose(outputs, unit(HISTORY[1:, 0]), atol=1e-5)


def test_without_a_history_the_attributes_speak() -> None:
    tower = UserTower(COLUMNS, LENGTH, SIZE)
    outputs = tower(tf.constant(HISTORY), tf.zeros([2, LENGTH], tf.bool), FEATURES)
    country = np.asarray(tower.attributes.trainable_weights[0])
    np.testing.assert_allclose(outputs, unit(country[[3, 2]]), atol=1e-5)


def test_with_nothing_at_all_the_vector_is_zero_and_its_gradient_finite() -> None:
    tower = UserTower((), LENGTH, SIZE, hidden_sizes=(8,))
    history = tf.constant(HISTORY)
    with tf.GradientTape() as tape:
        tape.watch(history)
        outputs = tower(history, tf.zeros([2, LENGTH], tf.bool), {})
    np.testing.assert_array_equal(outputs, np.zeros((2, SIZE)))
    gradients = tape.gradient(outputs, [history, *(weight.value for weight in tower.trainable_weights)])
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)


def test_dropout_is_for_training() -> None:
    tower = UserTower(COLUMNS, LENGTH, SIZE, hidden_sizes=(64,), dropout=0.5)
    tower.build()
    generator = np.random.default_rng(0)
    for weight in tower.mlp.trainable_weights:
        weight.assign(generator.normal(size=weight.shape))
    plain, again, dropped = (
        tower(tf.constant(HISTORY), tf.constant(MASK), FEATURES, training=training).numpy()
        for training in (False, False, True)
    )
    np.testing.assert_array_equal(plain, again)
    assert np.abs(plain - dropped).max() > 0.01
    np.testing.assert_allclose(np.linalg.norm(dropped, axis=1), [1, 1], atol=1e-5)


@pytest.mark.usefixtures("bfloat16")
def test_mixed_precision_answers_in_float32() -> None:
    tower = UserTower(COLUMNS, LENGTH, SIZE, hidden_sizes=(8,))
    outputs = tower(tf.constant(HISTORY), tf.constant(MASK), FEATURES)
    assert outputs.dtype == tf.float32
    np.testing.assert_allclose(np.linalg.norm(outputs, axis=1), [1, 1], atol=1e-5)
    full = UserTower(COLUMNS, LENGTH, SIZE, hidden_sizes=(8,), dtype="float32")
    full.build()
    full.set_weights(tower.get_weights())
    np.testing.assert_allclose(outputs, full(tf.constant(HISTORY), tf.constant(MASK), FEATURES), atol=0.05)
