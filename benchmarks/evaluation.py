"""Evaluating over the whole catalogue: tfrec beside the bare matrix product and beside TFRS's FactorizedTopK.

    python benchmarks/evaluation.py [--users 6040] [--items 3706] [--dimensions 64] [--rounds 7] [--peers ranx=PYTHON]
    python benchmarks/evaluation.py --memory [--users 512] [--items 1000000]

Users and items are random vectors; each user has a history of 20 to 300 items and one target. All ways take turns; a
ratio is of the same round. The product is the least that anyone pays: of batches of 128 users, as tfrec scores them,
and of all users at once. `rank` and metrics are every metric at the cutoffs 10, 20 and 50, without seen items;
`evaluate` adds intervals of 1,000 resamples. TFRS ranks seen items too, knows one metric, and runs in a `tf.function`.

--peers are Pythons of other environments, here one in which `pip install ranx` was run: it is given the scores, and the
metrics of both are set side by side. --memory measures how much one evaluation adds to the process's peak.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # for TFRS

import numpy as np
from recorded_runs import markdown_row

from tfrec.config import EvaluationConfig
from tfrec.datasets.dataset import EvaluationSet
from tfrec.datasets.ragged import Ragged
from tfrec.evaluation import evaluate, rank
from tfrec.evaluation.metrics import METRICS

CONFIG = EvaluationConfig()
BATCH_SIZE = 128
PEERS = Path(__file__).parent / "evaluation_peers.py"


class Product:
    """Scores by the product of a user's and an item's vector."""

    name = "product"

    def __init__(self, users: np.ndarray, items: np.ndarray) -> None:
        self.users, self.items = users, items

    def score(self, users: np.ndarray, histories: Ragged) -> np.ndarray:
        scores: np.ndarray = self.users[users] @ self.items.T
        return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int)
    parser.add_argument("--items", type=int)
    parser.add_argument("--dimensions", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--peers", nargs="*", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--memory", action="store_true")
    arguments = parser.parse_args()
    num_users = arguments.users or (512 if arguments.memory else 6040)
    num_items = arguments.items or (1_000_000 if arguments.memory else 3706)
    generator = np.random.default_rng(0)
    users, items = (
        generator.standard_normal((number, arguments.dimensions), np.float32) for number in (num_users, num_items)
    )
    cases = _cases(generator, num_users, num_items)
    users += 0.3 * items[cases.targets.values]  # so that there is something to find
    recommender = Product(users, items)
    print(f"{num_users:,} users, {num_items:,} items, {arguments.dimensions} dimensions, {os.cpu_count()} cores\n")
    if arguments.memory:
        _measure_memory(recommender, cases, num_items)
        return
    _compare(recommender, cases, num_items, arguments.rounds)
    for peer in arguments.peers:
        name, _, python = peer.partition("=")
        _ask_peer(name, python, recommender, cases, num_items)


def _cases(generator: np.random.Generator, num_users: int, num_items: int) -> EvaluationSet:
    lengths = generator.integers(20, 300, num_users)
    drawn = [generator.choice(num_items, length + 1, replace=False, shuffle=False) for length in lengths]
    histories = Ragged.from_lengths(np.concatenate([row[1:] for row in drawn]).astype(np.int32), lengths)
    targets = Ragged.from_lengths(np.array([row[0] for row in drawn], np.int32), np.ones(num_users, np.int64))
    return EvaluationSet(np.arange(num_users, dtype=np.int32), histories, targets)


def _compare(recommender: Product, cases: EvaluationSet, num_items: int, rounds: int) -> None:
    starts = range(0, len(cases), BATCH_SIZE)

    def ranking_and_metrics() -> None:
        ranking = rank(recommender, cases, num_items, exclude_seen=True, top_k=max(CONFIG.cutoffs))
        for metric in METRICS.values():
            for k in CONFIG.cutoffs:
                metric(ranking.ranks, k).mean()

    product = "NumPy product, batches"
    ways: dict[str, Callable[[], Any]] = {
        product: lambda: [recommender.users[start : start + BATCH_SIZE] @ recommender.items.T for start in starts],
        "NumPy product, at once": lambda: recommender.users @ recommender.items.T,
        "tfrec rank and metrics": ranking_and_metrics,
        "tfrec evaluate": lambda: evaluate(recommender, cases, num_items, CONFIG),
        **_tfrs_ways(recommender, cases),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for round_number in range(rounds + 1):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            if round_number:  # The first warms up.
                seconds[name].append(time.perf_counter() - started)
    print(markdown_row("way", "seconds (range)", "times the product (range)", "TFRS Streaming / it (range)"))
    print(markdown_row("---", "--:", "--:", "--:"))
    for name, taken in seconds.items():
        of_product = [mine / theirs for mine, theirs in zip(taken, seconds[product], strict=True)]
        faster = [theirs / mine for mine, theirs in zip(taken, seconds["TFRS Streaming"], strict=True)]
        print(markdown_row(name, _spread(taken, 3), _spread(of_product, 2), _spread(faster, 1)))


def _tfrs_ways(recommender: Product, cases: EvaluationSet) -> dict[str, Callable[[], Any]]:
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    layers = tfrs.layers.factorized_top_k
    top_k = max(CONFIG.cutoffs)
    items = tf.constant(recommender.items)
    in_batches = tf.data.Dataset.from_tensor_slices(items).batch(BATCH_SIZE).cache()
    indices = {
        "TFRS Streaming": layers.Streaming(k=top_k).index_from_dataset(in_batches),
        "TFRS BruteForce": layers.BruteForce(k=top_k).index(items),
    }
    targets = recommender.items[cases.targets.values]
    asked = tf.data.Dataset.from_tensor_slices((recommender.users, targets)).batch(BATCH_SIZE).cache()

    def way(index: Any) -> Callable[[], Any]:
        metric = tfrs.metrics.FactorizedTopK(candidates=index, ks=CONFIG.cutoffs)

        @tf.function
        def update(users, right):  # type: ignore[no-untyped-def]
            metric.update_state(users, right)

        def run() -> list[float]:
            metric.reset_states()
            for users, right in asked:
                update(users, right)
            return [float(value) for value in metric.result()]

        return run

    return {name: way(index) for name, index in indices.items()}


def _spread(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def _measure_memory(recommender: Product, cases: EvaluationSet, num_items: int) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    evaluate(recommender, cases, num_items, CONFIG)
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"evaluate: {seconds:.1f} s; the peak grew by {(after - before) / 1024:.0f} MiB from {before / 1024:.0f} MiB")


def _ask_peer(name: str, python: str, recommender: Product, cases: EvaluationSet, num_items: int) -> None:
    scores = recommender.score(cases.users, cases.histories)
    scores[cases.histories.rows, cases.histories.values] = -np.inf
    top_k = max(CONFIG.cutoffs)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :top_k]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lists.npz"
        np.savez(file, items=order, scores=np.take_along_axis(scores, order, axis=1), targets=cases.targets.values)
        command = [python, str(PEERS), name, str(file), *map(str, CONFIG.cutoffs)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    told = json.loads(output.splitlines()[-1])
    metrics = evaluate(recommender, cases, num_items, CONFIG).metrics
    print()
    print(markdown_row("metric", "tfrec", told["name"], "difference"))
    print(markdown_row("---", "--:", "--:", "--:"))
    for metric, theirs in told["metrics"].items():
        ours = metrics[metric].mean
        print(markdown_row(metric, f"{ours:.8f}", f"{theirs:.8f}", f"{ours - theirs:.1e}"))


if __name__ == "__main__":
    main()
