"""Evaluating a recommender, and setting several side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from tfrec.config import EvaluationConfig
from tfrec.datasets.dataset import EvaluationSet
from tfrec.errors import InputError
from tfrec.evaluation.bootstrap import bootstrap_interval
from tfrec.evaluation.metrics import METRICS, coverage
from tfrec.evaluation.protocol import Recommender, name_of, rank

LOWER_IS_BETTER = ("log_loss", "normalised_entropy", "ece", "rmse", "calibration_error")


class Estimate(NamedTuple):
    """A mean over cases and its confidence interval; no interval for what is no mean over cases (coverage)."""

    mean: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        # Three digits, so that a table of three recommenders fits a terminal's 80 columns.
        interval = "" if self.low is None else re.sub(r"(?<!\d)0\.", ".", f" [{self.low:.3f}, {self.high:.3f}]")
        return f"{self.mean:.4f}{interval}"


@dataclass(frozen=True)
class Report:
    """What an evaluation found.

    Attributes:
        name: The recommender.
        num_cases: How many cases the means are over.
        confidence: Level of the intervals.
        metrics: `<metric>@<cutoff>` -> estimate, as in `ndcg@10`.
        per_case: `<metric>@<cutoff>` -> float64 [num_cases], for paired comparison; not saved.
        unit: What the cases are.
        drawn: What the bootstrap draws.
        resamples: Metric -> its value in each bootstrap resample, where it is no mean over cases; not saved.
    """

    name: str
    num_cases: int
    confidence: float
    metrics: Mapping[str, Estimate]
    per_case: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    unit: str = "cases"
    drawn: str = "cases"
    resamples: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold: everything but the values per case."""
        return {
            "name": self.name,
            "num_cases": self.num_cases,
            "confidence": self.confidence,
            "metrics": {metric: estimate._asdict() for metric, estimate in self.metrics.items()},
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            InputError: A key is missing or unknown.
        """
        try:
            metrics = {metric: Estimate(**estimate) for metric, estimate in saved["metrics"].items()}
            return cls(saved["name"], saved["num_cases"], saved["confidence"], metrics)
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"Expected a saved evaluation report. Received: {saved!r}. Evaluate again.") from error


def evaluate(
    recommender: Recommender,
    cases: EvaluationSet,
    num_items: int,
    config: EvaluationConfig,
    candidates: np.ndarray | None = None,
    seed: int = 0,
) -> Report:
    """Ranks the whole catalogue for each case and measures where the targets are.

    Args:
        recommender: What to evaluate.
        cases: The questions and the right answers.
        num_items: Size of the catalogue.
        config: Cutoffs, whether seen items are excluded, and the intervals.
        candidates: The item codes that may be recommended, int [num_candidates]; None: the whole catalogue.
        seed: Draws the bootstrap resamples. The same seed pairs the resamples of two reports.

    Raises:
        InputError: There are no cases, or `rank` finds fault with them or with the scores.

    Example:
        >>> report = evaluate(Popularity(split.train, 1682), split.test, 1682, EvaluationConfig())
        >>> report.metrics["ndcg@10"].mean
    """
    if not len(cases):
        raise InputError("Expected at least one case to evaluate on. Received: none. Use a split that leaves some.")
    ranking = rank(
        recommender,
        cases,
        num_items,
        exclude_seen=True,
        candidates=candidates,
        top_k=max(config.cutoffs),
    )
    per_case = {f"{name}@{k}": metric(ranking.ranks, k) for name, metric in METRICS.items() for k in config.cutoffs}
    values = np.stack(list(per_case.values()), axis=1)
    low, high = bootstrap_interval(values, confidence=config.confidence, samples=config.bootstrap_samples, seed=seed)
    columns = zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    metrics = {name: Estimate(*column) for name, column in zip(per_case, columns, strict=True)}
    num_candidates = num_items if candidates is None else len(np.unique(candidates))
    for k in config.cutoffs:
        metrics[f"coverage@{k}"] = Estimate(coverage(ranking.recommended, num_candidates, k))
    return Report(name_of(recommender), len(cases), config.confidence, metrics, per_case)


def format_table(reports: Sequence[Report]) -> Table:
    """A row for each metric, a column for each model; the best mean in bold.

    Coverage is never in bold: more of it is not better by itself.

    Raises:
        InputError: There are no reports, or they differ in the number of cases, in confidence or in the metrics.
    """
    if len({(report.num_cases, report.confidence, tuple(report.metrics)) for report in reports}) != 1:
        raise InputError(
            "Expected reports on the same cases, with the same metrics and confidence. Received: "
            f"{[(report.name, report.num_cases, report.confidence, list(report.metrics)) for report in reports]}."
        )
    first = reports[0]
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"{first.num_cases:,} {first.unit}, {first.confidence:.0%} bootstrap intervals over {first.drawn}",
    )
    table.add_column("metric")
    for report in reports:
        table.add_column(Text(report.name), justify="right")
    for metric, estimate in first.metrics.items():
        estimates = [report.metrics[metric] for report in reports]
        pick = min if metric in LOWER_IS_BETTER else max
        best = None if estimate.low is None else pick(each.mean for each in estimates)
        # More than three do not fit a terminal unless the intervals have lines of their own.
        cells = [str(each) if len(reports) <= 3 else str(each).replace(" ", "\n", 1) for each in estimates]
        styles = ["bold" if each.mean == best else "" for each in estimates]
        table.add_row(metric, *(Text(cell, style) for cell, style in zip(cells, styles, strict=True)))
    return table
