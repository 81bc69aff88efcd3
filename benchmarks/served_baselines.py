"""Every baseline of a comparison in production: what it weighs and how long the embedded server takes to answer.

    python -m tfrec.compare movielens-100k/two_tower
    python benchmarks/served_baselines.py runs/compare/movielens-100k/two_tower

Each is exported with the hyperparameters that were chosen, served by a process of its own, and asked over gRPC for one
history of 1 to 50 random items at a time, then for 32. Prints a table, with the milliseconds of the quickest tenth of
the requests and of the median.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from recorded_runs import markdown_row
from served import MODEL_NAME, Served

NUM_REQUESTS = {1: 200, 32: 40}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--baseline", action="append")
    arguments = parser.parse_args()

    from tfrec.artifacts.baseline_export import export_baseline
    from tfrec.config import BASELINE_NAMES, HYBRID_NAMES, NOT_SERVED
    from tfrec.leaderboard import read_results
    from tfrec.training.run import comparison_config

    known = read_results(arguments.folder)
    monitor = comparison_config(arguments.folder).evaluation.monitor
    names = arguments.baseline or [name for name in (*BASELINE_NAMES, *HYBRID_NAMES) if name in known]
    print(markdown_row("", f"{monitor} as served", "MB", "ms, 1 history", "ms, 32 histories"))
    print(markdown_row("---", "--:", "--:", "--:", "--:"))
    for name in names:
        if name in NOT_SERVED:
            continue
        with tempfile.TemporaryDirectory() as folder:
            version = export_baseline(arguments.folder, name, arguments.data_root, Path(folder) / "model")
            card = json.loads((version / "assets.extra" / "model.json").read_text(encoding="utf-8"))
            size = sum(path.stat().st_size for path in version.rglob("*") if path.is_file())
            seconds = asked(version)
        measured = card["metrics"]["metrics"][monitor]["mean"]
        # Where other work goes on, the quickest tenth says more of the model and the median of the machine.
        times = ["–".join(f"{1000 * np.quantile(seconds[batch], q):.1f}" for q in (0.1, 0.5)) for batch in NUM_REQUESTS]
        print(markdown_row(f"`{name}`", f"{measured:.4f}", f"{size / 1e6:.1f}", *times), flush=True)


def asked(version: Path) -> dict[int, list[float]]:
    """Seconds of each request, by how many histories it has."""
    from tfrec.serving.client import Client

    titles = (version / "assets.extra" / "titles.tsv").read_text(encoding="utf-8").splitlines()[1:]
    ids = [line.partition("\t")[0] for line in titles]
    generator = np.random.default_rng(0)
    seconds: dict[int, list[float]] = {}
    with Served(version.parent, version.parent / "log", []) as server, Client(server.target, MODEL_NAME, 60) as client:
        client.wait_until_available(180)
        for batch, count in NUM_REQUESTS.items():
            seconds[batch] = []
            for _ in range(count):
                histories = [
                    generator.choice(ids, generator.integers(1, 51), replace=False).tolist() for _ in range(batch)
                ]
                start = time.perf_counter()
                client.recommend(histories)
                seconds[batch].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
