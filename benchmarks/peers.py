"""tfrec beside its peers, on one split, by one evaluation: quality, training time and peak memory, in one table.

    python benchmarks/peers.py movielens-100k/two_tower [--data-root data] [--seeds 0 1 2]
    python benchmarks/peers.py movielens-100k/deepfm
    python benchmarks/peers.py movielens-1m/jd_tower --peers rectools/sasrec_64 tfrec/ease --epochs 10 --seeds 0

The recipe says which data and which split. Of one that recommends (leave_last_out), each peer is given every user's
training interactions, and histories to recommend for; of one that predicts the click, features of the impressions. The
right answers of the test are given to nobody. What comes back is lists, or log-odds, and tfrec measures all of them.

Each peer runs in an environment of its own, which is made of pinned packages below --environments. Hyperparameters of a
small grid, and the epoch, are chosen by validation, tfrec's too. Who fails has a row that says why. What is finished is
kept in --folder: the same command goes on. --peers names some, or a library (implicit); tfrec's are among them.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from contenders import OWN, Asked, Clicks, Contender, Lists
from environments import python_of
from recorded_runs import folder_name, markdown_row, with_spread

from tfrec.config import Config

if TYPE_CHECKING:
    from tfrec.evaluation import Report

RUNNERS = Path(__file__).parent / "peer_runners"
REQUIREMENTS = {
    "implicit": "implicit==0.7.3",
    "rectools": "rectools[torch]==0.19.0 torch==2.13.0",
    "tfrs": "tensorflow-recommenders==0.7.7 tensorflow==2.21.0 tf-keras==2.21.0",
    "keras_rs": "keras-rs==0.4.0 keras-hub==0.32.0 keras==3.15.1 jax==0.9.0",
    "lightgbm": "lightgbm==4.7.0",
}


@dataclass(frozen=True)
class Row:
    """What is known of a contender; `failure` alone where it failed."""

    name: str
    report: "Report | None" = None
    validation: float = float("nan")
    facts: tuple[Mapping[str, Any], ...] = ()
    by_seed: tuple[float, ...] = ()
    settings: Mapping[str, Any] | None = None
    num_tried: int = 1
    failure: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--peers", nargs="+", metavar="NAME", help="as in the table; all if not given")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], metavar="SEED")
    parser.add_argument("--epochs", type=int, help="at most, of what learns in epochs")
    parser.add_argument("--tries", type=int, metavar="NUMBER", help="at most, of each peer's grid; all if not given")
    parser.add_argument(
        "--minutes",
        type=float,
        default=240,
        help="after so many a peer that learns in epochs stops; who takes twice as long fails",
    )
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--run", type=Path, nargs="+", default=[], dest="runs", help="trained on the same; not timed")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--folder", type=Path, help="of the results; runs/benchmarks/peers/RECIPE if not given")
    parser.add_argument("--environments", type=Path, default=Path("runs/benchmarks/peers/environments"))
    arguments = parser.parse_args()
    from tfrec.cli import parse_settings  # After the arguments are read: --help is quick.

    overrides = parse_settings(arguments.settings)
    config = Config.load(arguments.recipe, overrides)
    folder = arguments.folder or Path("runs/benchmarks/peers") / folder_name(arguments.recipe)
    _begin(folder, config)
    asked = Asked(config, arguments.recipe, overrides, arguments.data_root, folder, arguments.epochs, arguments.runs)
    comparison = Clicks(asked) if config.ranks else Lists(asked)
    named = (each for each in comparison.contenders() if _is_named(each, arguments.peers))
    chosen = [replace(each, grid=each.grid[: arguments.tries]) for each in named]
    if not chosen:
        parser.error(f"expected --peers among {', '.join(each.name for each in comparison.contenders())}")
    run = Runs(folder, arguments.environments, arguments.minutes)
    rows = [_measured(each, comparison, run, arguments.seeds) for each in chosen]
    _show(rows, comparison, folder)


def _begin(folder: Path, config: Config) -> None:
    """Results of other data would stand in the same table."""
    saved, told = folder / "config.json", config.model_dump(mode="json")
    if saved.is_file() and json.loads(saved.read_text(encoding="utf-8")) != told:
        sys.exit(f"{folder} holds results with other settings. Pass another --folder, or remove it.")
    folder.mkdir(parents=True, exist_ok=True)
    saved.write_text(json.dumps(told), encoding="utf-8")


def _is_named(contender: Contender, names: Sequence[str] | None) -> bool:
    return names is None or contender.name in names or contender.library in names


class PeerError(Exception):
    """A peer's environment or run, and why."""


