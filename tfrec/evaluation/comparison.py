"""Whether one recommender is better than another on the same cases."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfrec.config import EvaluationConfig
from tfrec.errors import InputError
from tfrec.evaluation.bootstrap import bootstrap_interval
from tfrec.evaluation.permutation import holm, sign_flip_p_value
from tfrec.evaluation.report import LOWER_IS_BETTER, Estimate, Report


@dataclass(frozen=True)
class Comparison:
    """The difference between two recommenders in one metric.

    Attributes:
        model: Name of the first.
        baseline: Name of the second.
        metric: As in `ndcg@10`.
        difference: Mean over cases of model minus baseline, with the interval of the paired bootstrap.
        confidence: Level of the interval.
        p_value: Of the paired randomisation test; None where the metric is no mean over cases.
    """

    model: str
    baseline: str
    metric: str
    difference: Estimate
    confidence: float
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        """The interval leaves out 0."""
        _, low, high = self.difference
        return low is not None and high is not None and (low > 0 or high < 0)

    @property
    def baseline_wins(self) -> bool:
        """The baseline's mean is the better one, significantly or not."""
        return self.gain < 0

    @property
    def gain(self) -> float:
        """The mean difference, above 0 where the model is better."""
        return -self.difference.mean if self.metric in LOWER_IS_BETTER else self.difference.mean

    def __str__(self) -> str:
        mean, low, high = self.difference
        verdict = "is as good as" if mean == 0 else "is better than" if self.gain < 0 else "is worse than"
        certainty = "significant" if self.significant else "not significant"
        return (
            f"{self.baseline} {verdict} {self.model} in {self.metric}: {self.model} - {self.baseline} = {mean:+.4f}, "
            f"{self.confidence:.0%} interval [{low:+.4f}, {high:+.4f}], {certainty}"
        )


def compare(model: Report, baseline: Report, metric: str, config: EvaluationConfig, seed: int = 0) -> Comparison:
    """Compares two models case by case, which is sharper than to look whether their intervals overlap.

    Where a metric is no mean over cases they are compared resample by resample.

    Args:
        model: As `evaluate` returned it: a report read from a file has no values per case.
        baseline: The same, on the same cases in the same order.
        metric: As in `ndcg@10`.
        config: Confidence and number of resamples.
        seed: Draws the resamples.

    Raises:
        InputError: A report lacks the metric's values per case, or the reports are on different cases.

    Example:
        >>> comparison = compare(evaluate(model, ...), evaluate(popularity, ...), "ndcg@10", config)
        >>> if comparison.baseline_wins:
        ...     print(comparison)
        popularity is better than two_tower in ndcg@10: two_tower - popularity = -0.0113, 95% interval ..., significant
    """
    for report in (model, baseline):
        if metric not in {*report.per_case, *report.resamples}:
            raise InputError(
                f"Expected values of {metric!r} for each case in the report on '{report.name}'. Received: "
                f"{sorted({*report.per_case, *report.resamples})}. Compare reports as evaluate returns them, in a "
                "metric they hold."
            )
    if model.num_cases != baseline.num_cases:
        raise InputError(f"Expected reports on the same cases. Received: {model.num_cases} and {baseline.num_cases}.")
    if model.num_negatives != baseline.num_negatives:
        raise InputError(
            "Expected reports that rank among as many items. Received: "
            f"{model.num_negatives or 'all'} and {baseline.num_negatives or 'all'}. Evaluate both in one way."
        )
    if metric in model.resamples:
        draws = model.resamples[metric] - baseline.resamples[metric]
        tail = (1 - config.confidence) / 2
        mean = model.metrics[metric].mean - baseline.metrics[metric].mean
        estimate = Estimate(mean, *np.nanquantile(draws, [tail, 1 - tail]).tolist())
        return Comparison(model.name, baseline.name, metric, estimate, config.confidence)
    differences = model.per_case[metric] - baseline.per_case[metric]
    low, high = bootstrap_interval(
        differences[:, None], confidence=config.confidence, samples=config.bootstrap_samples, seed=seed
    )
    estimate = Estimate(float(differences.mean()), float(low[0]), float(high[0]))
    p_value = sign_flip_p_value(differences, samples=config.bootstrap_samples, seed=seed)
    return Comparison(model.name, baseline.name, metric, estimate, config.confidence, p_value)


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same with p-values that Holm's correction made fit to be looked at together; all of them have one."""
    p_values = holm(np.array([each.p_value for each in comparisons], np.float64))
    return [replace(each, p_value=float(p)) for each, p in zip(comparisons, p_values, strict=True)]
