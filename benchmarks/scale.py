"""Twenty million interactions with a million items: every command of the main path, its seconds and peak memory.

    python benchmarks/scale.py [--rows 20000000] [--items 1000000] [--users 500000] [--folder runs/benchmarks/scale]
    python benchmarks/scale.py --rows 200000 --items 10000 --users 5000

The table is simulated: users have three interests of a hundred items each, some more popular than others, and nine of
ten interactions are with one of these. A two-tower model of ids is trained for one epoch, ranks the whole
catalogue for a sample of the users, is exported with its index and asked over gRPC. Each command runs in a process of
its own, so that its peak is its own.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from curves import draw
from recorded_runs import markdown_row
from served import MODEL_NAME, Served

COMMANDS = ("train", "evaluate", "export", "serve")
INTEREST = 100
"""Items of one interest."""
SETTINGS = {
    "model.name": "two_tower",
    "model.use_text": "false",
    "features.history_length": "20",
    "training.batch_size": "4096",
    "split.max_cases": "2000",
    "evaluation.bootstrap_samples": "100",
}


class Size(NamedTuple):
    rows: int
    items: int
    users: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=500_000)
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/scale"))
    parser.add_argument("--growth", type=Path, metavar="FILE.svg", help="a hundredth and a tenth of it too, drawn")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()
    settings = [f"{key}={value}" for key, value in SETTINGS.items()] + arguments.settings
    found = {}
    for divisor in (100, 10, 1) if arguments.growth else (1,):
        size = Size(*(number // divisor for number in (arguments.rows, arguments.items, arguments.users)))
        found[size.rows] = measure(size, arguments.folder / str(size.rows), settings)
    if arguments.growth:
        panels = {
            title: {name: [(rows, each[name][place]) for rows, each in found.items()] for name in COMMANDS}
            for place, title in enumerate(("seconds", "peak GB"))
        }
        draw(arguments.growth, panels, "interactions", "seconds, GB")


def measure(size: Size, folder: Path, settings: list[str]) -> dict[str, tuple[float, float]]:
    """Seconds and peak GB of each command."""
    folder.mkdir(parents=True, exist_ok=True)
    table, run, models = folder / "interactions.parquet", folder / "run", folder / "models"
    if not table.is_file():
        write_table(table, size)
    print(f"\n{size.rows:,} interactions, {size.items:,} items, {size.users:,} users, {os.cpu_count()} cores\n")
    print(f"{markdown_row('command', 'seconds', 'peak GB', '')}\n{markdown_row('---', '--:', '--:', '---')}")
    options = [option for setting in settings for option in ("--set", setting)]
    found = {}

    def show(name: str, seconds: float, peak: float, told: str) -> None:
        found[name] = seconds, peak
        print(markdown_row(f"`tfrec.{name}`", f"{seconds:.1f}", f"{peak:.2f}", told), flush=True)

    took = command("tfrec.train", "--interactions", table, "--run", run, "--fresh", "--epochs", "1", *options)
    show("train", *took, f"the epoch and its validation {_seconds_of_epoch(run):.1f} s; {_megabytes(run)} MB")
    show("evaluate", *command("tfrec.evaluate", run), "")
    show("export", *command("tfrec.export", run, "--output", models, "--version", "1"), f"{_megabytes(models)} MB")
    show("serve", *serve(models, folder, size.items))
    return found


def write_table(path: Path, size: Size) -> None:
    """Users in no order, each interaction a second after the one before."""
    rows, items, users = size
    generator = np.random.default_rng(0)
    interests = generator.integers(items // INTEREST, size=(users, 3))
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, 1_000_000):
            count = min(1_000_000, rows - start)
            who = generator.integers(users, size=count)
            place = (generator.pareto(1.0, count) * 10).astype(np.int64) % INTEREST
            liked = interests[who, generator.integers(3, size=count)] * INTEREST + place
            what = np.where(generator.random(count) < 0.9, liked, generator.integers(items, size=count))
            columns = [who.astype(str), what.astype(str), np.arange(start, start + count)]
            writer.write(pa.record_batch([pa.array(column) for column in columns], schema=schema))


def command(module: str, *arguments: object) -> tuple[float, float]:
    """Seconds and peak GB of `python -m MODULE …`."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", module, *map(str, arguments)], stdout=sys.stderr)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{module} failed")
    return time.perf_counter() - started, usage.ru_maxrss / 2**20


def serve(models: Path, folder: Path, items: int) -> tuple[float, float, str]:
    """Seconds until the server answers, its GB then, and how long answers take."""
    from tfrec.serving.client import Client

    started = time.perf_counter()
    with Served(models, folder / "serve.log", []) as served, Client(served.target, MODEL_NAME) as client:
        served.wait_until_available()
        ready = time.perf_counter() - started
        taken = []
        for history in np.random.default_rng(0).integers(items, size=(50, 20)).astype(str):
            asked = time.perf_counter()
            client.recommend([history.tolist()])
            taken.append(1000 * (time.perf_counter() - asked))
        told = f"until it answers; an answer then: {statistics.median(taken):.1f} ms, the first {taken[0]:.1f}"
        return ready, served.megabytes() / 1024, told


def _megabytes(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:,.0f}"


def _seconds_of_epoch(run: Path) -> float:
    from tfrec.training.checkpoint import read_state

    seconds: float = read_state(run / "checkpoints" / "latest.npz")["seconds"][0]
    return seconds


if __name__ == "__main__":
    main()
