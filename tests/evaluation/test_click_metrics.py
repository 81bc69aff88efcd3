"""Metrics of probabilities, by hand and beside scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, roc_auc_score

from tfrec.config import EvaluationConfig
from tfrec.evaluation import compare, evaluate_clicks
from tfrec.evaluation.click_metrics import (
    Order,
    bins_of,
    expected_calibration_error,
    log_losses,
    normalised_entropy,
    sigmoid,
)

LABELS = np.array([1.0, 0, 1, 0, 0])
LOGITS = np.array([2.0, 1, 0, 0, -1])
# Of the six pairs the first click wins three, and the second wins one (against -1), ties with one and loses one.
AUC = (3 + 1.5) / 6


def test_auc_by_hand() -> None:
    assert Order(LABELS, LOGITS).auc(np.ones(5)) == pytest.approx([AUC])


def test_weights_are_repetitions() -> None:
    times = np.array([1, 2, 0, 3, 1])
    repeated = np.repeat(np.arange(5), times)
    expected = roc_auc_score(LABELS[repeated], LOGITS[repeated])
    assert Order(LABELS, LOGITS).auc(times.astype(float)) == pytest.approx([expected])


def test_groups_are_compared_within_themselves() -> None:
    # The first group has one pair, won; the second one pair, tied; the third only clicks.
    labels, logits = np.array([1.0, 0, 1, 0, 1]), np.array([-5.0, -6, 3, 3, 0])
    aucs = Order(labels, logits, np.array([7, 7, 8, 8, 9])).auc(np.ones(5))
    np.testing.assert_array_equal(aucs, [1, 0.5, np.nan])


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=30))
def test_auc_is_scikit_learns(impressions: list[tuple[bool, int]]) -> None:
    labels, logits = (np.array(each, float) for each in zip(*impressions, strict=True))
    [auc] = Order(labels, logits).auc(np.ones(len(labels)))
    if labels.min() == labels.max():
        assert np.isnan(auc)
    else:
        assert auc == pytest.approx(roc_auc_score(labels, logits))


def test_log_loss_is_scikit_learns_and_finite_far_out() -> None:
    assert log_losses(LABELS, LOGITS).mean() == pytest.approx(log_loss(LABELS, sigmoid(LOGITS)))
    np.testing.assert_allclose(log_losses(np.array([1.0, 0]), np.array([-800.0, 900.0])), [800, 900])


def test_predicting_the_rate_has_a_normalised_entropy_of_one() -> None:
    rate = 0.4
    logits = np.full(5, np.log(rate / (1 - rate)))
    assert normalised_entropy(float(log_losses(LABELS, logits).mean()), rate) == pytest.approx(1)


def test_calibration_error_by_hand() -> None:
    # Two bins: of four impressions one is clicked where two were expected, of six three where 1.5 were.
    assert expected_calibration_error(np.array([1 - 2, 3 - 1.5]), 10) == pytest.approx(0.25)


def test_bins_hold_as_many_impressions_each_and_ties_stay_together() -> None:
    assert np.bincount(bins_of(np.random.default_rng(0).normal(size=1000))).tolist() == [50] * 20
    assert len(set(bins_of(np.zeros(100)).tolist())) == 1


class TestEvaluateClicks:
    settings = EvaluationConfig(monitor="auc", bootstrap_samples=300)

    def draw(self, seed: int = 0, num_users: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels that are drawn with the probabilities of their logits."""
        generator = np.random.default_rng(seed)
        users = np.repeat(np.arange(num_users), 20)
        logits = generator.normal(size=len(users)) + np.repeat(generator.normal(size=num_users), 20)
        return (generator.random(len(users)) < sigmoid(logits)).astype(np.float32), logits, users

    def test_each_metric_is_what_it_is_called(self) -> None:
        labels, logits, users = self.draw()
        metrics = evaluate_clicks("m", labels, logits, users, self.settings).metrics
        assert metrics["auc"].mean == pytest.approx(roc_auc_score(labels, logits))
        assert metrics["log_loss"].mean == pytest.approx(log_loss(labels, sigmoid(logits)))
        of_users = [
            roc_auc_score(labels[users == user], logits[users == user])
            for user in range(200)
            if 0 < labels[users == user].mean() < 1
        ]
        assert metrics["grouped_auc"].mean == pytest.approx(np.mean(of_users))

    def test_true_probabilities_are_calibrated_and_others_are_not(self) -> None:
        labels, logits, users = self.draw()
        truth = evaluate_clicks("truth", labels, logits, users, self.settings).metrics
        # What chance alone leaves: a bin's 200 impressions have a standard error of at most sqrt(.25 / 200) = .035.
        assert truth["ece"].mean < 0.04
        bold = evaluate_clicks("bold", labels, 3 * logits, users, self.settings).metrics
        assert bold["ece"].mean > 0.08
        assert bold["log_loss"].mean > truth["log_loss"].mean
        assert bold["auc"].mean == truth["auc"].mean

    def test_intervals_are_of_users(self) -> None:
        # The bootstrap's spread of the mean of clicks a user, by its formula: standard deviation over users / sqrt(n).
        labels, logits, users = self.draw()
        estimate = evaluate_clicks("m", labels, np.zeros(len(labels)), users, self.settings)
        assert estimate.metrics["auc"] == (0.5, 0.5, 0.5)
        losses = log_losses(labels, logits).reshape(200, 20).mean(axis=1)
        mean, low, high = evaluate_clicks("m", labels, logits, users, self.settings).metrics["log_loss"]
        assert high - low == pytest.approx(2 * 1.96 * losses.std() / np.sqrt(200), rel=0.2)
        assert low < mean < high

    def test_pairs_are_compared_on_the_same_draws(self) -> None:
        labels, logits, users = self.draw()
        better = evaluate_clicks("better", labels, logits, users, self.settings)
        noisy = logits + np.random.default_rng(1).normal(size=len(logits))
        worse = evaluate_clicks("worse", labels, noisy, users, self.settings)
        comparison = compare(worse, better, "auc", self.settings)
        assert comparison.baseline_wins
        assert comparison.significant
        assert compare(better, better, "auc", self.settings).difference == (0, 0, 0)
        # Less is better: the same comparison by log-loss.
        by_loss = compare(worse, better, "log_loss", self.settings)
        assert by_loss.difference.mean > 0
        assert by_loss.baseline_wins
        assert str(by_loss).startswith("better is better than worse in log_loss")

    def test_a_user_without_both_kinds_has_no_auc(self) -> None:
        labels = np.array([1.0, 1, 1, 0])
        metrics = evaluate_clicks("m", labels, np.arange(4.0), np.array([0, 0, 1, 1]), self.settings).metrics
        assert metrics["grouped_auc"].mean == 0  # Of user 1 alone, whose click is below.
        alone = evaluate_clicks("m", labels, np.arange(4.0), np.arange(4), self.settings).metrics
        assert np.isnan(alone["grouped_auc"].mean)

    def test_of_one_user_impressions_are_drawn(self) -> None:
        labels, logits, _ = self.draw(num_users=20)
        metrics = evaluate_clicks("m", labels, logits, np.zeros(len(labels)), self.settings).metrics
        mean, low, high = metrics["auc"]
        assert low < mean < high
        assert metrics["grouped_auc"] == metrics["auc"]
