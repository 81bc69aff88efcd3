"""Evaluating predictions of what impressions are worth, such as the seconds watched."""

import numpy as np

from tfrec.config import EvaluationConfig
from tfrec.evaluation.click_metrics import Order, bins_of, mean_of_known
from tfrec.evaluation.report import Report
from tfrec.evaluation.user_bootstrap import UserBootstrap


def evaluate_values(
    name: str,
    labels: np.ndarray,
    values: np.ndarray,
    predictions: np.ndarray,
    users: np.ndarray,
    config: EvaluationConfig,
    seed: int = 0,
) -> Report:
    """Measures predictions against what impressions were worth.

    - `auc`: the share of what was clicked, by its value, that is above what was not, of all impressions.
      `grouped_auc`: of the user's own; 1 less it is the weighted, per-user loss of Covington et al. 2016, "Deep Neural
      Networks for YouTube Recommendations", section 4.3. NaN if no user has both kinds.
    - `rmse`: root of the mean squared error, in the unit of the values.
    - `calibration_error`: how far predicted and seen sums lie apart over twenty quantiles, as a share of the sum seen;
      without an interval, as `ece`.

    Args:
        name: What the table calls the model.
        labels: 0 or 1, whether it was clicked, [num_impressions].
        values: What it was worth, not negative; 0 where it was not clicked; [num_impressions].
        predictions: Of these, [num_impressions].
        users: User codes, int [num_impressions].
        config: The intervals, which draw users.
        seed: Draws the resamples. The same seed pairs those of two reports.

    Returns:
        A report; `resamples` holds each metric's value in each resample.
    """
    labels, values, predictions = (each.astype(np.float64) for each in (labels, values, predictions))
    bootstrap = UserBootstrap.of(users)
    weights = np.where(labels > 0, values, 1.0)
    everyone = Order(labels, predictions)
    aucs = Order(labels, predictions, bootstrap.groups).auc(weights)
    counts, sums = bootstrap.sums(np.ones(len(values))), bootstrap.sums(values)
    errors = bootstrap.sums((values - predictions) ** 2)
    gaps = bootstrap.binned_sums(bins_of(predictions), values - predictions)

    def measure(times: np.ndarray) -> dict[str, float]:
        [auc] = map(float, everyone.auc(times[bootstrap.groups] * weights))
        total = float(times @ sums)
        return {
            "auc": auc,
            # A user's loss is a share of what the user watched.
            "grouped_auc": auc if bootstrap.is_one else mean_of_known(aucs, times * sums),
            "rmse": float(np.sqrt(times @ errors / (times @ counts))),
            "calibration_error": float(np.abs(times @ gaps).sum() / total) if total else float("nan"),
        }

    return bootstrap.report(name, measure, config, seed, without_interval=["calibration_error"])
