"""Where the time of each stage goes, from the table to a served answer: a flame graph, and TensorFlow's operations.

    python benchmarks/profiles.py --data-root data [--stages read jd_tower_step] [--recipe movielens-1m/jd_tower]
        [--seconds 10] [--folder runs/benchmarks/profiles] [--py-spy FILE]

Each stage runs in a process of its own under py-spy (pip install py-spy): what it needs is made first and not counted,
then it is repeated for some seconds, sampled a hundred times a second, waiting included; of `serve`, which answers a
few dozen requests a second of another process, what its threads compute. Then it is done once more under TensorFlow's
profiler. Left in --folder: STAGE.svg, STAGE.raw (py-spy's stacks) and STAGE.operations (tensorboard --logdir).

Shares of Python's functions are of the stage's time, with all that they call; "itself" are the innermost frames.
Shares of operations are of the time of all operations over all threads. `two_tower_step` is of ids alone, of MovieLens
100K; all others are of --recipe, which must be one that retrieves.
"""

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from flame_graph import Stacks, draw_flames
from operations_profile import operation_times, profiling
from recorded_runs import markdown_row
from served import MODEL_NAME

from tfrec.config import Config

TWO_TOWER = "movielens-100k/two_tower"
SAMPLES = 100
"""A second."""
REQUESTS = 30.0
"""A second, of which even a busy machine refuses none."""
NOT_ANSWERING = re.compile(r"profiles\.py|Manager\._watch|;_worker \([^;]*$|;Condition\.wait \([^;]*$")
"""Of a server: its start, its loads, and what waits for work but looks busy."""
STEPS = 10
MOST = 6
"""Lines of each list."""


class Material:
    """What stages need, made when one asks for it."""

    def __init__(self, recipe: str, data_root: Path, settings: dict[str, Any] | None = None) -> None:
        from tfrec.training.trainer import set_up_devices

        self.config = Config.load(recipe, settings or {})
        if self.config.ranks or self.config.backbone.is_trained:
            raise SystemExit("Expected a recipe that retrieves, with a frozen backbone.")
        self.data_root = data_root
        self.folder = tempfile.TemporaryDirectory()
        self.server: Any = None
        set_up_devices(self.config)

    def load(self) -> Any:
        from tfrec.datasets import load_dataset

        return load_dataset(self.config.data, self.data_root)

    @cached_property
    def dataset(self) -> Any:
        return self.load().positives(self.config.data.events)

    @cached_property
    def split(self) -> Any:
        return self.divide()

    def divide(self) -> Any:
        from tfrec.datasets import history_context, split_dataset

        dataset = self.dataset
        return split_dataset(dataset, self.config.split, history_context(dataset, self.config.features))

    @cached_property
    def texts(self) -> list[str] | None:
        from tfrec.features.text import item_texts

        return item_texts(self.dataset, self.config.features.text_template) if self.config.model.use_text else None

    @cached_property
    def encoder(self) -> Any:
        from tfrec.backbones.resolve import load_text_encoder

        return load_text_encoder(self.config.backbone, self.data_root) if self.config.model.use_text else None

    @cached_property
    def prepared(self) -> Any:
        return self.prepare()

    def prepare(self) -> Any:
        from tfrec.training.prepare import prepare

        return prepare(self.dataset, self.split, self.texts, self.config, self.data_root)

    @cached_property
    def model(self) -> Any:
        import keras

        from tfrec.models import build_model

        keras.utils.set_random_seed(self.config.training.seed)
        return build_model(self.config, self.prepared, None)

    @cached_property
    def batches(self) -> Any:
        examples = self.model.examples(self.config.features, self.prepared)
        batch_size = examples.fitting_batch_size(self.config.training.batch_size, 1)
        return iter(examples.dataset(batch_size, 0, 0, 1_000_000))

    @cached_property
    def signatures(self) -> Any:
        from tfrec.artifacts.signatures import Signatures

        return Signatures(self.model, self.prepared, self.encoder)

    @cached_property
    def examples(self) -> Any:
        test = self.prepared.split.test
        return self.signatures.examples([self.prepared.items.ids[test.histories[case]].tolist() for case in range(6)])

    @cached_property
    def version(self) -> Path:
        return self.export(1)

    def export(self, number: int) -> Path:
        from tfrec.artifacts.version import write_version

        titles, folder = self.prepared.titles, Path(self.folder.name) / "model"
        return write_version(self.signatures, self.examples, titles, {}, folder, number)


def _split(material: Material) -> Callable[[], object]:
    material.divide()  # What it is of is read.
    return material.divide


