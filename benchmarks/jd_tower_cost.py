"""What training costs: texts and examples a second and peak memory, beside the straightforward way.

    python benchmarks/jd_tower_cost.py --data-root data [--recipe amazon-beauty/jd_tower] [--steps 20] [--warm-up 5]
        [--repetitions 3]

An example is a history and the item after it. The straightforward way is what a tutorial on TensorFlow Recommenders and
KerasHub builds: every example is a row, its history's texts and its candidate's are tokenised and encoded in every
step, padded to backbone.sequence_length as KerasHub's preprocessors do, the history's vectors are averaged, and the
batch's candidates are each other's negatives. tfrec keeps a frozen backbone's vectors, encodes each distinct item of a
step once where the backbone is trained, and asks every place of a history for its next item.

Each measurement is a process of its own, so that its peak is its own; the repetitions of the variants take turns. The
straightforward way has a smaller batch, since its memory grows with every text of it.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from recorded_runs import markdown_row

SAMPLED = ["model.loss=sampled_softmax"]
TFREC = {
    "frozen, full softmax": [],
    "frozen": SAMPLED,
    "lora": [*SAMPLED, "backbone.tuning=lora"],
    "full": [*SAMPLED, "backbone.tuning=full"],
}
STRAIGHTFORWARD = ("frozen", "lora", "full")
TEXTS_ENCODED_ONCE = 2048


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="amazon-beauty/jd_tower")
    parser.add_argument("--data-root", type=Path, default=Path("data"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=5, help="steps before the clock starts")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=128, help="histories in a step of tfrec")
    parser.add_argument("--straightforward-batch-size", type=int, default=8, help="examples in a straightforward step")
    parser.add_argument("--variants", nargs="+", choices=TFREC, default=list(TFREC), metavar="VARIANT")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "VARIANT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, variant = arguments.measure
        print(json.dumps((measure_tfrec if way == "tfrec" else measure_straightforward)(variant, arguments)))
        return
    pairs = [(way, name) for name in arguments.variants for way in ("tfrec", "straightforward")]
    pairs = [(way, name) for way, name in pairs if way == "tfrec" or name in STRAIGHTFORWARD]
    results: dict[tuple[str, str], list[dict[str, float]]] = {pair: [] for pair in pairs}
    for repetition in range(arguments.repetitions):
        for pair in pairs:
            print(f"repetition {repetition + 1} of {arguments.repetitions}: {' '.join(pair)}", file=sys.stderr)
            command = [sys.executable, *sys.argv, "--measure", *pair]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            results[pair].append(json.loads(output.splitlines()[-1]))
    print(markdown_row("backbone", "way", "texts encoded / s", "examples / s", "times straightforward", "peak GB"))
    print(markdown_row("---", "---", "--:", "--:", "--:", "--:"))
    for (way, variant), runs in results.items():
        # Repetition by repetition: what else the machine did meanwhile slowed both.
        rivals = results.get(("straightforward", variant.partition(",")[0]), []) if way == "tfrec" else []
        ratios = [
            run["examples_per_second"] / rival["examples_per_second"] for run, rival in zip(runs, rivals, strict=False)
        ]
        columns = [[run[key] for run in runs] for key in ("texts_per_second", "examples_per_second")]
        cells = [*map(_median_and_range, columns), _median_and_range(ratios) if ratios else ""]
        print(markdown_row(variant, way, *cells, f"{max(run['peak_gb'] for run in runs):.1f}"))


def _median_and_range(values: Sequence[float]) -> str:
    return f"{statistics.median(values):,.1f} ({min(values):,.1f} to {max(values):,.1f})"


def measure_tfrec(variant: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Some steps of training as the product takes them."""
    config, prepared, texts = _prepare(TFREC[variant], arguments)

    import keras
    import tensorflow as tf

    from tfrec.backbones.resolve import load_text_encoder
    from tfrec.features.vocabulary import NUM_SPECIAL
    from tfrec.models import build_model
    from tfrec.training.optimizer import AdamW
    from tfrec.training.trainer import set_up_devices

    with set_up_devices(config).scope():
        encoder = load_text_encoder(config.backbone, arguments.data_root) if config.backbone.is_trained else None
        model = build_model(config, prepared, encoder)
        model.compile(optimizer=AdamW(config.training.learning_rate), jit_compile=False)
    encoded = tf.Variable(0, dtype=tf.int64, trainable=False)
    encode_items = model.encode_items

    def count_and_encode(indices: tf.Tensor, training: bool = False) -> tf.Tensor:
        encoded.assign_add(tf.size(indices, tf.int64))
        return encode_items(indices, training=training)

    model.encode_items = count_and_encode
    counts = []

    class Clock(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
            times.append(time.perf_counter())
            counts.append(int(encoded))

    times: list[float] = []
    steps = arguments.warm_up + arguments.steps
    batches = model.examples(config.features, prepared).dataset(arguments.batch_size, 0, 0, 1).take(steps)
    model.fit(batches, epochs=1, steps_per_epoch=steps, callbacks=[Clock()], shuffle=False, verbose=0)
    seconds = times[-1] - times[arguments.warm_up - 1]
    examples = sum(
        int(tf.math.count_nonzero(batch["target"] >= NUM_SPECIAL)) for batch in batches.skip(arguments.warm_up)
    )
    peak = _peak_gb()
    if variant.startswith("frozen"):
        texts_per_second = _texts_per_second(config, texts, arguments.data_root)
    else:
        texts_per_second = (counts[-1] - counts[arguments.warm_up - 1]) / seconds
    return {"texts_per_second": texts_per_second, "examples_per_second": examples / seconds, "peak_gb": peak}


def measure_straightforward(variant: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Some steps of a tutorial's two towers over one BERT."""
    config, prepared, texts = _prepare(["model.use_text=false"], arguments)

    import keras
    import keras_hub
    import tensorflow as tf
    import tensorflow_recommenders as tfrs

    from tfrec.backbones.resolve import load_text_encoder
    from tfrec.features.sequences import NextItemExamples

    loaded = load_text_encoder(config.backbone, arguments.data_root)
    backbone: keras.Model = loaded.backbone
    if variant == "lora":
        backbone.enable_lora(8)
    backbone.trainable = variant != "frozen"
    preprocess = keras_hub.models.BertTextClassifierPreprocessor(loaded.tokenizer, config.backbone.sequence_length)
    query_projection, candidate_projection = (keras.layers.Dense(config.model.embedding_size) for _ in range(2))
    for projection in (query_projection, candidate_projection):
        projection.build((None, backbone.hidden_dim))
    task = tfrs.tasks.Retrieval(temperature=config.model.temperature)
    variables = [
        *backbone.trainable_variables,
        *query_projection.trainable_variables,
        *candidate_projection.trainable_variables,
    ]
    optimizer = keras.optimizers.Adam(1e-4)
    optimizer.build(variables)
    # Two rows stand for padding and unknown.
    titles = tf.constant(["", "", *texts])

    def encode(texts: tf.Tensor) -> tf.Tensor:
        inputs = preprocess(texts)
        states = backbone(inputs)["sequence_output"]  # [num_texts, sequence_length, hidden_dim]
        mask = tf.cast(inputs["padding_mask"], tf.float32)[:, :, tf.newaxis]
        return tf.reduce_sum(states * mask, axis=1) / tf.reduce_sum(mask, axis=1)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.string), tf.TensorSpec([None], tf.string)])
    def step(history: tf.Tensor, candidate: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            vectors = encode(tf.reshape(history, [-1]))
            # [batch_size * history_length, hidden_dim] -> [batch_size, history_length, hidden_dim]
            vectors = tf.reshape(vectors, [tf.shape(history)[0], tf.shape(history)[1], backbone.hidden_dim])
            filled = tf.cast(history != "", tf.float32)[:, :, tf.newaxis]
            mean = tf.math.divide_no_nan(tf.reduce_sum(vectors * filled, axis=1), tf.reduce_sum(filled, axis=1))
            queries = tf.math.l2_normalize(query_projection(mean), axis=-1)
            candidates = tf.math.l2_normalize(candidate_projection(encode(candidate)), axis=-1)
            loss = task(queries, candidates, compute_metrics=False)
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    def rows(batch: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        """The texts, padded to the batch's longest history."""
        longest = tf.reduce_max(tf.math.count_nonzero(batch["history"], axis=1))
        return tf.gather(titles, batch["history"][:, :longest]), tf.gather(titles, batch["target"])

    batch_size = arguments.straightforward_batch_size
    batches = NextItemExamples(prepared.split.train, config.features.history_length).dataset(batch_size, 0, 0, 1)
    encoded = 0
    for number, (history, candidate) in enumerate(batches.map(rows).take(arguments.warm_up + arguments.steps)):
        if number == arguments.warm_up:
            started, encoded = time.perf_counter(), 0
        float(step(history, candidate))
        encoded += int(tf.size(history)) + batch_size
    seconds = time.perf_counter() - started
    return {
        "texts_per_second": encoded / seconds,
        "examples_per_second": arguments.steps * batch_size / seconds,
        "peak_gb": _peak_gb(),
    }


def _prepare(settings: Sequence[str], arguments: argparse.Namespace) -> tuple[Any, Any, list[str]]:
    """The configuration, the data of a run, and what the items say."""
    from tfrec.cli import parse_settings
    from tfrec.config import Config
    from tfrec.datasets import load_dataset, split_dataset
    from tfrec.features.text import item_texts
    from tfrec.training.prepare import prepare

    config = Config.load(arguments.recipe, parse_settings([*settings, *arguments.settings]))
    dataset = load_dataset(config.data, arguments.data_root).positives(config.data.events)
    texts = item_texts(dataset, config.features.text_template)
    split = split_dataset(dataset, config.split)
    encoded = texts if config.model.use_text else None
    return config, prepare(dataset, split, encoded, config, arguments.data_root), texts


def _texts_per_second(config: Any, texts: list[str], data_root: Path) -> float:
    """How fast a frozen backbone encodes what it encodes once."""
    import tensorflow as tf

    from tfrec.backbones.embedding_cache import EmbeddingCache
    from tfrec.backbones.resolve import load_text_encoder

    encoder = load_text_encoder(config.backbone, data_root)
    encode: Callable[[tf.Tensor], tf.Tensor] = tf.function(encoder, input_signature=[tf.TensorSpec([None], tf.string)])
    distinct = sorted(set(texts))
    encode(tf.constant(distinct[: config.backbone.batch_size]))  # Traced before the clock starts.
    chosen = distinct[:: -(-len(distinct) // TEXTS_ENCODED_ONCE)]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        EmbeddingCache(Path(folder), "benchmark").encode(
            chosen, lambda batch: encode(tf.constant(batch)).numpy(), config.backbone.batch_size
        )
        return len(chosen) / (time.perf_counter() - started)


def _peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    main()