class Runs:
    """Runs contenders, one at a time, and remembers what they returned."""

    def __init__(self, folder: Path, environments: Path, minutes: float) -> None:
        self.folder = folder
        self.environments = environments
        self.minutes = minutes

    def __call__(self, contender: Contender, settings: Mapping[str, Any], seed: int) -> tuple[dict, dict]:
        """The arrays and the facts, which are read again where they are there.

        Raises:
            PeerError: It can't be installed, or failed, or took too long.
        """
        told = json.dumps(settings, sort_keys=True)
        key = hashlib.sha256(f"{told} {seed}".encode()).hexdigest()[:12]
        output = self.folder / "results" / contender.name / key
        arrays, facts = output.with_suffix(".npz"), output.with_suffix(".facts.json")
        if not facts.is_file() or self._may_go_further(facts):
            output.parent.mkdir(parents=True, exist_ok=True)
            print(f"{contender.name} {told} seed {seed}", file=sys.stderr, flush=True)
            runner = RUNNERS / f"run_{contender.library}.py"
            log = output.with_suffix(".log")
            command = [self._python(contender), runner, self.folder, output, told, seed, self.minutes]
            # Settings of tfrec's own, such as which Keras it is, are not for others.
            own = ("PYTHONPATH", "TF_USE_LEGACY_KERAS")
            environment = {key: value for key, value in os.environ.items() if key not in own}
            with log.open("w", encoding="utf-8") as told_by_it:
                try:
                    subprocess.run(
                        [*map(str, command)],
                        check=True,
                        stdout=told_by_it,
                        stderr=subprocess.STDOUT,
                        timeout=120 * self.minutes,
                        env=dict(os.environ) if contender.library == OWN else environment,
                    )
                except subprocess.TimeoutExpired as error:
                    raise PeerError(f"took more than {2 * self.minutes:g} minutes") from error
                except subprocess.CalledProcessError as error:
                    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
                    last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
                    raise PeerError(f"{last[:200]} ({log})") from error
        with np.load(arrays) as loaded:
            return dict(loaded), json.loads(facts.read_text(encoding="utf-8"))

    def _may_go_further(self, facts: Path) -> bool:
        """What ran out of its minutes is run again where it is given more."""
        told = json.loads(facts.read_text(encoding="utf-8"))
        return bool(told.get("is_cut")) and self.minutes > told["minutes"]

    def _python(self, contender: Contender) -> Path:
        if contender.library == OWN:
            return Path(sys.executable)
        requirements = REQUIREMENTS[contender.library]
        try:
            return python_of(self.environments / contender.library, requirements)
        except subprocess.CalledProcessError as error:
            raise PeerError(f"can't be installed: {requirements}") from error


def _measured(contender: Contender, comparison: Lists | Clicks, run: Runs, seeds: Sequence[int]) -> Row:
    """Chooses by validation with the first seed, and tests the choice with all of them."""
    try:
        tried = [run(contender, settings, seeds[0]) for settings in contender.grid]
        settings = contender.grid[int(np.argmax([comparison.value(arrays) for arrays, _ in tried]))]
        found = [run(contender, settings, seed) for seed in (seeds if contender.is_random else seeds[:1])]
    except PeerError as failure:
        return Row(contender.name, failure=str(failure))
    reports = [comparison.report(contender.name, arrays) for arrays, _ in found]
    return Row(
        contender.name,
        _over_seeds(reports, comparison.config.evaluation),
        float(np.mean([comparison.value(arrays) for arrays, _ in found])),
        tuple(facts for _, facts in found),
        tuple(report.metrics[comparison.monitor].mean for report in reports),
        settings,
        sum(facts.get("num_tried", 1) for _, facts in tried),
    )


