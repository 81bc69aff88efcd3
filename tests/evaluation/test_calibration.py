import numpy as np
import pytest

from tfrec.evaluation import Calibration, fit_calibration
from tfrec.evaluation.click_metrics import sigmoid


def drawn(scale: float, shift: float, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds of a model whose true ones are scale * z + shift, and labels."""
    generator = np.random.default_rng(0)
    logits = generator.normal(size=count)
    return logits, (generator.random(count) < sigmoid(scale * logits + shift)).astype(np.float32)


def test_none_changes_nothing() -> None:
    logits, labels = drawn(0.5, 1)
    np.testing.assert_allclose(fit_calibration("none", logits, labels)(logits), logits)


def test_platt_finds_the_line() -> None:
    logits, labels = drawn(0.5, -1)
    calibration = fit_calibration("platt", logits, labels)
    at = np.array([-2.0, 0, 1])
    np.testing.assert_allclose(calibration(at), 0.5 * at - 1, atol=0.1)


@pytest.mark.parametrize("method", ["platt", "isotonic"])
def test_it_rises_and_corrects_what_was_expected(method: str) -> None:
    logits, labels = drawn(2, 0.5)
    corrected = fit_calibration(method, logits, labels)(np.sort(logits))
    assert (np.diff(corrected) >= 0).all()
    # The mean of the probabilities is the rate, on what it was fitted on.
    assert sigmoid(corrected).mean() == pytest.approx(labels.mean(), abs=0.005)
    at = np.array([-1.0, 0, 1])
    np.testing.assert_allclose(sigmoid(fit_calibration(method, logits, labels)(at)), sigmoid(2 * at + 0.5), atol=0.03)


def test_isotonic_bends() -> None:
    # Below 0 nothing is told apart, above 0 everything: no line does that.
    generator = np.random.default_rng(1)
    logits = generator.normal(size=20_000)
    true = np.where(logits < 0, 0.2, 0.8)
    labels = (generator.random(20_000) < true).astype(np.float32)
    corrected = sigmoid(fit_calibration("isotonic", logits, labels)(np.array([-1.5, -0.5, 0.5, 1.5])))
    np.testing.assert_allclose(corrected, [0.2, 0.2, 0.8, 0.8], atol=0.03)


def test_no_step_is_certain() -> None:
    logits, labels = np.array([-2.0, -1, 1, 2]), np.array([0.0, 0, 1, 1])
    corrected = sigmoid(fit_calibration("isotonic", logits, labels)(np.array([-9.0, 9])))
    np.testing.assert_allclose(corrected, [1 / 6, 5 / 6])  # half an impression in three


def test_a_step_of_one_lifts_no_other() -> None:
    """The lowest impression alone, which was not clicked: half an impression in two, but it is below all others."""
    logits = np.concatenate([[-5.0], np.repeat([-3.0, 0.0, 3.0], 100), [5.0]]).astype(np.float32)
    labels = np.concatenate([[0], [1] * 5, [0] * 95, [1] * 50, [0] * 50, [1] * 95, [0] * 5, [1]]).astype(np.float32)
    corrected = sigmoid(fit_calibration("isotonic", logits, labels)(np.array([-5.0, -3, 0, 3, 5])))
    np.testing.assert_allclose(corrected, [0.05, 0.05, 0.5, 0.95, 0.95], atol=1e-6)


def test_a_model_that_is_worse_than_chance_is_not_turned_round() -> None:
    logits, labels = drawn(-1, 0)
    corrected = sigmoid(fit_calibration("platt", logits + 3, labels)(logits + 3))
    np.testing.assert_allclose(corrected, labels.mean(), atol=1e-3)


def test_one_step_is_a_constant() -> None:
    calibration = fit_calibration("isotonic", np.array([1.0, 2]), np.array([1.0, 0]))
    np.testing.assert_allclose(sigmoid(calibration(np.array([-3.0, 0, 3]))), 0.5)
    assert len(calibration.knots) == 2  # so that a graph can draw a line


def test_labels_of_one_kind_teach_nothing() -> None:
    assert fit_calibration("platt", np.arange(3.0), np.ones(3)) == Calibration()
