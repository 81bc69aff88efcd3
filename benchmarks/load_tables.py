"""Seconds and peak memory of reading, validating and splitting a large table of interactions, beside pandas.

    python benchmarks/load_tables.py [--rows 20000000] [--rounds 3] [--folder /tmp]

Each step runs in a process of its own, so that its peak is its own; tfrec and pandas take turns. The table has as many
users and items for its rows as MovieLens 20M, in no order. pandas reads, factorizes, sorts and divides it by each
user's last interactions, as people do; it checks for missing values and nothing else.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
from recorded_runs import markdown_row

SPLITS = ("leave_last_out", "global_time", "cold_items")


def write_table(path: Path, rows: int) -> None:
    generator = np.random.default_rng(0)
    schema = pa.schema([("user_id", pa.string()), ("item_id", pa.string()), ("timestamp", pa.int64())])
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for start in range(0, rows, 1_000_000):
            count = min(1_000_000, rows - start)
            users = generator.integers(rows // 145 + 1, size=count)
            items = (generator.pareto(1.0, count) * 100).astype(np.int64) % (rows // 740 + 1)
            columns = [users.astype(str), items.astype(str), generator.integers(1_000_000_000, 1_500_000_000, count)]
            writer.write(pa.record_batch([pa.array(column) for column in columns], schema=schema))


def run_tfrec(path: Path, kind: str) -> tuple[float, float]:
    """Seconds of loading and of a split."""
    from tfrec.config import DataConfig, SplitConfig, TableConfig
    from tfrec.datasets import load_dataset, split_dataset

    started = time.perf_counter()
    dataset = load_dataset(DataConfig(interactions=TableConfig(path=path)), path.parent)
    loaded = time.perf_counter()
    split_dataset(dataset, SplitConfig(kind=kind))
    return loaded - started, time.perf_counter() - loaded


def run_pandas(path: Path) -> tuple[float, float]:
    """The same of the last interactions of each user."""
    import pandas as pd

    started = time.perf_counter()
    frame = pd.read_csv(path, dtype={"user_id": str, "item_id": str})
    if frame.isna().to_numpy().any():
        raise ValueError("Expected no missing values.")
    for role in ("user", "item"):
        frame[role], _ = pd.factorize(frame[f"{role}_id"])
    loaded = time.perf_counter()
    frame = frame.sort_values(["user", "timestamp"], kind="stable")
    by_user = frame.groupby("user")
    from_end, lengths = by_user.cumcount(ascending=False), by_user["user"].transform("size")
    targets = [frame[(from_end == place) & (lengths >= 3)] for place in (0, 1)]
    training = frame[(from_end >= 2) | (lengths < 3)].groupby("user")["item"].agg(list)
    seconds = time.perf_counter() - loaded
    if sum(map(len, targets)) + training.map(len).sum() != len(frame):
        raise ValueError("Expected each interaction in one part.")
    return loaded - started, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the table is written; a temporary folder")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "WAY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        file, way = arguments.measure
        load, split = run_pandas(Path(file)) if way == "pandas" else run_tfrec(Path(file), way)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"load": load, "split": split, "both": load + split, "peak": peak}))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "interactions.csv"
        write_table(path, arguments.rows)
        print(f"{arguments.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB\n")
        _compare(path, arguments.rounds)


def _compare(path: Path, rounds: int) -> None:
    ways = ("pandas", *SPLITS)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            command = [sys.executable, __file__, "--measure", str(path), way]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            found[way].append(json.loads(output))
    print(markdown_row("way", "load s", "split s", "pandas / it", "peak GB", "of pandas"))
    print(markdown_row("---", *["--:"] * 5))
    for way, each in found.items():
        ratios = [theirs["both"] / ours["both"] for theirs, ours in zip(found["pandas"], each, strict=True)]
        load, split, peak, theirs = (
            statistics.median(one[what] for one in of)
            for of, what in ((each, "load"), (each, "split"), (each, "peak"), (found["pandas"], "peak"))
        )
        quicker = f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})"
        print(markdown_row(way, f"{load:.1f}", f"{split:.1f}", quicker, f"{peak:.2f}", f"{peak / theirs:.2f}"))


if __name__ == "__main__":
    main()
