"""Metrics of predicted values, by hand."""

import numpy as np
import pytest

from tfrec.config import EvaluationConfig
from tfrec.evaluation import evaluate_values

SETTINGS = EvaluationConfig(monitor="auc", bootstrap_samples=200)


def test_metrics_by_hand() -> None:
    # Ada watched 30 and 10 seconds, and what was not clicked stands between them; Bob's only click is above all.
    users = np.array([0, 0, 0, 1, 1])
    labels, values = np.array([1, 0, 1, 1, 0]), np.array([30, 0, 10, 60, 0])
    predictions = np.array([9, 5, 3, 8, 2])
    metrics = evaluate_values("m", labels, values, predictions, users, SETTINGS).metrics
    # Of Ada's 40 seconds 30 are above; of Bob's 60 all.
    assert metrics["grouped_auc"].mean == pytest.approx((30 + 60) / 100)
    # Of all 100 seconds, before either of the two that were not clicked: 30 and 60 above both, 10 above one.
    assert metrics["auc"].mean == pytest.approx((30 * 2 + 60 * 2 + 10 * 1) / 200)
    assert metrics["rmse"].mean == pytest.approx(np.sqrt((21**2 + 5**2 + 7**2 + 52**2 + 2**2) / 5))
    # Five bins of one each.
    assert metrics["calibration_error"].mean == pytest.approx((21 + 5 + 7 + 52 + 2) / 100)
    assert metrics["calibration_error"].low is None


def test_the_interval_draws_users() -> None:
    generator = np.random.default_rng(0)
    users = np.repeat(np.arange(100), 20)
    values = np.where(generator.random(2000) < 0.3, generator.lognormal(size=2000), 0)
    levels = np.repeat(generator.normal(size=100), 20)
    report = evaluate_values("m", values > 0, values, np.exp(levels), users, SETTINGS)
    # Of errors that are alike within a user, by the formula: the spread of users' sums.
    sums = np.bincount(users, (values - np.exp(levels)) ** 2)
    error = sums.std() / np.sqrt(100) / 20
    low, high = report.metrics["rmse"][1:]
    assert low is not None and high is not None
    assert (high**2 - low**2) / 2 / 1.96 == pytest.approx(error, rel=0.3)


def test_a_user_without_both_kinds_has_no_auc_of_its_own() -> None:
    users, labels, values = np.array([0, 0, 1]), np.array([1, 1, 0]), np.array([5.0, 6.0, 0.0])
    metrics = evaluate_values("m", labels, values, np.array([2.0, 3.0, 1.0]), users, SETTINGS).metrics
    assert np.isnan(metrics["grouped_auc"].mean)
    assert metrics["auc"].mean == 1
