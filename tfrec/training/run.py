"""The folder of a run: the one place where a run's results lie, and what resuming reads."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import ValidationError

from tfrec.config import Config
from tfrec.errors import InputError

MAY_CHANGE = frozenset(
    f"training.{name}" for name in ("checkpoint_minutes", "epochs", "patience", "profile_steps", "wandb_project")
)
"""Settings that a run may go on with: they say how long it trains, what a kill costs and what is told, not what it is.

Under a schedule the epochs say more."""

LOCK = "lock"
COMPARISON = "recipe.json"
"""The resolved configuration in the folder of a comparison, from which tfrec.export fits a baseline anew."""


class Run:
    """A run's folder.

    Attributes:
        config: The resolved configuration, as in `config.json`.
        prepared: Folder of the split and the encoded tables.
        latest: The last checkpoint, of a finished epoch or within one: weights, optimizer, early stopping.
        best: Weights of the best epoch.
        tensorboard: Folder of the events.
        stamps: Size and time of the user's tables when they were read.
        metrics: What `tfrec.evaluate` measured.
        findings: What else `tfrec.evaluate` found that the page shows.
        page: The report as a page for a browser.
        commands: Which commands made the run.
        wandb: Folder of Weights & Biases.
        calibration: What corrects the probabilities of the best epoch of a model that predicts the click.
        bad_batch: The batch at which the loss became NaN or infinite.
    """

    def __init__(self, folder: Path, config: Config) -> None:
        self.folder = folder
        self.config = config
        self.prepared = folder / "prepared"
        self.checkpoints = folder / "checkpoints"
        self.latest = self.checkpoints / "latest.npz"
        self.best = self.checkpoints / "best.npz"
        self.tensorboard = folder / "tensorboard"
        self.stamps = folder / "tables.json"
        self.metrics = folder / "metrics.json"
        self.findings = folder / "report.json"
        self.page = folder / "report.html"
        self.commands = folder / "commands.json"
        self.wandb = folder / "wandb"
        self.calibration = folder / "calibration.json"
        self.bad_batch = folder / "bad_batch.npz"

    @classmethod
    def create(cls, folder: Path, config: Config, fresh: bool = False) -> "Run":
        """Starts a run, or goes on with the one in the folder.

        Args:
            folder: The run's, new or empty or a run's.
            config: What the run is to be.
            fresh: Remove what a run left there, and start anew.

        Raises:
            InputError: The folder holds a run with another configuration that has a checkpoint, or something else.
        """
        path = folder / "config.json"
        if cls.exists(folder):
            old = cls.open(folder)
            differing = old._differing(config)
            if differing and old.keeps(config) and not fresh:
                raise InputError(
                    f"{folder} holds a run with another configuration; {', '.join(differing)} differ. "
                    "Pass --fresh to replace it, or --run FOLDER to keep both."
                )
            if differing or fresh:
                old._remove()
        else:
            _make_folder(folder)
        write_json(path, config.model_dump(mode="json"))
        return cls(folder, config)

    @classmethod
    def join(cls, folder: Path, config: Config) -> "Run":
        """The run that the chief of several workers has made, or goes on with, for the others.

        Raises:
            InputError: It is not there, or has another configuration.
        """
        if not cls.exists(folder):
            raise InputError(
                f"Expected the run that the chief has made in {folder}. Received: none. Give all workers the same "
                "folder as --run, on a file system that they share."
            )
        run = cls.open(folder)
        if differing := sorted(_differences(run.config.model_dump(), config.model_dump())):
            raise InputError(
                f"Expected the configuration of the chief, in {folder}. Received: another; {', '.join(differing)} "
                "differ. Start the same command on all workers."
            )
        return run

    def keeps(self, config: Config) -> bool:
        """Whether the data that are prepared stay there, unless the run is made anew: they are of this configuration,
        or something was trained on them."""
        return self.prepared.is_dir() and (self.latest.is_file() or not self._differing(config))

    def _differing(self, config: Config) -> list[str]:
        may_change = MAY_CHANGE if config.training.schedule == "constant" else MAY_CHANGE - {"training.epochs"}
        return sorted(set(_differences(self.config.model_dump(), config.model_dump())) - may_change)

    @staticmethod
    @contextmanager
    def alone_in(folder: Path) -> Iterator[None]:
        """Keeps other processes from training in a run's folder meanwhile; a process that is killed lets it go.

        Raises:
            InputError: Another process is training there; or the folder holds something other than a run.
        """
        if not Run.exists(folder):
            _make_folder(folder)
        lock = FileLock(folder / LOCK)
        try:
            lock.acquire(blocking=False)
        except Timeout as error:
            raise InputError(
                f"Another process is training in {folder}. Wait for it to end, or pass --run FOLDER."
            ) from error
        try:
            yield
        finally:
            lock.release()

    @staticmethod
    def exists(folder: Path) -> bool:
        """Whether the folder claims to hold a run."""
        return (folder / "config.json").is_file()

    @classmethod
    def open(cls, folder: Path) -> "Run":
        """A run that exists.

        Raises:
            InputError: There is none.
        """
        if not cls.exists(folder):
            raise InputError(
                f"Expected the folder of a run, with a config.json. Received: {folder}. "
                "Make one with python -m tfrec.train."
            )
        return cls(folder, _read_config(folder / "config.json", "Pass --run FOLDER with another folder."))

    def _remove(self) -> None:
        """Removes what a run makes, and nothing that somebody put beside it."""
        # The data last: where they are, the checkpoints are theirs, even if this is killed halfway.
        for path in (self.checkpoints, self.tensorboard, self.wandb, self.prepared):
            shutil.rmtree(path, ignore_errors=True)
        for file in (self.stamps, self.commands, self.bad_batch):
            file.unlink(missing_ok=True)
        self.remove_results()

    def remove_results(self) -> None:
        """Removes what was found of the weights that were the best."""
        # Of TensorBoard's folder the events of training stay, in folders of their own.
        shutil.rmtree(self.tensorboard / "test", ignore_errors=True)
        told = [path for path in self.tensorboard.glob("*") if path.is_file()]
        for file in (self.metrics, self.findings, self.page, self.calibration, *told):
            file.unlink(missing_ok=True)


def comparison_config(folder: Path) -> Config:
    """What the data of a comparison's folder are, and how they are divided and measured.

    Raises:
        InputError: The folder holds none.
    """
    path = folder / COMPARISON
    if not path.is_file():
        raise InputError(
            f"Expected the folder of a comparison, with a {COMPARISON}. Received: {folder}. Make one with "
            "python -m tfrec.compare RECIPE --baseline NAME."
        )
    return _read_config(path, "Compare again, with python -m tfrec.compare.")


def _read_config(path: Path, remedy: str) -> Config:
    try:
        return Config.model_validate_json(path.read_text(encoding="utf-8"))
    except (ValidationError, UnicodeDecodeError) as error:
        raise InputError(
            f"Expected the configuration of a run of this tfrec in {path}. Received: something else "
            f"({str(error).splitlines()[0]}). {remedy}"
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Writes JSON whole or not at all."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _make_folder(folder: Path) -> None:
    # A configuration that was being written when the run was killed is nothing yet.
    is_empty = folder.is_dir() and all(path.name in ("config.json.tmp", LOCK) for path in folder.iterdir())
    if folder.exists() and not is_empty:
        raise InputError(f"Expected {folder} to be empty or a run. Received: other files. Pass --run FOLDER.")
    folder.mkdir(parents=True, exist_ok=True)


def _differences(old: Any, new: Any, prefix: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(old.keys() | new.keys())
        return [line for key in keys for line in _differences(old.get(key), new.get(key), f"{prefix}{key}.")]
    return [] if old == new else [prefix.removesuffix(".")]
