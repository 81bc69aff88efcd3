"""The page that sets several recommenders side by side: runs, or runs and baselines."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tfrec.errors import InputError
from tfrec.evaluation import Comparison, Report, compare, corrected
from tfrec.pages import charts
from tfrec.pages.charts import GREY, Row
from tfrec.pages.figures import (
    BASELINE_COLOURS,
    MODEL_COLOURS,
    Figure,
    cohort_figure,
    curve_figures,
    data_figures,
    metric_figure,
)
from tfrec.pages.findings import Curve, DataDescription, Findings, Table
from tfrec.pages.rendering import flat, render, signed
from tfrec.pages.run_page import COHORTS, load_reports, title_of
from tfrec.pages.words import Verdict, is_significant, lower_is_better, meaning, verdict
from tfrec.training.commands import Command, commands_of
from tfrec.training.run import Run

MOST_IN_COHORTS = 5
"""Models, beside the best baseline: of more the charts are too long."""

COLOURS = (MODEL_COLOURS[0], *BASELINE_COLOURS, MODEL_COLOURS[1])


@dataclass(frozen=True)
class Competitor:
    """One of those that are compared.

    Attributes:
        report: Its metrics, under the name that is shown.
        is_model: Whether it was trained as a run, and is no baseline.
        chosen: Its hyperparameters in words.
        fit_seconds: How long it took to fit; None: unknown.
        size: Bytes of what scores; None: unknown.
        curve: The course of its training; None: there is none, or it is unknown.
        num_weights: That were trained; None: unknown.
        settings: Its configuration by dotted names; empty: it has none.
        page: Its own page, as a link; empty: it has none.
    """

    report: Report
    is_model: bool
    chosen: str = ""
    fit_seconds: float | None = None
    size: int | None = None
    curve: Curve | None = None
    num_weights: int | None = None
    settings: Mapping[str, Any] | None = None
    page: str = ""


def comparison_page(
    title: str,
    competitors: Sequence[Competitor],
    monitor: str,
    unit: str,
    comparisons: Sequence[Comparison] = (),
    decision: Verdict | None = None,
    notes: Sequence[str] = (),
    data: DataDescription | None = None,
    commands: Sequence[Command] = (),
) -> str:
    """The page's HTML.

    Args:
        title: Of the page.
        competitors: Each with the monitored metric.
        monitor: The metric that orders them.
        unit: What the tested cases are called.
        comparisons: Of one of them with others, p-values corrected.
        decision: One sentence on the whole.
        notes: What is to be known.
        data: What was learned from.
        commands: That made it.
    """
    sign = -1 if lower_is_better(monitor) else 1
    ordered = sorted(competitors, key=lambda each: -sign * each.report.metrics[monitor].mean)
    reports = [each.report for each in ordered]
    colours = _colours(ordered)
    cutoff = monitor.partition("@")[2]
    main = [monitor, *([f"recall@{cutoff}", f"coverage@{cutoff}"] if cutoff else ["grouped_auc", "log_loss", "ece"])]
    main = [name for name in dict.fromkeys(main) if all(name in report.metrics for report in reports)]
    models = [each for each in ordered if each.is_model]
    # The best baseline alone: grey is one.
    baselines = [each for each in ordered if not each.is_model]
    grouped = [each for each in ordered if each.report.cohorts and each in (*models[:MOST_IN_COHORTS], *baselines[:1])]
    return render(
        "comparison.html",
        title=title,
        monitor=monitor,
        unit=f"{unit}{reports[0].sampled}",
        num_cases=reports[0].num_cases,
        confidence=reports[0].confidence,
        decision=decision,
        notes=notes,
        competitors=ordered,
        main=main,
        metrics=[metric_figure(reports, name, colours) for name in main],
        reports=reports,
        comparisons=comparisons,
        differences=_differences(comparisons, colours, monitor),
        curves=curve_figures(
            {each.report.name: each.curve for each in models if each.curve is not None}, monitor, colours
        ),
        cohorts=_cohorts([each.report for each in grouped], monitor, colours),
        settings=_differing(models),
        models=models,
        data=data,
        data_figures=data_figures(data, unit) if data is not None else [],
        commands=commands,
        meaning=meaning,
        is_significant=is_significant,
        lower_is_better=lower_is_better,
    )


def compare_runs(folders: Sequence[Path], page: Path) -> str:
    """The page of several evaluated runs, of what their folders hold.

    Runs that were tested on the same cases are compared case by case, the best with each other, and stand beside the
    baselines.

    Args:
        folders: The runs'.
        page: Where it will lie, from where it links to the runs' own pages.

    Raises:
        InputError: A run was not evaluated, some predict the click and others recommend, or targets were ranked among
            other numbers of sampled items.
    """
    runs = [Run.open(folder) for folder in folders]
    if len({run.config.ranks for run in runs}) > 1:
        raise InputError(
            "Expected runs that all recommend, or that all predict the click. Received: both. Make a page of each kind."
        )
    names = _names(runs)
    monitor = runs[0].config.evaluation.monitor
    every = [load_reports(run) for run in runs]
    findings = [Findings.load(run.findings) for run in runs]
    tables = [each.tables[0] if each is not None else None for each in findings]
    competitors = []
    for run, name, reports in zip(runs, names, every, strict=True):
        report = next(iter(reports.values()))
        if monitor not in report.metrics:
            raise InputError(
                f"Expected runs with the metric {monitor}, which the first run watches. Received: {run.folder} with "
                f"{', '.join(report.metrics)}. Name another run first, or evaluate with the same evaluation.cutoffs."
            )
        competitors.append(of_run(run, replace(report, name=name), page.parent))
        if report.num_negatives != competitors[0].report.num_negatives:
            raise InputError(
                "Expected runs tested with the same evaluation.num_negatives. Received: "
                f"{run.folder} with another than {runs[0].folder}. Evaluate them alike."
            )
    alike = [place for place, table in enumerate(tables) if table and tables[0] and table.cases == tables[0].cases]
    notes = [
        f"{names[place]} was tested on other cases than {names[0]}, or it is not known on which: they are not compared."
        for place in range(1, len(runs))
        if place not in alike
    ]
    if len(alike) == len(runs) and tables[0] is not None:
        competitors += [Competitor(every[0][name], is_model=False) for name in tables[0].baselines]
    paired = [(tables[place], competitors[place].report) for place in alike]
    comparisons, decision = _compare_best([each for each in paired if each[0] is not None], monitor, runs[0])  # type: ignore[misc]
    return comparison_page(
        ", ".join(names) if len(names) <= 3 else f"{len(names)} runs",
        competitors,
        monitor,
        "test impressions" if runs[0].config.ranks else "test cases",
        comparisons,
        decision,
        notes,
        findings[0].data if len(alike) == len(runs) and findings[0] is not None else None,
        [command for run in runs for command in commands_of(run)],
    )


def of_run(run: Run, report: Report, folder: Path) -> Competitor:
    """A run, with what is known of it if it was evaluated.

    Args:
        run: Trained.
        report: Of its model, under the name that is shown.
        folder: Where the page will lie.
    """
    findings = Findings.load(run.findings)
    curve = findings.curve if findings is not None else None
    return Competitor(
        report=report,
        is_model=True,
        chosen=title_of(run),
        fit_seconds=sum(curve.seconds) if curve is not None and curve.seconds else None,
        curve=curve,
        num_weights=curve.num_weights if curve is not None else None,
        settings=flat(run.config.model_dump(mode="json")),
        page=os.path.relpath(run.page, folder) if run.page.is_file() else "",
    )


def _compare_best(
    paired: Sequence[tuple[Table, Report]], monitor: str, run: Run
) -> tuple[Sequence[Comparison], Verdict | None]:
    """The best with each of the others, and what is to be said of it."""
    if len(paired) < 2:
        return (), None
    settings = run.config.evaluation
    reports = [table.with_values(report, monitor) for table, report in paired]
    shapes = {(len(table.per_case), len(table.resamples)) for table, _ in paired}
    if len(shapes) > 1 or shapes == {(0, 0)}:
        return (), None
    sign = -1 if lower_is_better(monitor) else 1
    best = max(reports, key=lambda report: sign * report.metrics[monitor].mean)
    others = [report for report in reports if report is not best]
    comparisons = [compare(best, other, monitor, settings) for other in others]
    if all(each.p_value is not None for each in comparisons):
        comparisons = corrected(comparisons)
    return comparisons, verdict(best, others, comparisons, monitor, best_is="the next best")


def _names(runs: Sequence[Run]) -> list[str]:
    """The runs' folders, without what all have in common."""
    folders = [run.folder.resolve() for run in runs]
    if len(set(folders)) < len(folders):
        raise InputError("Expected different runs. Received: one of them twice.")
    common = Path(os.path.commonpath([folder.parent for folder in folders]))
    return [str(folder.relative_to(common)) for folder in folders]


