"""What is known of one competitor, and the table of all."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text
from scipy import sparse

from tfrec.evaluation import Report


@dataclass(frozen=True)
class Result:
    """One competitor's.

    Attributes:
        report: What the test found.
        parameters: The hyperparameters that were chosen.
        num_tried: Among how many.
        validation: The monitored metric of these on the validation cases; None: nothing was chosen.
        fit_seconds: How long it took to fit with these; None: trained elsewhere.
        size: Bytes of what scores; None: unknown.
        digest: Of the weights, of what was trained elsewhere.
    """

    report: Report
    parameters: Mapping[str, Any]
    num_tried: int
    validation: float | None
    fit_seconds: float | None
    size: int | None
    digest: str | None = None

    @property
    def chosen(self) -> str:
        """The hyperparameters in words."""
        shown = (
            (name, ", ".join(map(str, value)) if isinstance(value, list) else value)
            for name, value in self.parameters.items()
        )
        return "; ".join(f"{name} {value}" for name, value in shown)

    def to_dict(self) -> dict[str, Any]:
        """What JSON can hold."""
        facts = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "report"}
        return {**self.report.to_dict(), **facts}

    def to_saved(self, monitor: str) -> dict[str, Any]:
        """The same, with the monitored metric of each case, so that it can be compared after it was read again."""
        return {**self.to_dict(), "per_case": {monitor: self.report.per_case[monitor].tolist()}}

    @classmethod
    def from_saved(cls, saved: Mapping[str, Any]) -> Self:
        """Reads what `to_saved` made."""
        per_case = {metric: np.array(values) for metric, values in saved["per_case"].items()}
        facts = {name: saved[name] for name in cls.__dataclass_fields__ if name != "report"}
        return cls(report=replace(Report.from_dict(saved), per_case=per_case), **facts)


def read_results(folder: Path) -> dict[str, Result]:
    """By name, those that a leaderboard keeps in a folder."""
    saved = [json.loads(each.read_text(encoding="utf-8")) for each in folder.glob("results/*.json")]
    return {each["name"]: Result.from_saved(each) for each in saved}


def size_of(thing: object) -> int:
    """Bytes of the arrays that it holds, those of the recommenders inside it too."""
    if isinstance(thing, np.ndarray):
        return int(thing.nbytes)
    if isinstance(thing, sparse.csr_array):
        return int(thing.data.nbytes + thing.indices.nbytes + thing.indptr.nbytes)
    if isinstance(thing, list):
        return sum(map(size_of, thing))
    return sum(map(size_of, vars(thing).values())) if type(thing).__module__.startswith("tfrec.") else 0


def format_leaderboard(results: Sequence[Result], monitor: str, cutoff: int) -> Group:
    """A row for each, in this order; recall and coverage are at the cutoff. The title says of what is sampled that it
    is. Below stands what was chosen, which is too long for a terminal's 80 columns."""
    first = results[0].report
    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        title=f"{first.num_cases:,} test cases, {first.confidence:.0%} bootstrap intervals{first.sampled}",
    )
    columns = [
        name
        for name in dict.fromkeys([monitor, f"recall@{cutoff}", f"coverage@{cutoff}"])
        if name in first.metrics  # There is no coverage of a sample.
    ]
    table.add_column("", overflow="fold")
    for name in (*columns, "fit", "size"):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        metrics = [result.report.metrics[name] for name in columns]
        cells = [str(metrics[0]).replace(" ", "\n", 1), *(f"{metric.mean:.4f}" for metric in metrics[1:])]
        fit = "" if result.fit_seconds is None else f"{result.fit_seconds:,.1f} s"
        size = "" if result.size is None else f"{result.size / 2**20:,.1f} MiB"
        table.add_row(*map(Text, (result.report.name, *cells, fit, size)))
    return Group(table, *(Text(f"{each.report.name}: {each.chosen}") for each in results if each.chosen))
