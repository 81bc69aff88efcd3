"""Seconds and peak memory of reading and dividing interactions in many Parquet files, file by file and all at once.

    python benchmarks/load_files.py [--rows 20000000] [--at-once 10000000] [--rounds 3] [--folder /tmp]

Each way runs in a process of its own, and they take turns. Memory is what the process holds for itself (RssAnon of
Linux, looked at ten times a second), without pages of files, which the system takes back when it needs them. The table
is that of load_tables.py, in files of two million rows. Wants 80 bytes of disk a row.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from recorded_runs import markdown_row

ROWS_OF_A_FILE = 2_000_000


def write_files(folder: Path, rows: int) -> None:
    generator = np.random.default_rng(0)
    for number, start in enumerate(range(0, rows, ROWS_OF_A_FILE)):
        count = min(ROWS_OF_A_FILE, rows - start)
        columns = {
            "user_id": generator.integers(rows // 145 + 1, size=count).astype(str),
            "item_id": ((generator.pareto(1.0, count) * 100).astype(np.int64) % (rows // 740 + 1)).astype(str),
            "timestamp": generator.integers(1_000_000_000, 1_500_000_000, count),
        }
        pyarrow.parquet.write_table(pa.table(columns), folder / f"{number:05}.parquet")


def read_and_divide(files: Path, at_once: int, folder: Path) -> dict[str, float]:
    from tfrec.config import Config
    from tfrec.datasets import load_positives, split_dataset

    settings = {
        "data.source": "tables",
        "data.interactions.path": str(files),
        "features.interactions_at_once": at_once,
        "split.max_cases": 1000,
    }
    config = Config.load(None, settings)
    peak = 0.0

    def watch() -> None:
        nonlocal peak
        while True:
            found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
            peak = max(peak, int(found[1]) / 2**20 if found else 0.0)
            time.sleep(0.1)

    threading.Thread(target=watch, daemon=True).start()
    started = time.perf_counter()
    dataset = load_positives(config, files.parent, folder)
    loaded = time.perf_counter()
    split = split_dataset(dataset, config.split, (), None if dataset.log is None else folder)
    ended = time.perf_counter()
    assert len(split.train.values)
    return {"load": loaded - started, "split": ended - loaded, "both": ended - started, "peak": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--at-once", type=int, default=10_000_000, help="rows in memory, file by file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=None, help="where the files are written; a temporary folder")
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "AT_ONCE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        files, at_once = arguments.measure
        with tempfile.TemporaryDirectory(dir=Path(files).parent) as scratch:
            print(json.dumps(read_and_divide(Path(files), int(at_once), Path(scratch))))
        return
    ways = {"in memory": arguments.rows, "file by file": arguments.at_once}
    found: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        files = Path(folder) / "files"
        files.mkdir()
        write_files(files, arguments.rows)
        for _ in range(arguments.rounds):
            for way, at_once in ways.items():
                command = [sys.executable, __file__, "--measure", str(files), str(at_once)]
                output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
                found[way].append(json.loads(output.splitlines()[-1]))
    print(markdown_row("way", "load s", "split s", "of the seconds in memory", "GB", "of the GB in memory"))
    print(markdown_row("---", *["--:"] * 5))
    for way, each in found.items():
        seconds, memory = (
            [mine[what] / theirs[what] for mine, theirs in zip(each, found["in memory"], strict=True)]
            for what in ("both", "peak")
        )
        load, split, peak = (statistics.median(one[what] for one in each) for what in ("load", "split", "peak"))
        slower = f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
        print(
            markdown_row(way, f"{load:.1f}", f"{split:.1f}", slower, f"{peak:.2f}", f"{statistics.median(memory):.2f}")
        )


if __name__ == "__main__":
    main()
