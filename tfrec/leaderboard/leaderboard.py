"""Tunes, measures and remembers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from tfrec import console
from tfrec.baselines import LearnedBlend
from tfrec.config import EvaluationConfig
from tfrec.datasets.dataset import EvaluationSet, Split
from tfrec.errors import InputError
from tfrec.evaluation import Background, Recommender, evaluate, rank
from tfrec.evaluation.metrics import METRICS
from tfrec.leaderboard.entries import Entry
from tfrec.leaderboard.result import Result, read_results, size_of
from tfrec.leaderboard.search import search
from tfrec.training.run import write_json

TUNING_CASES = 5000
"""Validation cases that choose hyperparameters: drawn, where there are more."""


class Leaderboard:
    """The results in a folder: one file each, so that what is finished is not done again.

    Hyperparameters are chosen by the monitored metric on the validation cases, of what was fitted to the training part
    alone; the same is then tested, as trained models are.

    Args:
        folder: Where results are kept.
        settings: What they depend on; a folder with others, or of another tfrec, is refused.
        split: The division.
        num_items: Size of the catalogue.
        config: How is measured.
        is_tuned: Whether hyperparameters are chosen; else the defaults are taken.
        seed: Draws the validation cases and the bootstrap's.

    Attributes:
        results: By name; those that were in the folder are there already.

    Raises:
        InputError: The folder holds results with other settings, or something else.
    """

    def __init__(
        self,
        folder: Path,
        settings: dict[str, Any],
        split: Split,
        num_items: int,
        config: EvaluationConfig,
        is_tuned: bool = True,
        seed: int = 0,
    ) -> None:
        self.folder = folder
        self.split = split
        self.num_items = num_items
        self.config = config
        self.is_tuned = is_tuned
        self.seed = seed
        path = folder / "settings.json"
        settings = json.loads(json.dumps({**settings, "is_tuned": is_tuned, "code": _code_digest()}))
        if path.is_file():
            old = json.loads(path.read_text(encoding="utf-8"))
            others = sorted(name for name in {*old, *settings} if old.get(name) != settings.get(name))
            if others:
                _refuse(folder, f"results with other {', '.join(others)}")
        elif folder.is_dir() and any(each.name != "settings.json.tmp" for each in folder.iterdir()):
            _refuse(folder, "other files")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        (folder / "results").mkdir(exist_ok=True)
        self.results = read_results(folder)

    def add(self, entry: Entry) -> Recommender | None:
        """Tunes, fits and tests it; None: it was done before."""
        parts = {"parts": list(entry.parts)} if entry.parts else {}
        known = self.results.get(entry.name)
        if known is not None and known.parameters.get("parts") == parts.get("parts"):
            console.say(f"{entry.name}: done before")
            return None
        num_tried = entry.num_trials if self.is_tuned else 1
        cases = self.split.validation.drawn(TUNING_CASES, self.seed)
        with console.progress(entry.name, num_tried) as advance:
            best = search(entry, lambda recommender: self._monitored(recommender, cases), self.is_tuned, advance)
        recommender, parameters = best.recommender, best.parameters | parts
        if isinstance(recommender, LearnedBlend):
            parameters["weights"] = [round(weight, 3) for weight in recommender.weights]
        self.test(entry.name, recommender, self.split.test, parameters, num_tried, best.value, best.seconds)
        return recommender

    def test(
        self,
        name: str,
        recommender: Recommender,
        cases: EvaluationSet,
        parameters: dict[str, Any] | None = None,
        num_tried: int = 1,
        validation: float | None = None,
        fit_seconds: float | None = None,
        digest: str | None = None,
    ) -> None:
        """Measures it on the cases, with intervals, and writes that down under the name.

        What was made of something with the name but another digest is forgotten first.
        """
        known = self.results.get(name)
        if known is not None and known.digest != digest:
            for other in [each for each, result in self.results.items() if name in result.parameters.get("parts", ())]:
                console.say(f"{other}: {name} was trained again since, so that it is made again")
                self._file(other).unlink(missing_ok=True)
                del self.results[other]
        background = Background(
            np.bincount(self.split.train.values, minlength=self.num_items), self.split.train.lengths
        )
        report = evaluate(recommender, cases, self.num_items, self.config, self.split.candidates, self.seed, background)
        size = size_of(recommender) or None
        result = Result(replace(report, name=name), parameters or {}, num_tried, validation, fit_seconds, size, digest)
        self.results[name] = result
        write_json(self._file(name), result.to_saved(self.config.monitor))
        console.say(f"{name}: {self.config.monitor} {report.metrics[self.config.monitor].mean:.4f} {result.chosen}")

    def _file(self, name: str) -> Path:
        return self.folder / "results" / f"{quote(name, safe=' ()')}.json"

    def best(self, names: Sequence[str]) -> str | None:
        """The one of these that is best on the validation cases; None: none was measured."""
        found = [(result.validation, name) for name in names if (result := self.results.get(name))]
        return max(((value, name) for value, name in found if value is not None), default=(0.0, None))[1]

    def ordered(self, names: Sequence[str]) -> list[Result]:
        """The results of these, best first by the monitored metric of the test."""
        found = [self.results[name] for name in names if name in self.results]
        return sorted(found, key=lambda result: -result.report.metrics[self.config.monitor].mean)

    def _monitored(self, recommender: Recommender, cases: EvaluationSet) -> float:
        metric, _, cutoff = self.config.monitor.partition("@")
        ranking = rank(
            recommender,
            cases,
            self.num_items,
            exclude_seen=True,
            candidates=self.split.candidates,
            top_k=int(cutoff),
        )
        return float(METRICS[metric](ranking.ranks, int(cutoff)).mean())


def _refuse(folder: Path, received: str) -> None:
    raise InputError(
        "Expected an empty folder, or results with the same data, split and evaluation, of the same tfrec, in "
        f"{folder}. Received: {received}. Pass another --output, or remove it."
    )


def _code_digest() -> str:
    """A hash of tfrec's source: what another one measured may be something else."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
