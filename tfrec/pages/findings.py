"""What an evaluation found beside the metrics: `report.json` in the run's folder, of which its page is made."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from tfrec.config import EvaluationConfig
from tfrec.errors import InputError
from tfrec.evaluation import Comparison, Reliability, Report, compare, corrected
from tfrec.training.run import write_json

VERSION = 1


@dataclass(frozen=True)
class Table:
    """What belongs to one table of reports.

    Attributes:
        task: What is predicted; empty of a model that recommends.
        models: Names of the reports that are the model's; the first is what stands for it.
        baselines: Names of the others.
        comparisons: Of the first with each baseline, in the monitored metric; p-values are corrected by Holm's method.
        cases: A hash of the test cases: reports with the same one can be paired.
        per_case: The first model's monitored metric, of each case.
        resamples: The same of each resample of the bootstrap, where it is no mean over cases.
        reliability: Of each model that predicts a probability or a value.
    """

    task: str
    models: tuple[str, ...]
    baselines: tuple[str, ...]
    comparisons: tuple[Comparison, ...] = ()
    cases: str = ""
    per_case: tuple[float, ...] = ()
    resamples: tuple[float, ...] = ()
    reliability: tuple[Reliability, ...] = ()

    @classmethod
    def of(
        cls,
        task: str,
        reports: Sequence[Report],
        num_models: int,
        config: EvaluationConfig,
        cases: str,
        reliability: Sequence[Reliability] = (),
    ) -> Self:
        """Compares the first with each baseline.

        Args:
            task: As the attribute.
            reports: As `evaluate` and `evaluate_clicks` return them: the models', then the baselines'.
            num_models: How many are the model's.
            config: The monitored metric, and how it is tested.
            cases: What `hash_of` says of the test cases.
            reliability: As the attribute.
        """
        monitor, first = config.monitor, reports[0]
        comparisons = [compare(first, baseline, monitor, config) for baseline in reports[num_models:]]
        if all(each.p_value is not None for each in comparisons):
            comparisons = corrected(comparisons)
        names = [report.name for report in reports]
        return cls(
            task=task,
            models=tuple(names[:num_models]),
            baselines=tuple(names[num_models:]),
            comparisons=tuple(comparisons),
            cases=cases,
            per_case=tuple(first.per_case[monitor].round(6).tolist()) if monitor in first.per_case else (),
            resamples=tuple(first.resamples[monitor].round(6).tolist()) if monitor in first.resamples else (),
            reliability=tuple(reliability),
        )

    def with_values(self, report: Report, metric: str) -> Report:
        """The report of the first model with what `compare` needs of it."""
        named = {metric: np.array(self.per_case)} if self.per_case else {}
        drawn = {metric: np.array(self.resamples)} if self.resamples else {}
        return replace(report, per_case=named, resamples=drawn)


@dataclass(frozen=True)
class Curve:
    """The course of the training.

    Attributes:
        epochs: The loss and the validation metrics of each finished epoch, as `val_ndcg@10`.
        best_epoch: From 1; its weights were tested.
        seconds: How long each epoch took; fewer where an earlier tfrec did not say.
        num_weights: That were trained; None: unknown, or not a fixed number.
    """

    epochs: tuple[Mapping[str, float], ...]
    best_epoch: int
    seconds: tuple[float, ...] = ()
    num_weights: int | None = None


@dataclass(frozen=True)
class DataDescription:
    """What the run learned from, and what it was asked.

    Attributes:
        parts: Name of a part -> figures by name.
        facts: What `InteractionMatrix.describe` says of the training part.
        lorenz: Points (share of the items, least popular first; what they have of the interactions), (0, 0) to (1, 1).
        history_lengths: Test cases, or impressions, by the length of their history.
        notes: What the split left out.
    """

    parts: Mapping[str, Mapping[str, float]]
    facts: Mapping[str, float]
    lorenz: tuple[tuple[float, float], ...]
    history_lengths: tuple[tuple[str, int], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Target:
    """What a user did next, and at which rank it was recommended, from 1."""

    title: str
    rank: int


@dataclass(frozen=True)
class Recommended:
    """What was recommended, how often training saw it, and whether the user did it next."""

    title: str
    count: int
    is_hit: bool


@dataclass(frozen=True)
class ListExample:
    """A test case with its list.

    Attributes:
        history_length: Of the whole history.
        history: Its latest titles, the latest last.
        targets: What came next.
        recommended: Best first.
    """

    history_length: int
    history: tuple[str, ...]
    targets: tuple[Target, ...]
    recommended: tuple[Recommended, ...]


@dataclass(frozen=True)
class Shown:
    """What a user was shown, what the model made of it, and whether it was clicked."""

    title: str
    prediction: float
    is_clicked: bool


@dataclass(frozen=True)
class ClickExample:
    """A user's test impressions.

    Attributes:
        liked: The latest titles that the user had liked before the first of them, the latest last.
        num_shown: Test impressions of the user.
        shown: Of them, those with the highest predictions, highest first.
    """

    liked: tuple[str, ...]
    num_shown: int
    shown: tuple[Shown, ...]


class Findings(BaseModel):
    """All of it. A version with other fields gets another number."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    version: Literal[1] = 1
    """Of the file's form."""

    tables: tuple[Table, ...]
    """In the order of `metrics.json`."""

    curve: Curve
    """Of the training."""

    data: DataDescription
    """What was learned from."""

    list_examples: tuple[ListExample, ...] = ()
    """Of a model that recommends: some of its hits and some of its misses, drawn at random."""

    click_examples: tuple[ClickExample, ...] = ()
    """Of a model that predicts the click: some users who clicked one thing and not another, drawn at random."""

    def save(self, path: Path) -> None:
        """Writes it whole or not at all."""
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """Reads it; None: there is none.

        Raises:
            InputError: It is another version's.
        """
        if not path.is_file():
            return None
        try:
            return cls.model_validate(json.loads(path.read_text(encoding="utf-8")))
        except (ValidationError, ValueError) as error:
            raise InputError(
                f"Expected the findings of this tfrec in {path}. Received: something else "
                f"({str(error).splitlines()[0]}). Evaluate the run again."
            ) from error


def hash_of(*arrays: np.ndarray) -> str:
    """Says which cases were tested: sixteen hexadecimal digits that follow from all values and their order."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update("\n".join(map(str, array.tolist())).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]
