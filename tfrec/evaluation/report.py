"""Evaluating a recommender, and setting several side by side."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from tfrec.config import EvaluationConfig
from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged
from tfrec.errors import InputError
from tfrec.evaluation.background import Background
from tfrec.evaluation.beyond_accuracy import beyond_accuracy, seen
from tfrec.evaluation.bootstrap import bootstrap_interval
from tfrec.evaluation.cohorts import cohorts
from tfrec.evaluation.metrics import METRICS, coverage
from tfrec.evaluation.protocol import Recommender, name_of, rank

LOWER_IS_BETTER = ("log_loss", "normalised_entropy", "ece", "rmse", "calibration_error")


SAMPLED_WARNING = (
    "warning: targets are ranked among a sample (evaluation.num_negatives), which can put models in the wrong order "
    "(Krichene and Rendle, KDD 2020). Set it beside no figure of the whole catalogue."
)


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
        beyond: What lists are like apart from the right answers: measure -> estimate, as in `novelty@10`.
        beyond_cases: Measure -> how many cases its mean is over: not all have a value.
        cohorts: Group of cases -> their own report's `num_cases` and `metrics`.
        num_negatives: How many sampled items the targets of a case were ranked among; None: the whole catalogue.
    """

    name: str
    num_cases: int
    confidence: float
    metrics: Mapping[str, Estimate]
    per_case: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    unit: str = "cases"
    drawn: str = "cases"
    resamples: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    beyond: Mapping[str, Estimate] = field(default_factory=dict)
    beyond_cases: Mapping[str, int] = field(default_factory=dict)
    cohorts: Mapping[str, "Report"] = field(default_factory=dict)
    num_negatives: int | None = None

    @property
    def sampled(self) -> str:
        """What a table's title has to add: nothing, or that the figures are of a sample."""
        return "" if self.num_negatives is None else f", SAMPLED: among {self.num_negatives:,} drawn items a case"

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold: everything but the values per case."""
        beyond = {
            measure: {**estimate._asdict(), "num_cases": self.beyond_cases.get(measure, self.num_cases)}
            for measure, estimate in self.beyond.items()
        }
        return {
            "name": self.name,
            "num_cases": self.num_cases,
            "confidence": self.confidence,
            **({} if self.num_negatives is None else {"sampled_negatives": self.num_negatives}),
            "metrics": {metric: estimate._asdict() for metric, estimate in self.metrics.items()},
            **({"beyond_accuracy": beyond} if beyond else {}),
            **({"cohorts": {name: each.to_dict() for name, each in self.cohorts.items()}} if self.cohorts else {}),
        }

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Reads what `to_dict` wrote.

        Raises:
            InputError: A key is missing or unknown.
        """
        try:
            metrics = {metric: Estimate(**estimate) for metric, estimate in saved["metrics"].items()}
            num_cases: int = saved["num_cases"]
            beyond, beyond_cases = dict[str, Estimate](), dict[str, int]()
            for measure, estimate in saved.get("beyond_accuracy", {}).items():
                # Reports of an earlier tfrec don't say how many.
                beyond_cases[measure] = estimate.get("num_cases", num_cases)
                beyond[measure] = Estimate(**{key: value for key, value in estimate.items() if key != "num_cases"})
            return cls(
                saved["name"],
                num_cases,
                saved["confidence"],
                metrics,
                beyond=beyond,
                beyond_cases=beyond_cases,
                cohorts={name: cls.from_dict(each) for name, each in saved.get("cohorts", {}).items()},
                num_negatives=saved.get("sampled_negatives"),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"Expected a saved evaluation report. Received: {saved!r}. Evaluate again.") from error


