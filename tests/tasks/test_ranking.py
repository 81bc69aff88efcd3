"""The ranking task: its loss by hand, in a Keras 3 train step, and on several devices."""

import json
import subprocess
import sys
from math import exp, log
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.batch import LEARNING_RATE, NUM_DEVICES
from tests.tasks.models import Logits
from tests.tasks.ranking_batch import LABELS, LOGITS, WEIGHTS, loss_and_gradients
from tfrec.tasks.ranking import RankingTask


def loss(labels: object, logits: object, weights: object = None) -> float:
    weights = None if weights is None else tf.constant(weights)
    value = RankingTask()(tf.constant(labels), tf.constant(logits), weights)
    assert (value.dtype, value.shape) == (tf.float32, ())
    return float(value)


def test_by_hand() -> None:
    # -log sigmoid(1) = log(1 + e^-1); -log(1 - sigmoid(2)) = log(1 + e^2).
    expected = (log(1 + exp(-1)) + log(1 + exp(2))) / 2
    assert loss([1.0, 0.0], [1.0, 2.0]) == pytest.approx(expected, rel=1e-6)


def test_the_shape_does_not_matter() -> None:
    # Keras 2 would take the mean over the last dimension of three, and the sum over the rest.
    expected = (log(1 + exp(-1)) + 5 * log(2)) / 6
    assert loss([[1, 0, 0], [0, 0, 1]], [[1.0, 0, 0], [0, 0, 0]]) == pytest.approx(expected, rel=1e-6)


def test_weights() -> None:
    # The first counts three times, the last not at all: (3 log(1 + e^-1) + log 2) / 4.
    expected = (3 * log(1 + exp(-1)) + log(2)) / 4
    assert loss([1, 0, 1], [1.0, 0.0, -9.0], [3, 1, 0]) == pytest.approx(expected, rel=1e-6)


def test_the_mean_over_as_many_as_is_said() -> None:
    value = RankingTask()(tf.constant([1, 0]), tf.constant([1.0, 2.0]), num_examples=tf.constant(8.0))
    assert float(value) == pytest.approx((log(1 + exp(-1)) + log(1 + exp(2))) / 8, rel=1e-6)


def test_nothing_counts() -> None:
    assert loss([1, 0], [1.0, 2.0], [0, 0]) == 0


def test_large_logits_have_a_finite_loss() -> None:
    # A probability would be 0 in float32, and its logarithm infinite.
    assert loss([1, 0], [-200.0, 0.0]) == pytest.approx((200 + log(2)) / 2, rel=1e-6)


def test_mixed_precision_is_summed_in_float32() -> None:
    # 300 times log 2 = 207.944, which bfloat16 rounds to 208: a mean of .69333.
    value = RankingTask()(tf.zeros([300]), tf.zeros([300], tf.bfloat16))
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(log(2), rel=1e-6)


def test_loss_and_gradients() -> None:
    logits = tf.constant(LOGITS)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = RankingTask()(tf.constant(LABELS), logits, tf.constant(WEIGHTS))
    expected, by_logits = loss_and_gradients()
    assert float(value) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(tape.gradient(value, logits), by_logits, atol=1e-6)


def test_a_keras_train_step_goes_down_the_gradient() -> None:
    model = Logits()
    model.compile(keras.optimizers.SGD(LEARNING_RATE), jit_compile=False)
    history = model.fit(np.arange(len(LABELS)), batch_size=len(LABELS), shuffle=False, verbose=0)
    expected, by_logits = loss_and_gradients()
    assert history.history["loss"] == [pytest.approx(expected, rel=1e-5)]
    np.testing.assert_allclose(model.logits, LOGITS - LEARNING_RATE * by_logits, atol=1e-6)


@pytest.fixture(scope="module")
def two_devices() -> dict:
    command = [sys.executable, "-m", "tests.tasks.two_devices", "ranking"]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_two_devices_lose_together_what_one_loses(two_devices: dict) -> None:
    expected, by_logits = loss_and_gradients()
    result = two_devices["task"]
    assert len(result["losses"]) == NUM_DEVICES
    assert min(result["losses"]) > 0
    assert result["loss"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(result["by_logits"], by_logits, atol=1e-6)


def test_two_devices_train_as_one(two_devices: dict) -> None:
    expected, by_logits = loss_and_gradients()
    assert two_devices["fit"]["loss"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(two_devices["fit"]["logits"], LOGITS - LEARNING_RATE * by_logits, atol=1e-6)
