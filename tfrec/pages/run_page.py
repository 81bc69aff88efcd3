"""The page of one run, made of what its folder holds."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tfrec.errors import InputError
from tfrec.evaluation import Report
from tfrec.pages import charts
from tfrec.pages.figures import Figure, cohort_figure, colours_of, curve_figures, data_figures, metric_figure
from tfrec.pages.findings import Findings, Table
from tfrec.pages.rendering import duration, flat, number, percent, percent_axis, render
from tfrec.pages.words import Verdict, is_significant, lower_is_better, meaning, verdict
from tfrec.training.commands import commands_of
from tfrec.training.run import Run, write_text

CLICK_METRICS = ("auc", "grouped_auc", "log_loss", "normalised_entropy", "rmse", "ece", "calibration_error")
COHORTS = {
    "history": ("by the length of the history", "interactions in it (number of cases)"),
    "items": (
        "by the popularity of what came next",
        "head, mid and tail: 50, 40 and 10% of what was trained on",
    ),
}
COLD = ("users new", "history 0", "history 1-9", "items new")


@dataclass(frozen=True)
class Part:
    """What belongs to one table of reports, ready to be shown.

    Attributes:
        task: What is predicted; empty of a model that recommends, and of the only task.
        table: Names and comparisons.
        reports: The models', then the baselines'.
        verdict: On the first.
        metrics: Charts of the main ones.
        reliability: Predicted against happened.
        cohorts: Charts.
        cold: A chart of what is new, and what is not; None: nothing is.
    """

    task: str
    table: Table
    reports: Sequence[Report]
    verdict: Verdict
    metrics: Sequence[Figure]
    reliability: Figure | None
    cohorts: Sequence[Figure]
    cold: Figure | None


def write_run_page(run: Run) -> None:
    """Writes `report.html` into the run's folder.

    Raises:
        InputError: The run was not evaluated, or by another tfrec.
    """
    write_text(run.page, run_page(run))


def run_page(run: Run) -> str:
    """The page's HTML. What an earlier tfrec did not write down is said to be missing where it would stand.

    Raises:
        InputError: The run was not evaluated, or by another tfrec.
    """
    reports = load_reports(run)
    findings = Findings.load(run.findings)
    monitor = run.config.evaluation.monitor
    tables = findings.tables if findings is not None else (_guessed(list(reports)),)
    parts = [_part(table, reports, monitor, run.config.ranks) for table in tables]
    curve = findings.curve if findings is not None else None
    unit = "test impressions" if run.config.ranks else "test cases"
    first = parts[0].reports[0]
    return render(
        "run.html",
        title=title_of(run),
        folder=str(run.folder),
        config=flat(run.config.model_dump(mode="json")),
        ranks=run.config.ranks,
        split=run.config.split.kind,
        monitor=monitor,
        cutoff=run.config.evaluation.cutoffs[0],
        unit=f"{unit}{first.sampled}",
        confidence=first.confidence,
        num_cases=first.num_cases,
        parts=parts,
        tiles=_tiles(first, parts[0].table, monitor, findings),
        findings=findings,
        curve=curve,
        curves=curve_figures({first.name: curve}, monitor, {first.name: 0}) if curve is not None else [],
        data=data_figures(findings.data, unit) if findings is not None else [],
        commands=commands_of(run),
        predicted=percent if "ece" in first.metrics else number,
        meaning=meaning,
        is_significant=is_significant,
        lower_is_better=lower_is_better,
    )


def load_reports(run: Run) -> dict[str, Report]:
    """What `tfrec.evaluate` measured, by name, in order.

    Raises:
        InputError: Nothing was measured.
    """
    if not run.metrics.is_file():
        raise InputError(
            f"Expected an evaluated run, with a metrics.json, in {run.folder}. Received: none. Evaluate it with "
            f"python -m tfrec.evaluate {run.folder}."
        )
    saved = json.loads(run.metrics.read_text(encoding="utf-8"))
    return {report.name: report for report in map(Report.from_dict, saved)}


def title_of(run: Run) -> str:
    """`two_tower on movielens-100k`; of one's own tables their file's or folder's name."""
    data = run.config.data
    source = data.source if data.interactions is None else data.interactions.title
    return f"{run.config.model.name} on {source}"


