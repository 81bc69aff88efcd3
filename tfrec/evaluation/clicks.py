"""Evaluating predicted probabilities."""

import numpy as np

from tfrec.config import EvaluationConfig
from tfrec.evaluation.click_metrics import (
    Order,
    bins_of,
    expected_calibration_error,
    log_losses,
    normalised_entropy,
    sigmoid,
)
from tfrec.evaluation.report import Estimate, Report

METRICS = ("auc", "grouped_auc", "log_loss", "normalised_entropy", "ece")


def evaluate_clicks(
    name: str, labels: np.ndarray, logits: np.ndarray, users: np.ndarray, config: EvaluationConfig, seed: int = 0
) -> Report:
    """Measures predictions against what happened.

    - `auc`: of all impressions. `grouped_auc`: the mean of the users' own AUCs, by their impressions, over the users
      who have both kinds, NaN if nobody has (Zhu et al. 2017, "Optimized Cost per Click in Taobao Display
      Advertising", section 4.1).
    - `log_loss`, in nats, and `normalised_entropy`, which divides it by that of the rate of clicks.
    - `ece`: expected calibration error; without an interval, for a sum of absolute values is larger in every resample.

    Impressions of one user are alike, so the intervals are of a bootstrap that draws users and not impressions (Field
    and Welsh 2007, "Bootstrapping clustered data", section 3); of a single user, impressions. As many draws as
    config.bootstrap_samples, 0: none.

    Args:
        name: What the table calls the model.
        labels: 0 or 1, [num_impressions].
        logits: The predicted log-odds, [num_impressions].
        users: User codes, int [num_impressions].
        config: The intervals.
        seed: Draws the resamples. The same seed pairs those of two reports.

    Returns:
        A report; `resamples` holds each metric's value in each resample.
    """
    labels = labels.astype(np.float64)
    _, users = np.unique(users, return_inverse=True)
    num_users = int(users.max()) + 1
    is_one = num_users == 1
    if is_one:
        users, num_users = np.arange(len(labels)), len(labels)
    everyone = Order(labels, logits)
    # Whole users are drawn, so that what is of one user alone, or a sum over impressions, is computed once.
    aucs = Order(labels, logits, users).auc(np.ones(len(labels)))
    has_auc = ~np.isnan(aucs)
    aucs = np.where(has_auc, aucs, 0)
    counts, liked = np.bincount(users).astype(np.float64), np.bincount(users, labels)
    losses = np.bincount(users, log_losses(labels, logits))
    bins = bins_of(logits)
    num_bins = int(bins.max()) + 1
    gaps = np.bincount(users * num_bins + bins, labels - sigmoid(logits), minlength=num_users * num_bins)
    gaps = gaps.reshape(num_users, num_bins)

    def measure(times: np.ndarray) -> list[float]:
        total = float(times @ counts)
        [auc] = map(float, everyone.auc(times[users]))
        shares = times * counts * has_auc
        loss, rate = float(times @ losses) / total, float(times @ liked) / total
        return [
            auc,
            auc if is_one else float(shares @ aucs / shares.sum()) if shares.any() else float("nan"),
            loss,
            normalised_entropy(loss, rate),
            expected_calibration_error(times @ gaps, total),
        ]

    means = dict(zip(METRICS, measure(np.ones(num_users)), strict=True))
    generator = np.random.default_rng(seed)
    draws = [
        measure(np.bincount(generator.integers(num_users, size=num_users), minlength=num_users).astype(np.float64))
        for _ in range(config.bootstrap_samples)
    ]
    resamples = dict(zip(METRICS, np.array(draws).reshape(-1, len(METRICS)).T, strict=True))
    del resamples["ece"]
    tail = (1 - config.confidence) / 2
    estimates = {name: Estimate(mean) for name, mean in means.items()}
    if draws:
        for metric, values in resamples.items():
            drawn = values[~np.isnan(values)]  # A draw may hold no click.
            if len(drawn):
                estimates[metric] = Estimate(means[metric], *np.quantile(drawn, [tail, 1 - tail]).tolist())
    return Report(
        name,
        len(labels),
        config.confidence,
        estimates,
        resamples=resamples,
        unit="impressions",
        drawn="impressions" if is_one else "users",
    )
