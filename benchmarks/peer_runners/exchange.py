"""What a runner is given and what it gives back. NumPy alone: runners run in environments of their own.

    PYTHON benchmarks/peer_runners/run_NAME.py FOLDER OUTPUT '{"kind": "…", …}' SEED MINUTES

FOLDER holds what `peers.py` wrote: `split.npz`, or `impressions.npz` of the ranking half, without what is tested.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TOP_K = 100


@dataclass(frozen=True)
class Task:
    """What a runner was asked for."""

    folder: Path
    output: Path
    settings: dict
    seed: int
    minutes: float

    @classmethod
    def of_command_line(cls) -> "Task":
        folder, output, settings, seed, minutes = sys.argv[1:]
        return cls(Path(folder), Path(output), json.loads(settings), int(seed), float(minutes))

    def finish(self, arrays: dict, took: np.ndarray, **facts: object) -> None:
        """Writes what was found, and how long the fit took; last of all, so that what is there is whole."""
        np.savez(self.output.with_suffix(".npz"), **arrays)
        facts = {
            "seconds": took[0],
            "cpu_seconds": took[1],
            "peak_mb": peak_megabytes(),
            "minutes": self.minutes,
            **facts,
        }
        self.output.with_suffix(".facts.json").write_text(json.dumps(facts), encoding="utf-8")


@dataclass(frozen=True)
class Cases:
    """Users and what each did before, oldest first: row i is `values[offsets[i]:offsets[i + 1]]`, of `users[i]`."""

    users: np.ndarray
    values: np.ndarray
    offsets: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        return np.repeat(np.arange(len(self.users)), np.diff(self.offsets))

    def last(self, length: int) -> "Cases":
        """The same with the latest so many of each."""
        lengths = np.diff(self.offsets)
        age = np.repeat(self.offsets[1:], lengths) - np.arange(len(self.values))
        offsets = np.concatenate([[0], np.cumsum(np.minimum(lengths, length))])
        return Cases(self.users, self.values[age <= length], offsets)

    def latest(self, length: int) -> np.ndarray:
        """Item codes from 1, at most the latest so many, then 0: int32 [num_cases, length]."""
        padded = np.zeros((len(self.users), length), np.int32)
        for row, (start, stop) in enumerate(zip(self.offsets[:-1], self.offsets[1:], strict=True)):
            kept = self.values[max(start, stop - length) : stop]
            padded[row, : len(kept)] = kept + 1
        return padded


@dataclass(frozen=True)
class Split:
    """What may be learned from, and what is asked. The right answers of the test are not among it."""

    train: Cases
    validation: Cases
    validation_targets: np.ndarray
    test: Cases
    num_items: int

    @classmethod
    def load(cls, folder: Path) -> "Split":
        with np.load(folder / "split.npz") as arrays:
            cases = {
                name: Cases(*(arrays[f"{name}_{part}"] for part in ("users", "values", "offsets")))
                for name in ("train", "validation", "test")
            }
            return cls(**cases, validation_targets=arrays["validation_targets"], num_items=int(arrays["num_items"]))


Lists = tuple[np.ndarray, np.ndarray]
"""Item codes, best first, -1 for none, and their scores: int32 and float32 [num_cases, TOP_K]."""


def best(scores: np.ndarray, cases: Cases) -> Lists:
    """The best of the whole catalogue, without what the cases' histories hold; scores: [num_cases, num_items]."""
    scores = np.array(scores, np.float32)
    scores[cases.rows, cases.values] = -np.inf
    items = np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K].astype(np.int32)
    listed = np.take_along_axis(scores, items, axis=1)
    return np.where(listed == -np.inf, -1, items), listed


def in_batches(score: Callable[[slice], np.ndarray], cases: Cases, size: int = 512) -> Lists:
    """The same of scores that come some rows at a time."""
    parts = []
    for start in range(0, len(cases.users), size):
        rows = slice(start, start + size)
        offsets = cases.offsets[start : start + size + 1]
        part = Cases(cases.users[rows], cases.values[offsets[0] : offsets[-1]], offsets - offsets[0])
        parts.append(best(score(rows), part))
    items, scores = zip(*parts, strict=True)
    return np.concatenate(items), np.concatenate(scores)


def ndcg(lists: Lists, targets: np.ndarray, k: int = 10) -> float:
    """Of one target a case: picks the epoch. What is reported is measured by tfrec."""
    hits = lists[0][:, :k] == targets[:, np.newaxis]
    return float((hits / np.log2(np.arange(2, k + 2))).sum(axis=1).mean())


def as_arrays(validation: Lists, test: Lists) -> dict:
    """What `peers.py` reads."""
    names = ("validation_items", "validation_scores", "test_items", "test_scores")
    return dict(zip(names, (*validation, *test), strict=True))


def by_epochs(
    train: Callable[[], None],
    recommend: Callable[[Cases], Lists],
    split: Split,
    minutes: float,
    epochs: int,
    patience: int,
) -> tuple[dict, np.ndarray, dict]:
    """Trains until validation is no better for so many epochs, as tfrec does, or the time is over; keeps the best.

    Returns:
        The lists; what it took, validation included and the test's lists not; facts.
    """
    found, value, best_epoch = None, -1.0, 0
    trained, tested, started = np.zeros(2), np.zeros(2), now()
    for epoch in range(1, epochs + 1):
        begun = now()
        train()
        trained += now() - begun
        validation = recommend(split.validation)
        reached = ndcg(validation, split.validation_targets)
        print(f"epoch {epoch}: validation ndcg@10 {reached:.4f}, {trained[0] / epoch:.1f} s / epoch", flush=True)
        if reached > value:
            begun = now()
            found, value, best_epoch = as_arrays(validation, recommend(split.test)), reached, epoch
            tested += now() - begun
        is_over = bool((now() - started)[0] > 60 * minutes)
        if is_over or epoch - best_epoch >= patience:
            break
    per_epoch = dict(zip(("seconds_an_epoch", "cpu_seconds_an_epoch"), trained / epoch, strict=True))
    facts = {"epochs": epoch, "best_epoch": best_epoch, "is_cut": is_over, **per_epoch}
    return found, now() - started - tested, facts


def now() -> np.ndarray:
    """Seconds of the clock, and of all cores together that this process was given: float64 [2]."""
    return np.array([time.perf_counter(), time.process_time()])


def peak_megabytes() -> float:
    """The most memory that this process has held, its libraries included."""
    # Not ru_maxrss, which begins with what the process that started this one holds.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024
