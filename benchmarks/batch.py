"""Recommending for all users and encoding all items: Beam's local runner beside a plain loop in one process.

    python benchmarks/batch.py --model saved_models/films --interactions data/ml-1m/ratings.parquet \\
        --column item_id=movie_id --column timestamp=pos --items data/ml-1m/movies.csv [--rounds 3]
    python benchmarks/batch.py --model saved_models/films --recipe movielens-100k/two_tower [--data-root data]

Needs Beam: see docs/batch.md. With --recipe the tables are of its data. Each run is a process of its own, from its
start to its last file; the ways take turns.
The loop reads the table with pandas, makes the same requests in batches of the same size, asks the same SavedModel and
writes one Parquet file. The peak is of the proportional memory of all processes of a run, looked at five times a
second. The answers of all ways are compared.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
from recorded_runs import markdown_row

BATCH_SIZE = 128
TWO = ["--direct_num_workers=2", "--direct_running_mode=multi_processing"]
WAYS: dict[str, list[str] | None] = {
    "loop": None,
    "Beam, one process": [],
    "Beam, two processes": TWO,
}


def loop_recommend(model: str, interactions: str, columns: dict[str, str], output: Path) -> None:
    from tfrec.batch.model import LoadedModel, ModelVersion
    from tfrec.serving.inputs import recommend_inputs
    from tfrec.serving.rows import ranking

    version = ModelVersion.find(model)
    signature, loaded = version.signature("recommend"), LoadedModel(version, "recommend")
    read = pd.read_parquet if interactions.endswith("parquet") else pd.read_csv
    frame = read(interactions, columns=list(columns.values())) if read is pd.read_parquet else read(interactions)
    frame = frame.rename(columns={name: role for role, name in columns.items()})
    frame = frame.sort_values(["user_id", "timestamp"], kind="stable")
    users = frame.groupby("user_id", sort=False)["item_id"].agg(list)
    ids, histories = users.index.astype(str).tolist(), [list(map(str, items)) for items in users]
    found = []
    for start in range(0, len(ids), BATCH_SIZE):
        inputs = signature.check(recommend_inputs(signature, histories[start : start + BATCH_SIZE]))
        found += ranking(loaded.ask(inputs), None)
    columns_out = {
        "user_id": ids,
        "item_ids": [[item for item, _ in items] for items in found],
        "scores": [[score for _, score in items] for items in found],
    }
    pyarrow.parquet.write_table(pa.table(columns_out), output / "recommendations-loop.parquet", compression="zstd")


def loop_encode(model: str, items: str, item_id: str, output: Path) -> None:
    import numpy as np

    from tfrec.batch.model import LoadedModel, ModelVersion
    from tfrec.features.text import render_texts

    version = ModelVersion.find(model)
    loaded = LoadedModel(version, "embed_item")
    frame = pd.read_csv(items, dtype=str, encoding="utf-8")
    template = version.text_template() or ""
    texts = [text.encode() for text in render_texts(frame, (), template)]
    parts = [
        loaded.ask({"text": np.array(texts[start : start + BATCH_SIZE], object)})["embedding"]
        for start in range(0, len(texts), BATCH_SIZE)
    ]
    table = pa.table({"item_id": frame[item_id].tolist(), "vector": [*np.concatenate(parts)]})
    pyarrow.parquet.write_table(table, output / "vectors-loop.parquet", compression="zstd")


def columns_of(arguments: argparse.Namespace) -> dict[str, str]:
    """Which column has which role."""
    columns = {"user_id": "user_id", "item_id": "item_id", "timestamp": "timestamp"}
    return columns | dict(entry.split("=", 1) for entry in arguments.column)


def measure(command: list[str]) -> tuple[float, float]:
    """Seconds, and the peak of memory in GB."""
    started, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    os.set_blocking(process.stderr.fileno(), False)
    told = b""
    while process.poll() is None:
        peak = max(peak, memory_gb(process.pid))
        told += process.stderr.read() or b""
        time.sleep(0.2)
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError((told + (process.stderr.read() or b"")).decode(errors="replace")[-3000:])
    return seconds, peak


def memory_gb(session: int) -> float:
    """The proportional memory of all processes that a session has."""
    total = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session:  # behind the name: state, parent, group, session
                continue
            rollup = (folder / "smaps_rollup").read_text()
        except OSError:
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 2**20


def answers(folder: Path) -> pd.DataFrame:
    frame = pd.concat(pd.read_parquet(path) for path in sorted(folder.glob("*.parquet")))
    return frame.sort_values(frame.columns[0]).reset_index(drop=True)


def agree(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """The share of rows with the same lists: ids exactly, numbers to 1e-4."""
    keys, values = first.columns[0], first.columns[1]
    if first[keys].tolist() != second[keys].tolist():
        return 0.0
    pairs = zip(first[values], second[values], strict=True)
    if values == "item_ids":
        return statistics.fmean(list(one) == list(other) for one, other in pairs)
    return statistics.fmean(float(abs(one - other).max()) < 1e-4 for one, other in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--interactions")
    parser.add_argument("--items")
    parser.add_argument("--recipe", help="instead of --interactions and --items")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--column", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=("recommend", "encode"), help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    columns = columns_of(arguments)
    if arguments.loop == "recommend":
        return loop_recommend(arguments.model, arguments.interactions, columns, arguments.output)
    if arguments.loop == "encode":
        return loop_encode(arguments.model, arguments.items, columns["item_id"], arguments.output)

    if importlib.util.find_spec("apache_beam") is None:
        sys.exit("Expected Apache Beam. Received: an environment without it. docs/batch.md says how to make one.")
    if not arguments.recipe and not (arguments.interactions and arguments.items):
        parser.error("expected --recipe, or --interactions and --items")
    with tempfile.TemporaryDirectory() as folder:
        if arguments.recipe:
            write_tables(arguments, Path(folder))
        compare(arguments)
    return None


def write_tables(arguments: argparse.Namespace, folder: Path) -> None:
    """Writes the recipe's tables, and names them in the arguments."""
    from tfrec.config import Config
    from tfrec.datasets import load_dataset

    dataset = load_dataset(Config.load(arguments.recipe, {}).data, arguments.data_root)
    arguments.interactions, arguments.items = str(folder / "interactions.parquet"), str(folder / "items.csv")
    dataset.interactions[["user_id", "item_id", "timestamp"]].to_parquet(arguments.interactions)
    dataset.items.to_csv(arguments.items, index=False)