def _vocabulary(material: Material) -> Callable[[], object]:
    material.prepare()  # The texts' vectors are kept from here on.
    return material.prepare


def _tokenise(material: Material) -> Callable[[], object]:
    import tensorflow as tf

    texts = tf.constant(material.texts)
    tokenize = tf.function(material.encoder.tokenize)
    return lambda: tokenize(texts)


def _encode(material: Material) -> Callable[[], object]:
    import tensorflow as tf

    texts = tf.constant((material.texts or [])[: material.config.backbone.batch_size])
    encode = tf.function(material.encoder)
    return lambda: encode(texts)


def _input(material: Material) -> Callable[[], object]:
    batches = material.batches
    return lambda: [next(batches) for _ in range(STEPS)]


def _step(material: Material) -> Callable[[], object]:
    from tfrec.training.trainer import _compile

    _compile(material.model, material.config, 1_000)
    material.model.make_train_function()
    step, kept = material.model.train_function, [next(material.batches) for _ in range(STEPS)]
    return lambda: [step(iter([batch])) for batch in kept]


def _evaluate(material: Material) -> Callable[[], object]:
    from tfrec.evaluation import evaluate
    from tfrec.models.retrieval_model import RetrievalRecommender

    split, settings = material.prepared.split, material.config.evaluation
    recommender = RetrievalRecommender(material.model)
    return lambda: evaluate(recommender, split.test, material.model.num_items, settings, split.candidates)


def _export(material: Material) -> Callable[[], object]:
    assert material.examples  # What a run has is made.
    numbers = iter(range(1, 1_000_000))
    return lambda: material.export(next(numbers))


def _load(material: Material) -> Callable[[], object]:
    from tfrec.serving.servable import Servable

    path, asked = material.version, {name: array[:1] for name, array in material.examples["recommend"].items()}

    def load() -> None:
        servable = Servable(MODEL_NAME, 1, path)
        servable.predict("recommend", asked)
        servable.close()

    return load


def _serve(material: Material) -> Callable[[], object]:
    from tfrec.serving.config import ModelConfig
    from tfrec.serving.server import Server

    path = material.version
    material.server = Server([ModelConfig(MODEL_NAME, path.parent)], grpc_port=0)
    material.server.start()
    command = [sys.executable, __file__, "--ask", f"127.0.0.1:{material.server.grpc_port}", str(path)]
    return lambda: subprocess.run(command, check=True)