def _colours(competitors: Sequence[Competitor]) -> dict[str, int]:
    """Models first; those for whom no colour is left are grey, as baselines are beside models."""
    models = [each.report.name for each in competitors if each.is_model]
    found = dict(zip(models, COLOURS, strict=False))
    return {each.report.name: found.get(each.report.name, GREY) for each in competitors}


def _differences(comparisons: Sequence[Comparison], colours: Mapping[str, int], monitor: str) -> Figure | None:
    if not comparisons:
        return None
    rows = [
        (each.baseline, [Row(each.baseline, each.difference, colours.get(each.baseline, GREY))]) for each in comparisons
    ]
    title = f"{monitor} of {comparisons[0].model} less that of the others"
    note = "right of the dashed line it is better; an interval that reaches the line can't be told from chance"
    return Figure(title, note, charts.dots(title, rows, signed, reference=0.0))


def _cohorts(reports: Sequence[Report], monitor: str, colours: Mapping[str, int]) -> list[Figure]:
    if not reports:
        return []
    found = list(reports[0].cohorts)
    kinds = {**{kind: title for kind, (title, _) in COHORTS.items()}, "users": "by user"}
    return [
        cohort_figure(f"{monitor} {title}", "number of cases in brackets", reports, groups, monitor, colours)
        for kind, title in kinds.items()
        if (groups := [name for name in found if name.startswith(f"{kind} ")])
    ]


def _differing(models: Sequence[Competitor]) -> dict[str, list[Any]]:
    """Settings in which the runs differ: name -> value of each."""
    known = [each.settings for each in models if each.settings is not None]
    if len(known) < 2:
        return {}
    keys = dict.fromkeys(key for settings in known for key in settings)
    values = {key: [settings.get(key) for settings in known] for key in keys}
    return {key: each for key, each in values.items() if any(value != each[0] for value in each)}
