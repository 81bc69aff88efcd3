"""Finding the nearest of a million items: tfrec's indices beside TFRS's BruteForce, and beside faiss and ScaNN.

    python benchmarks/index.py [--items 1000000] [--dimensions 64] [--runs RUN ...] [--peers faiss=PYTHON scann=PYTHON]
        [--growth FILE.svg] [--batches 1 32] [--rounds 5]

Without --runs the vectors are random, of length 1, and so are the queries: the worst case, in which nothing is like
anything, and lists are of no use. With --runs they are the items of trained runs, such as runs/movielens-1m/jd_tower,
and the queries their tested users. They are made more by interpolation (SMOTE; Chawla et al. 2002): a new item lies
somewhere between one of the run's and one of its ten nearest. --growth times each way from 10 thousand to 5 million
items, and draws the curves; of 128 dimensions it takes up to 12 GB of memory.

Ways take turns, some calls in a row each; a ratio is of the same round. --peers are Pythons of other environments, in
which `pip install faiss-cpu` or `pip install scann` was run: they do not go with TensorFlow here. Each is given the
same vectors, and as many probes as it takes to the recall of tfrec's lists.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from curves import draw
from recorded_runs import markdown_row

TOP_K = 100
NUM_QUERIES = 256
NEIGHBOURS = 10
SIZES = (10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 5_000_000)
PEERS = Path(__file__).parent / "index_peers.py"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, help="1 million if not given; with --growth at most, 5 million")
    parser.add_argument("--dimensions", type=int, default=64, help="of random vectors")
    parser.add_argument("--runs", type=Path, nargs="*", default=[])
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--growth", type=Path, metavar="FILE.svg", help="of one run, or of random vectors")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.growth and len(arguments.runs) > 1:
        parser.error(f"--growth draws the curves of one run. Received: {len(arguments.runs)} runs. Pass one at a time.")
    if arguments.peers and not arguments.runs:
        parser.error("--peers are asked for the recall of tfrec's lists. Pass --runs too.")
    most = arguments.items or (SIZES[-1] if arguments.growth else 1_000_000)
    sets: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if not arguments.runs:
        vectors = _unit(np.random.default_rng(0).normal(size=(most, arguments.dimensions)))
        sets["random"] = vectors, _unit(np.random.default_rng(1).normal(size=(NUM_QUERIES, arguments.dimensions)))
    for run in arguments.runs:
        vectors, queries = _of_run(run, arguments.data_root)
        sets[str(run)] = _grow(vectors, most), queries
    for name, (vectors, queries) in sets.items():
        panels: dict[str, dict[str, list[tuple[float, float]]]] = {f"batch of {size}": {} for size in arguments.batches}
        for number in [size for size in SIZES if size <= most] if arguments.growth else [len(vectors)]:
            print(f"\n{name}: {number:,} items, {vectors.shape[1]} dimensions\n", flush=True)
            timed = _compare(vectors[:number], queries, arguments)
            for size, curves in zip(arguments.batches, panels.values(), strict=True):
                for way, milliseconds in timed[size].items():
                    curves.setdefault(way, []).append((number, milliseconds))
            if arguments.growth:
                draw(arguments.growth, panels, f"items, {vectors.shape[1]} dimensions", "milliseconds")


def _compare(vectors: np.ndarray, queries: np.ndarray, arguments: argparse.Namespace) -> dict[int, dict[str, float]]:
    """Prints a table; milliseconds a call, by batch size and way."""
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    from tfrec.indices import build_index

    table = tf.Variable(np.concatenate([np.zeros((2, vectors.shape[1]), np.float32), vectors]))
    brute_force = tfrs.layers.factorized_top_k.BruteForce(k=TOP_K)
    brute_force.index(table[2:])
    ways: dict[str, Callable[[tf.Tensor], Any]] = {"TFRS BruteForce": tf.function(lambda asked: brute_force(asked)[1])}
    facts: dict[str, list[str]] = {"TFRS BruteForce": ["1", "", f"{vectors.nbytes / 1e6:.0f}"]}
    for kind in ("exact", "rounded", "lists") if arguments.runs else ("exact", "rounded"):
        started = time.perf_counter()
        built = build_index(table, queries, np.zeros([len(queries), 0], np.int32), TOP_K, kind)  # type: ignore[arg-type]
        seconds = time.perf_counter() - started
        index = built.index

        def find(asked: tf.Tensor, index: Any = index) -> tf.Tensor:
            return index(asked, tf.zeros([tf.shape(asked)[0], 0], tf.int32), TOP_K)[1]

        ways[kind] = tf.function(find)
        recall = built.facts.get(f"recall@{TOP_K}", 1.0)
        megabytes = sum(int(np.prod(each.shape)) * each.dtype.size for each in index.variables) / 1e6  # type: ignore[attr-defined]
        facts[kind] = [f"{recall:.4f}", f"{seconds:.1f}" if kind == "lists" else "", f"{megabytes:.0f}"]
    columns = [f"batch {size}: {what}" for what in ("ms", "times BruteForce") for size in arguments.batches]
    print(markdown_row("way", f"recall@{TOP_K}", "build s", "MB", *columns))
    print(markdown_row("---", *["--:"] * (3 + 2 * len(arguments.batches))))
    timed = {size: _time(ways, tf.constant(queries[:size]), arguments.rounds) for size in arguments.batches}
    medians = {size: {name: 1000 * statistics.median(timed[size][name]) for name in ways} for size in timed}
    for name in ways:
        cells = [f"{medians[size][name]:.2f}" for size in arguments.batches]
        for size in arguments.batches:
            rounds = zip(timed[size]["TFRS BruteForce"], timed[size][name], strict=True)
            ratios = [theirs / ours for theirs, ours in rounds]
            cells.append(f"{statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f})")
        print(markdown_row(name, *facts[name], *cells))
    for peer in arguments.peers:
        name, _, python = peer.partition("=")
        told = _ask_peer(name, python, vectors, queries, float(facts["lists"][0]), arguments)
        cells = [f"{told['ms'][str(size)]:.2f}" for size in arguments.batches]
        for size in arguments.batches:
            cells.append(f"{medians[size]['TFRS BruteForce'] / told['ms'][str(size)]:.1f}")
        print(
            markdown_row(told["name"], f"{told['recall']:.4f}", f"{told['build_s']:.1f}", f"{told['mb']:.0f}", *cells)
        )
    return medians


def _time(ways: dict[str, Callable[[Any], Any]], asked: Any, rounds: int) -> dict[str, list[float]]:
    """Seconds a call, the median of some in a row, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(rounds + 1):
        for name, find in ways.items():
            calls = []
            for _ in range(10):
                started = time.perf_counter()
                find(asked)
                calls.append(time.perf_counter() - started)
            if round_number:  # The first warms up.
                seconds[name].append(statistics.median(calls))
    return seconds


