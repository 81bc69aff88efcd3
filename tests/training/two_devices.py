"""A few steps of models on one device and on two: `python -m tests.training.two_devices RETRIEVAL FOLDER`.

Prints a JSON object: of each case, the mean losses after each step on one device and on two.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tfrec.config.models import MODEL_NAMES, RANKER_NAMES

PLAIN = {"model.dropout": 0.0, "model.id_dropout": 0.0, "model.attribute_dropout": 0.0}
"""Each device draws its own dropout: without it, all that is left is arithmetic."""
JD_TOWER = {"model.name": "jd_tower", "model.num_negatives": 16}
LORA = {"backbone.tuning": "lora", "backbone.lora_rank": 2, "backbone.learning_rate": 0.01}
HALF = {"training.precision": "mixed_float16"}

CASES: dict[str, dict[str, dict[str, Any]]] = {
    "retrieval": {
        "two_tower": {"model.name": "two_tower"},
        "two_tower half": {"model.name": "two_tower", **HALF},
        "youtube_dnn": {"model.name": "youtube_dnn", "model.num_negatives": 16},
        # Not in_batch: each device draws among its own targets, so that both alike is a matter of many draws.
        **{
            f"jd_tower {loss}": {**JD_TOWER, "model.loss": loss} for loss in ("full_softmax", "sampled_softmax", "gbce")
        },
        "jd_tower half": {**JD_TOWER, **HALF},
        "jd_tower cropped": {**JD_TOWER, "features.augmentation.sequences": ["crop"]},
        "jd_tower mean": {**JD_TOWER, "model.user_tower": "mean"},
    },
    "texts": {
        "jd_tower words": {**JD_TOWER, "model.user_tower": "gpt_text", "model.item_tokens": 4},
        # Each device draws the places that its head ranks.
        **{f"jd_tower {head}, drawn": {**JD_TOWER, "model.head": head} for head in ("linear", "mlp", "transformer")},
        "jd_tower lora": {**JD_TOWER, **LORA, "model.loss": "sampled_softmax"},
        "two_tower lora": {"model.name": "two_tower", **LORA},
        "two_tower lora half": {"model.name": "two_tower", **LORA, **HALF},
        "two_tower full": {"model.name": "two_tower", "backbone.tuning": "full", "backbone.learning_rate": 0.01},
    },
    "clicks": {
        **{name: {"model.name": name} for name in RANKER_NAMES if name != "gbdt"},
        "dnn half": {"model.name": "dnn", **HALF},
    },
}

assert {each["model.name"] for cases in CASES.values() for each in cases.values()} == {*MODEL_NAMES} - {"gbdt"}


def compare(kind: str, folder: Path) -> Iterator[tuple[str, tuple[list[float], list[float]]]]:
    import keras
    import tensorflow as tf

    from tests.backbones.tiny import make_tiny_backbone
    from tests.models.ranking import prepare_ranker, ranker_config
    from tfrec.backbones.resolve import load_text_encoder
    from tfrec.config import Config
    from tfrec.datasets import split_dataset
    from tfrec.datasets.simulator import simulate
    from tfrec.features.text import item_texts
    from tfrec.models import build_model, build_ranker
    from tfrec.training.prepare import prepare
    from tfrec.training.trainer import _compile

    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    # One for all cases: two of them would take each other's sums for their own.
    strategies = tf.distribute.OneDeviceStrategy("/CPU:0"), tf.distribute.MirroredStrategy(["/CPU:0", "/CPU:1"])
    backbone = make_tiny_backbone(folder / "tiny", dropout=0.0)
    dataset = simulate(num_users=96, num_items=40, interactions_per_user=8, seed=1).dataset
    shared = {
        "data.interactions.path": "simulated.csv",
        "backbone.name": str(backbone),
        "backbone.sequence_length": 16,
        "features.history_length": 6,
        "model.embedding_size": 8,
        "model.hidden_sizes": [16],
        "training.batch_size": 32,
        **PLAIN,
    }

    def losses(config: Config, prepared: Any, strategy: tf.distribute.Strategy) -> list[float]:
        seen: list[float] = []
        note = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(float(logs["loss"])))
        keras.config.set_dtype_policy(config.training.precision)
        keras.utils.set_random_seed(0)
        with strategy.scope():
            encoder = None
            if not config.ranks and "text_tokens" in prepared.items.arrays:
                encoder = load_text_encoder(config.backbone, folder, prepared.text_encoder_key)
            model = build_ranker(config, prepared) if config.ranks else build_model(config, prepared, encoder)
            _compile(model, config, 100)
        batches = model.examples(config.features, prepared).dataset(
            config.training.batch_size, 0, 0, 3
        )  # Enough for three steps.
        model.fit(batches, epochs=1, steps_per_epoch=3, callbacks=[note], shuffle=False, verbose=0)
        return seen

    for case, settings in CASES[kind].items():
        if kind == "clicks":
            config = ranker_config(**{"name": settings["model.name"], **PLAIN, **settings})
            prepared = prepare_ranker(config)
        else:
            config = Config.load(None, {**shared, **settings})
            split = split_dataset(dataset, config.split)
            prepared = prepare(dataset, split, item_texts(dataset, None), config, folder)
        one, two = (losses(config, prepared, strategy) for strategy in strategies)
        yield case, (one, two)


if __name__ == "__main__":
    print(json.dumps(dict(compare(sys.argv[1], Path(sys.argv[2])))))
