import numpy as np
import pytest
import tensorflow as tf

from tfrec.tasks import next_item
from tfrec.tasks.next_item import full_softmax, generalised_bce, sampled_softmax

QUERIES = tf.constant([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
# The first two rows are padding and unknown: were they candidates, the loss would be far larger.
ITEMS = tf.constant([[9.0, 9.0], [9.0, 9.0], [1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])


def test_full_softmax_by_hand() -> None:
    # Over 0.5: the first query scores 2, 0, 0 and wants the first; the second 0, 2, -2 and wants the third.
    expected = np.log(1 + 2 * np.exp(-2)) + np.log(np.exp(2) + np.exp(4) + 1)
    loss = full_softmax(QUERIES[:2], ITEMS, tf.constant([2, 4]), temperature=0.5)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("logits_at_once", [1, 400, 1_000_000])
def test_full_softmax_in_parts_has_the_gradients_of_the_whole(
    logits_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(next_item, "LOGITS_AT_ONCE", logits_at_once)
    monkeypatch.setattr(next_item, "FEWEST_ROWS", 1)
    generator = np.random.default_rng(0)
    queries = tf.constant(generator.normal(size=(11, 4)), tf.float32)
    items = tf.constant(generator.normal(size=(102, 4)), tf.float32)
    targets = tf.constant(generator.integers(2, 102, 11), tf.int32)

    @tf.function
    def gradients() -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch([queries, items])
            loss = 3 * full_softmax(queries, items, targets, temperature=0.5)
        return loss, tape.gradient(loss, [queries, items])

    loss, (of_queries, of_items) = gradients()
    # An oracle: the softmax less the right item.
    scores = np.exp(queries.numpy() @ items.numpy()[2:].T / 0.5)
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    right = np.eye(100)[targets.numpy() - 2]
    np.testing.assert_allclose(loss, -3 * np.log((probabilities * right).sum(axis=1)).sum(), rtol=1e-5)
    np.testing.assert_allclose(of_queries, 6 * (probabilities - right) @ items.numpy()[2:], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(of_items[2:], 6 * (probabilities - right).T @ queries.numpy(), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(of_items[:2], np.zeros((2, 4)))


POSITIVES = tf.constant([[1.0, 0.0], [0.0, -1.0]])
NEGATIVES = tf.constant([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
HITS = tf.constant([[False, True, False], [False, False, True]])


def test_sampled_softmax_by_hand() -> None:
    # Eleven items; two of the ten others were drawn for each query, so each stands for five.
    # Query [1, 0]: right 2, others 0 and 0. Query [0, 1]: right -2, others 2 and 0.
    expected = np.log(np.exp(2) + 5 * 2) - 2 + np.log(np.exp(-2) + 5 * (np.exp(2) + 1)) + 2
    loss = sampled_softmax(QUERIES[:2], POSITIVES, NEGATIVES, HITS, num_items=11, temperature=0.5)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_sampling_every_other_item_is_the_full_softmax() -> None:
    targets = tf.constant([2, 4, 3])
    hits = targets[:, tf.newaxis] == tf.range(2, 5)
    sampled = sampled_softmax(QUERIES, tf.gather(ITEMS, targets), ITEMS[2:], hits, num_items=3, temperature=0.5)
    np.testing.assert_allclose(sampled, full_softmax(QUERIES, ITEMS, targets, temperature=0.5), rtol=1e-5)


@pytest.mark.parametrize("calibration", [0.0, 0.5, 1.0])
def test_generalised_bce_by_hand(calibration: float) -> None:
    # Three negatives out of ten: alpha = .3, beta = .3 (t (1 - 1/.3) + 1/.3) = 1 - .7 t.
    def minus_log_sigmoid(score: float) -> float:
        return np.log(1 + np.exp(-score))

    beta = 1 - 0.7 * calibration
    first = beta * minus_log_sigmoid(2) + 2 * minus_log_sigmoid(0)
    second = beta * minus_log_sigmoid(-2) + minus_log_sigmoid(-2) + minus_log_sigmoid(0)
    loss = generalised_bce(QUERIES[:2], POSITIVES, NEGATIVES, HITS, 11, 0.5, calibration)
    np.testing.assert_allclose(loss, (first + second) / 4, rtol=1e-5)
