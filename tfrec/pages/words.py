"""What the pages say in words: metrics, measures, verdicts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tfrec.evaluation import Comparison, Report
from tfrec.evaluation.report import LOWER_IS_BETTER
from tfrec.pages.rendering import interval, number, signed

MEANINGS = {
    "recall": "share of what came next that is among the first k",
    "hit_rate": "share of the cases with a right item among the first k",
    "ndcg": "right items among the first k, worth more the higher they stand",
    "mrr": "one over the rank of the first right item",
    "coverage": "share of the catalogue that is recommended to anyone",
    "auc": "probability that a clicked impression is placed above one that was not; chance is 0.5",
    "grouped_auc": "the same within each user",
    "log_loss": "binary cross-entropy, in nats",
    "normalised_entropy": "log-loss over that of always predicting the rate of clicks",
    "ece": "how far predicted and seen rates lie apart",
    "rmse": "root of the mean squared error, in the unit of the values",
    "calibration_error": "how far predicted and seen sums lie apart",
    "novelty": "bits of surprise: how rare the items are",
    "popularity": "training interactions of an item, on average",
    "popularity_lift": "how much more popular the list is than the history; 0: as popular",
    "serendipity": "share of the list that is right and not obvious",
    "diversity": "how unlike the items of a list are, by their texts",
    "miscalibration": "how far the list's categories are from the history's; 0: as there",
}
"""Of metrics and measures, without their cutoff."""

Kind = Literal["good", "unclear", "bad", "unknown"]


@dataclass(frozen=True)
class Verdict:
    """One sentence, and how it is to be taken."""

    kind: Kind
    sentence: str


def meaning(metric: str) -> str:
    """What a metric says; empty of an unknown one."""
    return MEANINGS.get(metric.partition("@")[0], "")


def lower_is_better(metric: str) -> bool:
    """Whether less of the metric is better."""
    return metric.partition("@")[0] in LOWER_IS_BETTER


def is_significant(comparison: Comparison) -> bool:
    """By the p-value, which may be corrected, or by the interval where there is none."""
    if comparison.p_value is None:
        return comparison.significant
    return comparison.p_value < 1 - comparison.confidence


def certainty(comparison: Comparison) -> str:
    """`+0.0775, 95% interval +0.0610 to +0.0940, p = 0.004`."""
    p = "" if comparison.p_value is None else f", p = {comparison.p_value:.2g}"
    told = interval(comparison.difference, signed)
    return f"{signed(comparison.difference.mean)}, {comparison.confidence:.0%} interval {told}{p}"


def verdict(
    model: Report,
    baselines: Sequence[Report],
    comparisons: Sequence[Comparison],
    metric: str,
    best_is: str = "the best baseline",
) -> Verdict:
    """How the model stands against the best of the baselines.

    Args:
        model: Its report.
        baselines: Theirs.
        comparisons: Of the model with each, corrected.
        metric: That decides.
        best_is: What the best of several is called.
    """
    mean = number(model.metrics[metric].mean)
    if not baselines:
        return Verdict("unknown", f"{model.name} has {metric} {mean}; there is no baseline to hold it against.")
    sign = -1 if lower_is_better(metric) else 1
    best = max(baselines, key=lambda report: sign * report.metrics[metric].mean)
    beside = f"{metric} {mean} against {number(best.metrics[metric].mean)}"
    found = {each.baseline: each for each in comparisons}.get(best.name)
    if found is None:
        return Verdict("unknown", f"{model.name} beside {best.name}, {best_is}: {beside}; not tested.")
    if found.baseline_wins:
        sure = "significantly" if is_significant(found) else "though not significantly"
        return Verdict(
            "bad",
            f"{best.name} is better than {model.name}, {sure}: {beside} ({certainty(found)}). Train longer, or look at "
            "the data, before this model is used.",
        )
    if not is_significant(found):
        return Verdict(
            "unclear",
            f"Whether {model.name} is better than {best.name}, {best_is}, cannot be told from chance: {beside} "
            f"({certainty(found)}).",
        )
    others = "" if len(baselines) == 1 else f", {best_is}"
    return Verdict("good", f"{model.name} is better than {best.name}{others}: {beside} ({certainty(found)}).")
