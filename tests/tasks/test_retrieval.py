"""The retrieval task: its loss by hand, in a Keras 3 train step, and on several devices."""

import json
import subprocess
import sys
from math import exp, log
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.tasks.batch import (
    CANDIDATES,
    IDS,
    LEARNING_RATE,
    NUM_DEVICES,
    PROBABILITIES,
    QUERIES,
    TEMPERATURE,
    loss_and_gradients,
)
from tests.tasks.models import Lookup
from tfrec.tasks.retrieval import RetrievalTask


def loss(
    queries: object,
    candidates: object,
    ids: list[int] | None = None,
    probabilities: list[float] | None = None,
    **options: float,
) -> float:
    queries = tf.constant(queries, tf.float32)
    ids = list(range(len(queries))) if ids is None else ids
    probability = None if probabilities is None else tf.constant(probabilities, tf.float32)
    value = RetrievalTask(**options)(queries, tf.constant(candidates, tf.float32), tf.constant(ids), probability)
    assert (value.dtype, value.shape) == (tf.float32, ())
    return float(value)


class TestByHand:
    def test_two_by_two(self) -> None:
        # Scores [[1, 0], [0, 2]]: -log(e / (e + 1)) = log(1 + e^-1), and log(1 + e^-2).
        expected = (log(1 + exp(-1)) + log(1 + exp(-2))) / 2
        assert loss([[1, 0], [0, 1]], [[1, 0], [0, 2]]) == pytest.approx(expected, rel=1e-6)

    def test_queries_are_the_rows_and_candidates_compete(self) -> None:
        queries, candidates = [[1, 0], [0, 0], [0, 1]], [[0, 0], [3, 0], [2, 1]]
        # Scores [[0, 3, 2], [0, 0, 0], [0, 0, 1]], row by row. Column by column it would be log 3, log(e^3 + 2) and
        # log(e^2 + 1 + e) - 1, a mean of 1.87 and not 1.67.
        expected = (log(1 + exp(3) + exp(2)) + log(3) + log(2 + exp(1)) - 1) / 3
        assert loss(queries, candidates) == pytest.approx(expected, rel=1e-6)

    def test_temperature_divides_the_scores(self) -> None:
        # [[1, 0], [0, 2]] / 0.25 = [[4, 0], [0, 8]].
        expected = (log(1 + exp(-4)) + log(1 + exp(-8))) / 2
        assert loss([[1, 0], [0, 1]], [[1, 0], [0, 2]], temperature=0.25) == pytest.approx(expected, rel=1e-5)

    def test_a_single_example_has_nothing_to_lose(self) -> None:
        assert loss([[1, 2]], [[-3, 4]]) == pytest.approx(0, abs=1e-6)


class TestLogQ:
    """Query 0 finds its candidate for certain (100 against 0, a loss of 0); query 1 scores both candidates 0."""

    queries, candidates = ((100, 0), (0, 0)), ((1, 0), (0, 0))

    def test_without_correction(self) -> None:
        assert loss(self.queries, self.candidates) == pytest.approx(log(2) / 2, rel=1e-6)

    def test_a_popular_negative_counts_less(self) -> None:
        # Weights 1 / p: the negative's 1 / 0.5 = 2, the positive's 1 / 0.125 = 8. The loss is -log(8 / 10) = log 1.25,
        # smaller than log 2 by exactly log 1.6.
        corrected = loss(self.queries, self.candidates, probabilities=[0.5, 0.125])
        assert corrected == pytest.approx((log(2) - log(1.6)) / 2, rel=1e-6)

    def test_a_rare_negative_counts_more(self) -> None:
        # The negative's 8, the positive's 2: -log(2 / 10) = log 5, larger than log 2 by exactly log 2.5.
        corrected = loss(self.queries, self.candidates, probabilities=[0.125, 0.5])
        assert corrected == pytest.approx((log(2) + log(2.5)) / 2, rel=1e-6)

    def test_the_temperature_does_not_divide_the_correction(self) -> None:
        corrected = loss(self.queries, self.candidates, probabilities=[0.5, 0.125], temperature=0.1)
        assert corrected == pytest.approx(log(1.25) / 2, rel=1e-6)


