"""Where the time goes from a table to a served answer: every stage of one recipe, its seconds, memory and floor.

    python benchmarks/stages.py movielens-100k/two_tower [--data-root data] [--steps 50] [--rounds 5] [--set KEY=VALUE]

A stage is timed by itself, `--rounds` times where it can be repeated. Its floor is what nobody can do without: of
encoding, the backbone's own pass over tokens that are there; of training, the step on a batch that is there; of
evaluation, the bare product. Input and training run alone and together: where the pipeline is much quicker than the
step, both together take what the step takes. Models with a recipe of clicks have other stages; they are refused.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from recorded_runs import markdown_row

from tfrec.cli import parse_settings, start_tensorflow
from tfrec.config import Config


class Table:
    """The stages, as they are measured."""

    def __init__(self) -> None:
        print(markdown_row("stage", "seconds (range)", "of what", "times its floor", "peak GB"))
        print(markdown_row("---", "--:", "---", "--:", "--:"))

    def add(self, stage: str, seconds: list[float], what: str = "", floor: list[float] | None = None) -> None:
        """`floor`: seconds of the same rounds."""
        ratio = ""
        if floor:
            ratios = [mine / least for mine, least in zip(seconds, floor, strict=True)]
            ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        spread = f" ({min(seconds):.3f} to {max(seconds):.3f})" if len(seconds) > 1 else ""
        print(markdown_row(stage, f"{statistics.median(seconds):.3f}{spread}", what, ratio, f"{peak:.2f}"), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    arguments = parser.parse_args()
    config = Config.load(arguments.recipe, parse_settings(arguments.settings))
    if config.ranks or config.backbone.is_trained:
        raise SystemExit("Expected a recipe that retrieves, with a frozen backbone.")
    table, rounds = Table(), arguments.rounds
    for stage, command in {
        "python -m tfrec.train --help": [sys.executable, "-m", "tfrec.train", "--help"],
        "importing TensorFlow": [sys.executable, "-c", "import tfrec, tensorflow"],
    }.items():
        seconds = _times(lambda command=command: subprocess.run(command, check=True, capture_output=True), rounds)
        table.add(stage, seconds)
    start_tensorflow()
    data = _data_stages(table, config, arguments.data_root, rounds)
    model, prepared = _training_stages(table, config, data, arguments)
    _evaluation_stage(table, config, model, prepared, rounds)
    _serving_stages(table, config, model, prepared, arguments)


def _data_stages(table: Table, config: Config, data_root: Path, rounds: int) -> Any:
    import tensorflow as tf

    from tfrec.backbones.resolve import load_text_encoder
    from tfrec.datasets import history_context, load_dataset, split_dataset
    from tfrec.features.text import item_texts
    from tfrec.training.prepare import prepare

    load_dataset(config.data, data_root)  # Fetched, if need be.
    loaded: list[Any] = []
    seconds = _times(lambda: loaded.append(load_dataset(config.data, data_root)), rounds)
    dataset = loaded[-1].positives(config.data.events)
    table.add("read and validate", seconds, f"{len(dataset.interactions):,} interactions")
    context = history_context(dataset, config.features)
    splits: list[Any] = []
    table.add("split", _times(lambda: splits.append(split_dataset(dataset, config.split, context)), rounds))
    texts = item_texts(dataset, config.features.text_template) if config.model.use_text else None
    if texts is not None:
        encoder = load_text_encoder(config.backbone, data_root)
        some = texts[: config.backbone.batch_size]
        tokenize, encode = tf.function(encoder.tokenize), tf.function(encoder)
        of_tokens = tf.function(encoder.encode_tokens)
        tokens = tokenize(tf.constant(some))
        steps = [lambda: tokenize(tf.constant(some)), lambda: of_tokens(tokens), lambda: encode(tf.constant(some))]
        tokenizing, passing, encoding = _in_turn(steps, rounds)
        table.add("tokenise", tokenizing, f"{len(some)} texts")
        table.add("encode", encoding, f"{len(some)} texts", passing)
    arrays = (dataset, splits[-1], texts, config, data_root)
    prepare(*arrays)  # The texts' vectors are kept from here on.
    prepared: list[Any] = []
    table.add("prepare, vectors kept", _times(lambda: prepared.append(prepare(*arrays)), rounds))
    return prepared[-1]


def _training_stages(table: Table, config: Config, prepared: Any, arguments: argparse.Namespace) -> Any:
    import keras

    from tfrec.models import build_model
    from tfrec.training.trainer import _compile, set_up_devices

    set_up_devices(config)
    keras.utils.set_random_seed(config.training.seed)
    started = time.perf_counter()
    model = build_model(config, prepared, None)
    examples = model.examples(config.features, prepared)
    batch_size = examples.fitting_batch_size(config.training.batch_size, 1)
    _compile(model, config, 1000)
    table.add("build the model", [time.perf_counter() - started])
    steps = min(arguments.steps, examples.num_batches(batch_size))
    started = time.perf_counter()
    batches = iter(examples.dataset(batch_size, 0, 0, 1_000_000))
    batch = next(batches)
    kept = [next(batches) for _ in range(steps)]
    model.make_train_function()
    step = model.train_function
    step(iter([batch]))
    table.add("first step", [time.perf_counter() - started])

    ways = [
        lambda: [next(batches) for _ in range(steps)],
        lambda: [step(iter([each])) for each in kept],
        lambda: [step(batches) for _ in range(steps)],
    ]
    reading, training, together = _in_turn(ways, arguments.rounds)
    what = f"{steps} batches of {batch_size}"
    table.add("input pipeline alone", reading, what, training)
    table.add("train step alone", training, what)
    table.add("both together", together, what, training)
    return model, prepared


def _evaluation_stage(table: Table, config: Config, model: Any, prepared: Any, rounds: int) -> None:
    from tfrec.evaluation import evaluate
    from tfrec.models.retrieval_model import RetrievalRecommender

    recommender, cases = RetrievalRecommender(model), prepared.split.test
    items = recommender.item_vectors.numpy()[2:]
    users = np.random.default_rng(0).standard_normal((len(cases), items.shape[1]), np.float32)
    chosen = (cases, model.num_items, config.evaluation, prepared.split.candidates)
    starts = range(0, len(cases), 128)
    ways: list[Callable[[], Any]] = [
        lambda: [users[start : start + 128] @ items.T for start in starts],
        lambda: [recommender.score(cases.users[start : start + 128], _rows(cases, start)) for start in starts],
        lambda: evaluate(recommender, *chosen),
    ]
    product, scoring, evaluating = _in_turn(ways, rounds)
    what = f"{len(cases):,} cases, {model.num_items:,} items"
    table.add("score the test cases", scoring, what, product)
    table.add("evaluate them", evaluating, what, scoring)


def _rows(cases: Any, start: int) -> Any:
    return cases.histories.take(np.arange(start, min(start + 128, len(cases))))


def _serving_stages(table: Table, config: Config, model: Any, prepared: Any, arguments: argparse.Namespace) -> None:
    from tfrec.artifacts.signatures import Signatures
    from tfrec.artifacts.version import write_version
    from tfrec.backbones.resolve import load_text_encoder
    from tfrec.serving.servable import Servable
    from tfrec.serving.warmup import warm_up

    encoder = None
    if config.model.use_text:
        encoder = load_text_encoder(config.backbone, arguments.data_root, prepared.text_encoder_key)
    test = prepared.split.test
    histories = [prepared.items.ids[test.histories[case]].tolist() for case in range(min(6, len(test)))]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        signatures = Signatures(model, prepared, encoder)
        examples = signatures.examples(histories)
        path = write_version(signatures, examples, prepared.titles, {}, Path(folder) / "model", 1)
        seconds = time.perf_counter() - started
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        table.add("export, with its checks", [seconds], f"{size / 2**20:.0f} MiB")
        loads, warmings, answers = [], [], []
        asked = {name: array[:1] for name, array in examples["recommend"].items()}
        for _ in range(arguments.rounds):
            started = time.perf_counter()
            servable = Servable("model", 1, path)
            loads.append(time.perf_counter() - started)
            warmings += _times(lambda: warm_up(servable), 1)  # noqa: B023
            answers += _times(lambda: servable.predict("recommend", asked), 1)  # noqa: B023
            servable.close()
        table.add("load", loads)
        table.add("warm up", warmings)
        table.add("an answer then", answers, "1 history")


def _times(run: Callable[[], Any], rounds: int) -> list[float]:
    return _in_turn([run], rounds)[0]


def _in_turn(ways: list[Callable[[], Any]], rounds: int) -> list[list[float]]:
    """Seconds of each way, round by round; a first one warms up where there are several ways."""
    seconds: list[list[float]] = [[] for _ in ways]
    for round_number in range(rounds + (len(ways) > 1)):
        for way, taken in zip(ways, seconds, strict=True):
            started = time.perf_counter()
            way()
            if round_number or len(ways) == 1:
                taken.append(time.perf_counter() - started)
    return seconds


if __name__ == "__main__":
    main()