def evaluate(
    recommender: Recommender,
    cases: EvaluationSet,
    num_items: int,
    config: EvaluationConfig,
    candidates: np.ndarray | None = None,
    seed: int = 0,
    background: Background | None = None,
) -> Report:
    """Ranks the whole catalogue for each case and measures where the targets are.

    With config.num_negatives it ranks a sample, says so in the report, and measures nothing of lists: there is no
    coverage and no `beyond`.

    Args:
        recommender: What to evaluate.
        cases: The questions and the right answers.
        num_items: Size of the catalogue.
        config: Cutoffs, whether seen items are excluded, and the intervals.
        candidates: The item codes that may be recommended, int [num_candidates]; None: the whole catalogue.
        seed: Draws the bootstrap resamples, and negatives. The same seed pairs those of two reports.
        background: What training knew of items and users, for `beyond` and `cohorts`; None: they stay empty. The lists
            of `beyond` are cut at the first of config.cutoffs.

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
        with_seen=background is not None,
        num_negatives=config.num_negatives,
        seed=seed,
    )
    report = _measure(name_of(recommender), ranking.ranks, config, seed)
    num_candidates = num_items if candidates is None else len(np.unique(candidates))
    shares = {f"coverage@{k}": Estimate(coverage(ranking.recommended, num_candidates, k)) for k in config.cutoffs}
    if config.num_negatives is None:
        report = replace(report, metrics={**report.metrics, **shares})
    if background is None:
        return report
    beyond, beyond_cases = dict[str, Estimate](), dict[str, int]()
    if config.num_negatives is None:
        k = config.cutoffs[0]
        values = beyond_accuracy(ranking.recommended[:, :k], cases.histories, cases.targets, background, candidates)
        if ranking.with_seen is not None:
            values["seen"] = seen(ranking.with_seen[:, :k], cases.histories)
        for measure, each in values.items():
            known = each[~np.isnan(each)]
            if len(known):
                beyond[f"{measure}@{k}"], beyond_cases[f"{measure}@{k}"] = _estimate(known, config, seed), len(known)
    groups = {
        name: _measure(report.name, _of_group(ranking.ranks, group), config, seed)
        for name, group in cohorts(cases.users, cases.histories, cases.targets, background).items()
    }
    return replace(report, beyond=beyond, beyond_cases=beyond_cases, cohorts=groups)


def _measure(name: str, ranks: Ragged, config: EvaluationConfig, seed: int) -> Report:
    """The report of accuracy alone."""
    per_case = {f"{name}@{k}": metric(ranks, k) for name, metric in METRICS.items() for k in config.cutoffs}
    values = np.stack(list(per_case.values()), axis=1)
    low, high = bootstrap_interval(values, confidence=config.confidence, samples=config.bootstrap_samples, seed=seed)
    columns = zip(values.mean(axis=0).tolist(), low.tolist(), high.tolist(), strict=True)
    metrics = {name: Estimate(*column) for name, column in zip(per_case, columns, strict=True)}
    return Report(name, len(ranks), config.confidence, metrics, per_case, num_negatives=config.num_negatives)


def _estimate(values: np.ndarray, config: EvaluationConfig, seed: int) -> Estimate:
    low, high = bootstrap_interval(
        values[:, None], confidence=config.confidence, samples=config.bootstrap_samples, seed=seed
    )
    return Estimate(float(values.mean()), float(low[0]), float(high[0]))


def _of_group(ranks: Ragged, group: np.ndarray) -> Ragged:
    """The ranks of a group's targets, of the cases that have any: what is no target of the group is not asked for."""
    kept = ranks.where(group)
    return kept.take(kept.lengths > 0)


def format_table(reports: Sequence[Report]) -> Table:
    """A row for each metric, a column for each model; the best mean in bold.

    Coverage is never in bold: more of it is not better by itself.

    Raises:
        InputError: There are no reports, or they differ in the number of cases, in confidence, in the metrics or in
            how many negatives were sampled.
    """
    kinds = {(report.num_cases, report.confidence, tuple(report.metrics), report.num_negatives) for report in reports}
    if len(kinds) != 1:
        raise InputError(
            "Expected reports on the same cases, with the same metrics, confidence and sample. Received: "
            f"{[(each.name, each.num_cases, each.confidence, list(each.metrics), each.sampled) for each in reports]}."
        )
    first = reports[0]
    title = f"{first.num_cases:,} {first.unit}, {first.confidence:.0%} bootstrap intervals over {first.drawn}"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=title + first.sampled)
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


def format_beyond(reports: Sequence[Report]) -> Table:
    """What lists are like apart from the right answers; nothing in bold, for more is not better by itself. Where not
    all cases have a value it says how many have."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="beyond accuracy")
    table.add_column("measure")
    for report in reports:
        table.add_column(Text(report.name), justify="right")
    for measure in dict.fromkeys(measure for report in reports for measure in report.beyond):
        table.add_row(measure, *(_told(report, measure) for report in reports))
    return table


def _told(report: Report, measure: str) -> str:
    if measure not in report.beyond:
        return ""
    num_cases = report.beyond_cases.get(measure, report.num_cases)
    return f"{report.beyond[measure].mean:.4g}" + (f" ({num_cases:,} cases)" if num_cases < report.num_cases else "")


def format_cohorts(reports: Sequence[Report], metric: str) -> Table:
    """A row for each group, with its cases, a column for each model: means, whose intervals the reports hold."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"{metric} by cohort{reports[0].sampled}")
    table.add_column("cohort", no_wrap=True)
    table.add_column("cases", justify="right")
    for report in reports:
        table.add_column(Text(report.name), justify="right")
    for cohort, first in reports[0].cohorts.items():
        means = (f"{report.cohorts[cohort].metrics[metric].mean:.4f}" for report in reports)
        table.add_row(cohort, f"{first.num_cases:,}", *means)
    return table