def _ask_peer(
    name: str, python: str, vectors: np.ndarray, queries: np.ndarray, recall: float, arguments: argparse.Namespace
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vectors.npz"
        np.savez(file, vectors=vectors, queries=queries)
        sizes = [str(size) for size in arguments.batches]
        command = [python, str(PEERS), name, str(file), str(recall), str(TOP_K), *sizes]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def _of_run(folder: Path, data_root: Path) -> tuple[np.ndarray, np.ndarray]:
    """The vectors of a run's items, and of some of its tested users."""
    from tfrec.features.prepared import Prepared
    from tfrec.features.vocabulary import NUM_SPECIAL
    from tfrec.models.retrieval_model import RetrievalRecommender
    from tfrec.training.run import Run
    from tfrec.training.trainer import load_model

    run = Run.open(folder)
    prepared = Prepared.load(run.prepared)
    recommender = RetrievalRecommender(load_model(run, prepared, data_root))
    test = prepared.split.test
    cases = np.random.default_rng(0).permutation(len(test))[:NUM_QUERIES]
    _, queries = recommender.read(test.users[cases], test.histories.take(cases))
    return recommender.item_vectors.numpy()[NUM_SPECIAL:], queries.numpy()


def _grow(vectors: np.ndarray, number: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    products = vectors @ vectors.T
    np.fill_diagonal(products, -np.inf)
    nearest = np.argpartition(-products, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    one = generator.integers(len(vectors), size=number - len(vectors))
    other = nearest[one, generator.integers(NEIGHBOURS, size=len(one))]
    share = generator.random((len(one), 1), dtype=np.float32)
    between = _unit(vectors[one] + share * (vectors[other] - vectors[one]))
    return generator.permutation(np.concatenate([vectors, between]))


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