STAGES: dict[str, Callable[[Material], Callable[[], object]]] = {
    "read": lambda material: material.load,
    "split": _split,
    "vocabulary": _vocabulary,
    "tokenise": _tokenise,
    "encode": _encode,
    "input": _input,
    "jd_tower_step": _step,
    "two_tower_step": _step,
    "evaluate": _evaluate,
    "export": _export,
    "load": _load,
    "serve": _serve,
}
"""Name -> what makes ready, and returns what is repeated."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES), metavar="STAGE")
    parser.add_argument("--recipe", default="movielens-1m/jd_tower")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--seconds", type=float, default=10.0, help="for which a stage is repeated, at least once")
    parser.add_argument("--folder", type=Path, default=Path("runs/benchmarks/profiles"))
    parser.add_argument("--py-spy", metavar="FILE", default=shutil.which("py-spy"), help="the one on the path")
    parser.add_argument("--run", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        return _ask(*arguments.ask)
    if arguments.run:
        return _repeat(arguments)
    if not arguments.py_spy or not shutil.which(arguments.py_spy):
        parser.error("expected py-spy. Received: none on the path. pip install py-spy, or pass --py-spy FILE")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    print(markdown_row("stage", "seconds", "Python, with what it calls", "Python itself", "operations"))
    print(markdown_row("---", "--:", "---", "---", "---"))
    for stage in arguments.stages:
        _profile(stage, arguments)
    return None


def _profile(stage: str, arguments: argparse.Namespace) -> None:
    raw, operations = (arguments.folder / f"{stage}.{kind}" for kind in ("raw", "operations"))
    shutil.rmtree(operations, ignore_errors=True)
    command = [
        arguments.py_spy,
        "record",
        "--format",
        "raw",
        "--function",
        "--rate",
        str(SAMPLES),
        "--output",
        str(raw),
    ]
    command += [] if stage == "serve" else ["--idle"]
    command += ["--", sys.executable, __file__, "--run", stage, "--recipe", arguments.recipe]
    command += ["--data-root", str(arguments.data_root), "--seconds", str(arguments.seconds)]
    done = subprocess.run([*command, "--folder", str(arguments.folder)], capture_output=True)
    # py-spy, which ends well whatever the process does, speaks there too.
    said = [line for line in done.stdout.decode(errors="replace").splitlines() if line.startswith("seconds ")]
    if not said:
        sys.exit(f"{stage} failed:\n{done.stderr.decode(errors='replace')[-3000:]}")
    stacks = _read_stacks(raw, stage)
    draw_flames(arguments.folder / f"{stage}.svg", f"{stage}: {sum(stacks.values()):,} samples", stacks)
    kinds, heaviest = operation_times(operations) if any(operations.rglob("*.xplane.pb")) else (Counter(), {})
    taken = [f"`{kind}` {share} ({heaviest[kind][-40:]})" for kind, share in _shares(kinds)]
    whole, itself = _functions(stacks)
    total = sum(stacks.values())
    cells = [", ".join(f"`{name}` {share}" for name, share in _shares(each, total)) for each in (whole, itself)]
    seconds = "" if stage == "serve" else said[-1].removeprefix("seconds ")
    print(markdown_row(stage, seconds, *cells, ", ".join(taken)), flush=True)


def _read_stacks(raw: Path, stage: str) -> Stacks:
    """What is below `measured`; of `serve`, what answered."""
    stacks: Counter[tuple[str, ...]] = Counter()
    for line in raw.read_text(encoding="utf-8").splitlines():
        text, _, count = line.rpartition(" ")
        frames = text.split(";")
        inside = [place for place, frame in enumerate(frames) if frame.startswith("measured (")]
        if stage == "serve" and not NOT_ANSWERING.search(text):
            stacks[tuple(frames)] += int(count)
        elif stage != "serve" and inside:
            stacks[tuple(frames[inside[0] + 1 :])] += int(count)
    return stacks


def _functions(stacks: Stacks) -> tuple[Counter[str], Counter[str]]:
    """Samples of tfrec's functions with what they call, and of all innermost ones."""
    whole: Counter[str] = Counter()
    itself: Counter[str] = Counter()
    for frames, count in stacks.items():
        for frame in {frame for frame in frames if "tfrec/" in frame}:
            whole[_short(frame)] += count
        if frames:
            itself[_short(frames[-1])] += count
    return whole, itself


def _short(frame: str) -> str:
    """`name (package/file.py:12)` without the folders around, and the line."""
    name, _, place = frame.partition(" (")
    parts = place.rstrip(")").split(":")[0].split("/")
    return f"{name} {'/'.join(parts[-2:])}"


def _shares(counts: Counter[str], total: float | None = None) -> list[tuple[str, str]]:
    total = total or sum(counts.values()) or 1
    return [(name, f"{count / total:.0%}") for name, count in counts.most_common(MOST) if count >= 0.02 * total]


def _repeat(arguments: argparse.Namespace) -> None:
    """Under py-spy: one stage, made ready, repeated and then profiled."""
    from tfrec.cli import start_tensorflow

    start_tensorflow()
    is_of_ids = arguments.run == "two_tower_step"
    settings = {"model.use_text": False} if is_of_ids else None
    material = Material(TWO_TOWER if is_of_ids else arguments.recipe, arguments.data_root, settings)
    run = STAGES[arguments.run](material)
    if arguments.run != "load":  # The first answer is the question there.
        run()
    seconds = measured(run, arguments.seconds)
    with profiling(arguments.folder / f"{arguments.run}.operations"):
        run()
    print(f"seconds {seconds:.4f}", flush=True)
    material.folder.cleanup()
    os._exit(0)  # A server's threads need not be awaited.


def measured(run: Callable[[], object], at_least: float) -> float:
    """Repeats it for so many seconds; how many one took. py-spy's stacks are told by this function's name."""
    started, count = time.perf_counter(), 0
    while not count or time.perf_counter() - started < at_least:
        run()
        count += 1
    return (time.perf_counter() - started) / count


def _ask(target: str, version: str) -> None:
    """Asks a server for a while."""
    from served import random_requests
    from serving_load import ask

    from tfrec.serving.client import Client

    with Client(target, MODEL_NAME) as client:
        client.wait_until_available(60)
    requests = [each.SerializeToString() for each in random_requests(target, Path(version), 100)]
    outcome = asyncio.run(ask(target, requests, REQUESTS, 10.0, 30.0))
    if outcome.errors:
        raise SystemExit(f"Expected answers. Received: {outcome.errors}.")


if __name__ == "__main__":
    main()
