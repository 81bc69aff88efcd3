"""Charts that several pages have, with what stands above them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from tfrec.evaluation import Report
from tfrec.pages import charts
from tfrec.pages.charts import GREY, Line, Row
from tfrec.pages.findings import Curve, DataDescription
from tfrec.pages.rendering import number
from tfrec.pages.words import lower_is_better, meaning

MODEL_COLOURS = (0, 3)
BASELINE_COLOURS = (1, 2, 4, 5, 6, 7)
FEW = 30
"""Cases, below which an interval is not to be trusted."""

FLOOR = "random"
"""The baseline that is grey."""


@dataclass(frozen=True)
class Figure:
    """A chart.

    Attributes:
        title: In a few words.
        note: How to read it; may be empty.
        chart: SVG.
        legend: (colour, name) of what is told apart; empty where labels do.
    """

    title: str
    note: str
    chart: Markup
    legend: tuple[tuple[int, str], ...] = ()


def colours_of(models: Sequence[str], baselines: Sequence[str]) -> dict[str, int]:
    """The same colour for the same name, on the whole page."""
    found = {name: MODEL_COLOURS[place % len(MODEL_COLOURS)] for place, name in enumerate(models)}
    others = [name for name in baselines if name.rpartition(": ")[2] != FLOOR]
    found |= {name: BASELINE_COLOURS[place % len(BASELINE_COLOURS)] for place, name in enumerate(others)}
    return found | {name: GREY for name in baselines if name not in found}


def metric_figure(reports: Sequence[Report], metric: str, colours: Mapping[str, int]) -> Figure:
    """One metric of all."""
    rows = [Row(report.name, report.metrics[metric], colours[report.name]) for report in reports]
    better = "less is better" if lower_is_better(metric) else "more is better"
    if metric.startswith("coverage"):
        better = "more is not better by itself"
    note = "; ".join(part for part in (meaning(metric), better) if part)
    if metric in ("auc", "grouped_auc"):
        chart = charts.dots(metric, [(row.label, [row]) for row in rows], number, reference=0.5)
    else:
        chart = charts.bars(metric, rows, number)
    return Figure(metric, note, chart)


def cohort_figure(
    title: str, note: str, reports: Sequence[Report], groups: Sequence[str], metric: str, colours: Mapping[str, int]
) -> Figure:
    """The metric of all in some cohorts, which the first has."""
    names = {group: f"{_short(group, title)} ({reports[0].cohorts[group].num_cases:,})" for group in groups}
    faint = [names[group] for group in groups if reports[0].cohorts[group].num_cases < FEW]
    if faint:
        note = f"{note}; faint: fewer than {FEW} cases"
    rows = [
        (
            names[group],
            [
                Row(report.name, report.cohorts[group].metrics[metric], colours[report.name])
                for report in reports
                if group in report.cohorts
            ],
        )
        for group in groups
    ]
    legend = tuple((colours[report.name], report.name) for report in reports)
    return Figure(title, note, charts.dots(title, rows, number, faint=faint), legend)


def _short(group: str, title: str) -> str:
    """Without what the title says already."""
    kind, _, rest = group.partition(" ")
    return rest if kind == "history" and kind in title else group


def curve_figures(curves: Mapping[str, Curve], metric: str, colours: Mapping[str, int]) -> list[Figure]:
    """The loss and the validation metric by epoch, the best marked."""
    legend = tuple((colours[name], name) for name in curves) if len(curves) > 1 else ()
    figures = []
    for key, title, note in (
        ("loss", "loss", "of the training examples; losses of different models mean different things"),
        (f"val_{metric}", f"validation {metric}", "its best epoch was kept and tested"),
    ):
        lines, marks = [], []
        for name, curve in curves.items():
            points = [(float(n), epoch[key]) for n, epoch in enumerate(curve.epochs, 1) if key in epoch]
            if not points:
                continue
            lines.append(Line(name, points, colours[name]))
            if key != "loss":
                best = dict(points).get(curve.best_epoch)
                if best is not None:
                    text = f"epoch {curve.best_epoch}: {number(best)}" if len(curves) == 1 else ""
                    marks.append((float(curve.best_epoch), best, text, colours[name]))
        if lines:
            figures.append(
                Figure(title, note, charts.lines(title, lines, "epoch", number, marks=marks, is_whole=True), legend)
            )
    return figures


def data_figures(data: DataDescription, unit: str) -> list[Figure]:
    """The long tail, and how much is known of whom is asked about."""
    gini = data.facts.get("Gini of item popularity")
    told = "" if gini is None else f"Gini coefficient {number(gini)}; "
    lines = [Line("alike", [(0.0, 0.0), (1.0, 1.0)], GREY, is_dashed=True), Line("items", data.lorenz, 0)]
    return [
        Figure(
            "the long tail",
            f"{told}the least popular share of the items, to the right, and the share of the training "
            "interactions that it has (Lorenz curve); dashed: were all alike",
            charts.lines("Lorenz curve", lines, "share of the items", "{:.0%}".format, "{:.0%}".format, is_unit=True),
        ),
        Figure(
            "history lengths",
            f"{unit} by the interactions that came before",
            charts.columns("history lengths", data.history_lengths, "interactions in the history"),
        ),
    ]