class TestAccidentalHits:
    """All scores are 0; candidates 0 and 1 are the same item."""

    zeros = ((0, 0),) * 3

    def test_get_no_weight(self) -> None:
        # Queries 0 and 1 have one negative each, query 2 has two.
        assert loss(self.zeros, self.zeros, ids=[7, 7, 8]) == pytest.approx((2 * log(2) + log(3)) / 3, rel=1e-6)

    def test_count_if_they_are_not_removed(self) -> None:
        value = loss(self.zeros, self.zeros, ids=[7, 7, 8], remove_accidental_hits=False)
        assert value == pytest.approx(log(3), rel=1e-6)

    def test_get_no_weight_however_high_they_score(self) -> None:
        # Query 0 scores its own candidate 0 and its accidental hit 1000.
        value = loss([[1], [0], [0]], [[0], [1000], [0]], ids=[7, 7, 8])
        assert value == pytest.approx((2 * log(2) + log(3)) / 3, rel=1e-6)


@pytest.mark.parametrize("log_q_correction", [False, True])
@pytest.mark.parametrize("remove_accidental_hits", [False, True])
def test_loss_and_gradients(log_q_correction: bool, remove_accidental_hits: bool) -> None:
    queries, candidates = tf.constant(QUERIES), tf.constant(CANDIDATES)
    with tf.GradientTape() as tape:
        tape.watch([queries, candidates])
        probabilities = tf.constant(PROBABILITIES) if log_q_correction else None
        value = RetrievalTask(TEMPERATURE, remove_accidental_hits)(queries, candidates, tf.constant(IDS), probabilities)
    expected, by_queries, by_candidates = loss_and_gradients(log_q_correction, remove_accidental_hits)
    assert float(value) == pytest.approx(expected, rel=1e-5)
    gradients = tape.gradient(value, [queries, candidates])
    np.testing.assert_allclose(gradients[0], by_queries, atol=1e-5)
    np.testing.assert_allclose(gradients[1], by_candidates, atol=1e-5)


def test_mixed_precision_is_summed_in_float32() -> None:
    # 256 equal scores: log 256 = 5.5452, which bfloat16 rounds to 5.5625 and float16 to 5.5469.
    zeros = tf.zeros([256, 4], tf.bfloat16)
    value = RetrievalTask()(zeros, zeros, tf.range(256))
    assert value.dtype == tf.float32
    assert float(value) == pytest.approx(log(256), rel=1e-6)


def test_a_keras_train_step_goes_down_the_gradient() -> None:
    model = Lookup()
    model.compile(keras.optimizers.SGD(LEARNING_RATE), jit_compile=False)
    history = model.fit(np.arange(len(IDS)), batch_size=len(IDS), shuffle=False, verbose=0)
    expected, by_queries, by_candidates = loss_and_gradients(log_q_correction=True, remove_accidental_hits=True)
    assert history.history["loss"] == [pytest.approx(expected, rel=1e-5)]
    np.testing.assert_allclose(model.queries, QUERIES - LEARNING_RATE * by_queries, atol=1e-5)
    np.testing.assert_allclose(model.candidates, CANDIDATES - LEARNING_RATE * by_candidates, atol=1e-5)


@pytest.fixture(scope="module")
def two_devices() -> dict:
    command = [sys.executable, "-m", "tests.tasks.two_devices"]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_two_devices_lose_together_what_one_loses(two_devices: dict) -> None:
    assert len(two_devices["tasks"]) == 2
    for log_q_correction, remove_accidental_hits, result in two_devices["tasks"]:
        expected, by_queries, by_candidates = loss_and_gradients(log_q_correction, remove_accidental_hits)
        assert len(result["losses"]) == NUM_DEVICES
        assert min(result["losses"]) > 0
        assert result["loss"] == pytest.approx(expected, rel=1e-5)
        np.testing.assert_allclose(result["by_queries"], by_queries, atol=1e-5)
        np.testing.assert_allclose(result["by_candidates"], by_candidates, atol=1e-5)


def test_two_devices_train_as_one(two_devices: dict) -> None:
    expected, by_queries, by_candidates = loss_and_gradients(log_q_correction=True, remove_accidental_hits=True)
    result = two_devices["fit"]
    assert result["loss"] == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(result["queries"], QUERIES - LEARNING_RATE * by_queries, atol=1e-5)
    np.testing.assert_allclose(result["candidates"], CANDIDATES - LEARNING_RATE * by_candidates, atol=1e-5)