def _guessed(names: Sequence[str]) -> Table:
    """Of a run of an earlier tfrec: the model stands first."""
    return Table("", tuple(names[:1]), tuple(names[1:]))


def _part(table: Table, reports: Mapping[str, Report], monitor: str, ranks: bool) -> Part:
    colours = colours_of(table.models, table.baselines)
    own = [reports[name] for name in (*table.models, *table.baselines)]
    first = own[0]
    if ranks:
        shown = [name for name in CLICK_METRICS if name in first.metrics]
    else:
        cutoff = next(iter(first.metrics)).partition("@")[2]
        main = [monitor, *(f"{name}@{cutoff}" for name in ("recall", "ndcg", "mrr", "coverage"))]
        shown = [name for name in dict.fromkeys(main) if name in first.metrics]
    decisive = monitor if monitor in first.metrics else shown[0]
    return Part(
        task=table.task,
        table=table,
        reports=own,
        verdict=verdict(first, own[len(table.models) :], table.comparisons, decisive),
        metrics=[metric_figure(own, name, colours) for name in shown],
        reliability=_reliability(table, colours, "ece" in first.metrics),
        cohorts=[
            cohort_figure(f"{monitor} {title}", note, own, groups, monitor, colours)
            for kind, (title, note) in COHORTS.items()
            if (groups := [name for name in first.cohorts if name.startswith(f"{kind} ")])
        ],
        cold=_cold(own, monitor, colours),
    )


def _reliability(table: Table, colours: Mapping[str, int], are_probabilities: bool) -> Figure | None:
    if not table.reliability:
        return None
    used = [colours[each.name] for each in table.reliability]
    top = max(max(each.predicted) for each in table.reliability)
    form = percent_axis(top) if are_probabilities else number
    chart = charts.reliability_diagram("reliability", table.reliability, used, form)
    legend = tuple((colour, each.name) for colour, each in zip(used, table.reliability, strict=True))
    note = "a point is a twentieth of the impressions; on the dashed line what was predicted happened as often"
    return Figure("reliability", note, chart, legend)


def _cold(reports: Sequence[Report], monitor: str, colours: Mapping[str, int]) -> Figure | None:
    cohorts = reports[0].cohorts
    if not any(name in cohorts for name in COLD):
        return None
    groups = [name for name in (*COLD, "users known") if name in cohorts]
    note = "users and items that training never saw, and short histories (number of cases)"
    return cohort_figure(f"{monitor} of what is new", note, reports, groups, monitor, colours)


def _tiles(report: Report, table: Table, monitor: str, findings: Findings | None) -> list[tuple[str, str, str]]:
    """Name, figure, and what stands below it."""
    tiles: list[tuple[str, str, str]] = []

    def add(metric: str, name: str | None = None) -> None:
        if metric in report.metrics:
            estimate = report.metrics[metric]
            below = "" if estimate.low is None else f"{number(estimate.low)} to {number(estimate.high)}"
            tiles.append((name or metric, number(estimate.mean), below))

    add(monitor)
    for comparison in table.comparisons[:1]:
        baseline = report.metrics[monitor].mean - comparison.difference.mean
        if baseline > 0 and not monitor.endswith("auc"):
            factor = report.metrics[monitor].mean / baseline
            tiles.append((f"times {comparison.baseline}", f"{factor:.1f}×", f"{monitor} of {number(baseline)}"))
    cutoff = monitor.partition("@")[2]
    for metric in (f"hit_rate@{cutoff}", f"coverage@{cutoff}") if cutoff else ("log_loss", "ece"):
        add(metric)
    if findings is not None:
        curve = findings.curve
        tiles.append(("epochs", str(len(curve.epochs)), f"the best is {curve.best_epoch}"))
        if curve.seconds and len(curve.seconds) == len(curve.epochs):
            mean = sum(curve.seconds) / len(curve.seconds)
            tiles.append(("training", duration(sum(curve.seconds)), f"{duration(mean)} an epoch"))
    return tiles