def _over_seeds(reports: Sequence["Report"], config: Any) -> "Report":
    """Of each case the mean over the seeds, so that intervals are over the cases."""
    from tfrec.evaluation import Estimate
    from tfrec.evaluation.bootstrap import bootstrap_interval

    first = reports[0]
    per_case = {metric: np.mean([each.per_case[metric] for each in reports], axis=0) for metric in first.per_case}
    resamples = {metric: np.mean([each.resamples[metric] for each in reports], axis=0) for metric in first.resamples}
    tail = (1 - config.confidence) / 2
    metrics = {}
    for metric in first.metrics:
        mean, ends = float(np.mean([each.metrics[metric].mean for each in reports])), ()
        if metric in per_case:
            values = per_case[metric][:, np.newaxis]
            low, high = bootstrap_interval(
                values, confidence=config.confidence, samples=config.bootstrap_samples, seed=0
            )
            ends = float(low[0]), float(high[0])
        elif metric in resamples:
            ends = tuple(np.nanquantile(resamples[metric], [tail, 1 - tail]).tolist())
        metrics[metric] = Estimate(mean, *ends)
    return replace(first, metrics=metrics, per_case=per_case, resamples=resamples)


def _show(rows: Sequence[Row], comparison: Lists | Clicks, folder: Path) -> None:
    from tfrec.evaluation import compare, corrected

    finished = sorted((row for row in rows if row.report), key=lambda row: -row.report.metrics[comparison.monitor].mean)
    own = [row for row in finished if row.name.startswith(f"{OWN}/")]
    # Chosen by validation: the best of the test would be lucky.
    best = max(own, key=lambda row: row.validation, default=None)
    settings = comparison.config.evaluation
    others = [row for row in finished if best and row is not best]
    differences = [compare(row.report, best.report, comparison.monitor, settings) for row in others]
    if differences and all(each.p_value is not None for each in differences):
        differences = corrected(differences)
    against = {row.name: each for row, each in zip(others, differences, strict=True)}
    own_best = f"less {best.name}" if best else "less tfrec's best"
    print(
        markdown_row(
            "", *comparison.metrics, "seeds", own_best, "p", "fit s", "CPU s", "epochs", "s / epoch", "peak MB"
        )
    )
    print(markdown_row("---", *["--:"] * (len(comparison.metrics) + 8)))
    for row in finished:
        difference = against.get(row.name)
        seconds, cpu_seconds = (np.median([facts[name] for facts in row.facts]) for name in ("seconds", "cpu_seconds"))
        was_timed = not any(facts.get("was_trained") for facts in row.facts)
        epochs = [
            f"{facts['best_epoch']}/{facts['epochs']}{' (cut)' if facts.get('is_cut') else ''}"
            for facts in row.facts
            if "epochs" in facts
        ]
        # tfrec's hold the validation after each.
        per_epoch = [
            facts.get("seconds_an_epoch", facts["seconds"] / facts["epochs"])
            for facts in row.facts
            if "epochs" in facts
        ]
        print(
            markdown_row(
                row.name,
                *(row.report.metrics[metric] for metric in comparison.metrics),
                with_spread(row.by_seed) if len(row.by_seed) > 1 else "1",
                "" if difference is None else "{:+.4f} [{:+.4f}, {:+.4f}]".format(*difference.difference),
                "" if difference is None or difference.p_value is None else f"{difference.p_value:.4f}",
                (f"{seconds:.1f}" + (f" × {row.num_tried}" if row.num_tried > 1 else "")) if was_timed else "",
                f"{cpu_seconds:.1f}" if was_timed else "",
                ", ".join(epochs),
                f"{np.median(per_epoch):.1f}" if per_epoch and was_timed else "",
                f"{max(facts['peak_mb'] for facts in row.facts):,.0f}" if was_timed else "",
            )
        )
    for row in rows:
        if row.failure:
            print(markdown_row(row.name, f"failed: {row.failure}", *[""] * (len(comparison.metrics) + 7)))
    records = [
        {
            "name": row.name,
            "failure": row.failure,
            "settings": row.settings,
            "tried": row.num_tried,
            "validation": row.validation,
            "by_seed": row.by_seed,
            "facts": row.facts,
            **(row.report.to_dict() if row.report else {}),
            "less_best": None if row.name not in against else against[row.name].difference._asdict(),
            "p_value": None if row.name not in against else against[row.name].p_value,
        }
        for row in rows
    ]
    told = {"best": best.name if best else None, "rows": records}
    (folder / "results.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    print(f"\nwritten to {folder / 'results.json'}", file=sys.stderr)


if __name__ == "__main__":
    main()
