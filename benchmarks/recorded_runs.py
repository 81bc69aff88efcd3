"""Runs that benchmarks train and test through the command lines, each in a folder that keeps what came out."""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfrec.cli import parse_settings
from tfrec.config import Config


def record_run(folder: Path, recipe: str, settings: Sequence[str], data_root: Path) -> dict[str, Any]:
    """Trains and tests, or goes on where it was stopped; a finished run is only read, one of other settings replaced.

    Args:
        folder: The run's.
        recipe: What is trained.
        settings: `KEY=VALUE`, as for --set; of two with the same key the last counts.
        data_root: Where the data are.

    Returns:
        `run`, `recipe`, `model`, `settings`, `epochs`, `best_epoch`, `validation` (the monitored metric then),
        `seconds_an_epoch` (the median; validation counts), `metrics`: recommender -> metric -> mean, and `intervals`:
        recommender -> metric -> low and high.
    """
    config = Config.load(recipe, parse_settings(list(settings))).model_dump(mode="json")
    saved, metrics = folder / "config.json", folder / "metrics.json"
    is_another = saved.is_file() and json.loads(saved.read_text()) != config
    if is_another or not metrics.is_file():
        flags = [word for setting in settings for word in ("--set", setting)] + ["--fresh"] * is_another
        _command_line("train", recipe, "--run", folder, "--data-root", data_root, *flags)
        _command_line("evaluate", folder, "--data-root", data_root)
    from tfrec.training.checkpoint import read_state  # TensorFlow is started late: --help needs none.

    reports = json.loads(metrics.read_text())
    state = read_state(folder / "checkpoints" / "latest.npz")
    return {
        "run": folder.name,
        "recipe": recipe,
        "model": config["model"]["name"],
        "settings": list(settings),
        "epochs": state["epoch"],
        "best_epoch": state["best_epoch"],
        "validation": state["best_value"],
        "seconds_an_epoch": _seconds_an_epoch(folder / "tensorboard" / "train"),
        "metrics": {
            report["name"]: {name: estimate["mean"] for name, estimate in report["metrics"].items()}
            for report in reports
        },
        "intervals": {
            report["name"]: {
                name: [estimate["low"], estimate["high"]]
                for name, estimate in report["metrics"].items()
                if "low" in estimate
            }
            for report in reports
        },
    }


def test_values(folder: Path, metric: str, data_root: Path) -> np.ndarray:
    """The metric of each test case by what a run retrieves: float64 [num_cases]."""
    from tfrec.cli import start_tensorflow

    start_tensorflow()
    from tfrec.evaluation import evaluate
    from tfrec.features.prepared import Prepared
    from tfrec.models.retrieval_model import RetrievalRecommender
    from tfrec.training.run import Run
    from tfrec.training.trainer import load_model

    run = Run.open(folder)
    prepared = Prepared.load(run.prepared)
    recommender = RetrievalRecommender(load_model(run, prepared, data_root))
    split, settings = prepared.split, run.config.evaluation
    report = evaluate(recommender, split.test, len(prepared.counts), settings, split.candidates)
    return report.per_case[metric]


def folder_name(recipe: str) -> str:
    """Where below a benchmark's folder a recipe's runs go, which may be given by name or as a TOML file."""
    return recipe.removesuffix(".toml").lstrip("./")


def write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """One JSON object a line."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    print(f"\nwritten to {path}")


def with_spread(values: Sequence[float], digits: int = 4) -> str:
    """Mean ± sample standard deviation."""
    mean = f"{statistics.mean(values):.{digits}f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.{digits}f}"


def markdown_row(*cells: object) -> str:
    """A row of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _command_line(module: str, *arguments: object) -> None:
    subprocess.run([sys.executable, "-m", f"tfrec.{module}", *map(str, arguments)], check=True, stdout=sys.stderr)


def _seconds_an_epoch(events: Path) -> float | None:
    """From the times at which the epochs ended, which survive a kill; None for a single epoch."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(events), size_guidance={"tensors": 0})
    accumulator.Reload()
    times = {event.step: event.wall_time for event in accumulator.Tensors("epoch_loss")}
    gaps = [times[step] - times[step - 1] for step in times if step - 1 in times]
    return statistics.median(gaps) if gaps else None