def compare(arguments: argparse.Namespace) -> None:
    """Every job by every way, round by round, and the table."""
    tables = ["--interactions", arguments.interactions, "--items", arguments.items]
    tables += [f"--column={each}" for each in arguments.column]
    print(markdown_row("job", "way", "rows", "s", "rows / s", "times the loop", "peak GB", "same answers"))
    print(markdown_row("---", "---", *["--:"] * 6))
    jobs = {
        "recommend": ["--interactions", arguments.interactions, *(f"--column={each}" for each in arguments.column)],
        "encode": ["--items", arguments.items, f"--column=item_id={columns_of(arguments)['item_id']}"],
    }
    for job, table in jobs.items():
        runs: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
        found: dict[str, pd.DataFrame] = {}
        for _ in range(arguments.rounds):
            for way, options in WAYS.items():
                with tempfile.TemporaryDirectory() as folder:
                    if options is None:
                        command = [sys.executable, __file__, "--model", arguments.model, *tables]
                        command += ["--loop", job, "--output", folder]
                    else:
                        command = [sys.executable, "-m", "tfrec.batch", job, "--model", arguments.model, *table]
                        command += [f"--batch-size={BATCH_SIZE}", "--output", folder, "--", *options]
                    runs[way].append(measure(command))
                    found[way] = answers(Path(folder))
        for way, measured in runs.items():
            seconds = statistics.median(each[0] for each in measured)
            ratios = [ours[0] / loop[0] for ours, loop in zip(measured, runs["loop"], strict=True)]
            times = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            rows, peak = len(found[way]), max(each[1] for each in measured)
            same = agree(found["loop"], found[way])
            cells = [f"{rows:,}", f"{seconds:.1f}", f"{rows / seconds:,.0f}", times, f"{peak:.2f}", f"{same:.4f}"]
            print(markdown_row(job, way, *cells), flush=True)


if __name__ == "__main__":
    main()
