"""Evaluating predicted probabilities."""

import numpy as np

from tfrec.config import EvaluationConfig
from tfrec.evaluation.click_metrics import (
    Order,
    bins_of,
    expected_calibration_error,
    log_losses,
    mean_of_known,
    normalised_entropy,
    sigmoid,
)
from tfrec.evaluation.report import Report
from tfrec.evaluation.user_bootstrap import UserBootstrap


def evaluate_clicks(
    name: str, labels: np.ndarray, logits: np.ndarray, users: np.ndarray, config: EvaluationConfig, seed: int = 0
) -> Report:
    """Measures predictions against what happened.

    - `auc`: of all impressions. `grouped_auc`: the mean of the users' own AUCs, by their impressions, over the users
      who have both kinds, NaN if nobody has (Zhu et al. 2017, "Optimized Cost per Click in Taobao Display
      Advertising", section 4.1).
    - `log_loss`, in nats, and `normalised_entropy`, which divides it by that of the rate of clicks.
    - `ece`: expected calibration error; without an interval, for a sum of absolute values is larger in every resample.

    Args:
        name: What the table calls the model.
        labels: 0 or 1, [num_impressions].
        logits: The predicted log-odds, [num_impressions].
        users: User codes, int [num_impressions].
        config: The intervals, which draw users.
        seed: Draws the resamples. The same seed pairs those of two reports.

    Returns:
        A report; `resamples` holds each metric's value in each resample.
    """
    labels = labels.astype(np.float64)
    bootstrap = UserBootstrap.of(users)
    everyone = Order(labels, logits)
    # Whole users are drawn, so that what is of one user alone, or a sum over impressions, is computed once.
    aucs = Order(labels, logits, bootstrap.groups).auc(np.ones(len(labels)))
    counts, liked = bootstrap.sums(np.ones(len(labels))), bootstrap.sums(labels)
    losses = bootstrap.sums(log_losses(labels, logits))
    gaps = bootstrap.binned_sums(bins_of(logits), labels - sigmoid(logits))

    def measure(times: np.ndarray) -> dict[str, float]:
        total = float(times @ counts)
        [auc] = map(float, everyone.auc(times[bootstrap.groups]))
        loss, rate = float(times @ losses) / total, float(times @ liked) / total
        return {
            "auc": auc,
            "grouped_auc": auc if bootstrap.is_one else mean_of_known(aucs, times * counts),
            "log_loss": loss,
            "normalised_entropy": normalised_entropy(loss, rate),
            "ece": expected_calibration_error(times @ gaps, total),
        }

    return bootstrap.report(name, measure, config, seed, without_interval=["ece"])
