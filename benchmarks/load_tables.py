"""Seconds and peak memory of reading, validating and splitting a large table of interactions.

    python benchmarks/load_tables.py [--rows 20000000] [--folder /tmp]

Each step runs in a process of its own, so that its peak is its own. The table has as many users and items for its rows
as MovieLens 20M.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

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


def measure(path: Path, kind: str | None) -> dict[str, float]:
    """Loads, and splits if a kind is given; in this process."""
    from tfrec.config import DataConfig, SplitConfig, TableConfig
    from tfrec.datasets import load_dataset, split_dataset

    started = time.perf_counter()
    dataset = load_dataset(DataConfig(interactions=TableConfig(path=path)), path.parent)
    seconds = time.perf_counter() - started
    if kind is not None:
        started = time.perf_counter()
        split_dataset(dataset, SplitConfig(kind=kind))
        seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the table is written; a temporary folder")
    parser.add_argument("--measure", nargs=2, metavar=("FILE", "SPLIT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        file, kind = arguments.measure
        print(json.dumps(measure(Path(file), None if kind == "load" else kind)))
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path = Path(folder) / "interactions.csv"
        write_table(path, arguments.rows)
        print(f"{arguments.rows:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        print(f"{'step':<16}{'seconds':>9}{'peak GB':>9}")
        for step in ("load", *SPLITS):
            command = [sys.executable, __file__, "--measure", str(path), step]
            result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            print(f"{step:<16}{result['seconds']:>9.1f}{result['peak_gb']:>9.2f}", flush=True)


if __name__ == "__main__":
    main()
