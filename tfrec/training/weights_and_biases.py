"""Telling Weights & Biases of a run, if the configuration names a project."""

import importlib.util
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tfrec.errors import InputError
from tfrec.training.run import Run


@contextmanager
def wandb_run(run: Run) -> Iterator[Any]:
    """The run's own run of Weights & Biases, the same one each time; None if the configuration names no project.

    Offline (`WANDB_MODE=offline`) it is written to `wandb/` in the run's folder, for `wandb sync`.

    Raises:
        InputError: The package is missing, or nobody is logged in.
    """
    project = run.config.training.wandb_project
    if project is None:
        yield None
        return
    require_wandb()
    import wandb

    run.wandb.mkdir(exist_ok=True)
    known = run.wandb / "run_id"
    if not known.is_file():
        known.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
    try:
        tracker = wandb.init(
            project=project,
            id=known.read_text(encoding="utf-8"),
            name="/".join(run.folder.resolve().parts[-2:]),
            resume="allow",
            config=run.config.model_dump(mode="json"),
            dir=run.folder,
            settings=wandb.Settings(silent=True, console="off"),
        )
    except wandb.errors.Error as error:
        told = str(error).rstrip(".")
        raise InputError(
            f"Expected Weights & Biases to take the run, for training.wandb_project = {project!r}. Received: {told}. "
            "Log in with `wandb login`, set WANDB_MODE=offline, or leave the setting out."
        ) from error
    with tracker:
        # An epoch that a killed run had logged already is logged again: the axis is the epoch, not the call.
        tracker.define_metric("*", step_metric="epoch")
        yield tracker


def require_wandb() -> None:
    """Raises an InputError if the package is missing."""
    if importlib.util.find_spec("wandb") is None:
        raise InputError(
            "Expected Weights & Biases, since training.wandb_project is set. Received: no such package. Install it "
            "with pip install 'tfrec[wandb]', or leave the setting out."
        )


def tell_epoch(tracker: Any, epoch: int, logs: Mapping[str, Any]) -> None:
    """Logs the loss and the validation metrics of an epoch.

    Args:
        tracker: What `wandb_run` yields.
        epoch: From 0, as Keras counts.
        logs: As Keras' callbacks have them.
    """
    tracker.log({"epoch": epoch + 1, **{_name(name): float(value) for name, value in logs.items()}})


def tell_results(tracker: Any, metrics: Mapping[str, float], page: Path) -> None:
    """Adds the test metrics to the run's summary, and the report's page.

    Args:
        tracker: What `wandb_run` yields.
        metrics: Of the model, by name.
        page: `report.html`.
    """
    import wandb

    tracker.summary.update({f"test/{name}": value for name, value in metrics.items()})
    tracker.log({"report": wandb.Html(page.read_text(encoding="utf-8"), inject=False)})


def _name(name: str) -> str:
    return f"validation/{name.removeprefix('val_')}" if name.startswith("val_") else f"train/{name}"
