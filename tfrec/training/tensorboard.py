"""What TensorBoard shows of a finished run: test metrics, hyperparameters, and the items' vectors by title."""

import json
import re
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.plugins.hparams import api as hparams
from tensorboard.plugins.hparams import api_pb2, summary
from tensorboard.plugins.projector import ProjectorConfig

from tfrec.config import Config
from tfrec.features.prepared import Prepared
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.training.run import Run

MOST_ITEMS = 10_000
"""In the projector, the most popular ones: more make a browser slow."""

SECTIONS = ("model", "features", "training", "split", "backbone")
"""Of the configuration, that are hyperparameters."""


def write_test(run: Run, metrics: Mapping[str, float], epoch: int) -> None:
    """Writes the test metrics and the hyperparameters to the run's TensorBoard folder, in place of earlier ones.

    TensorBoard's HParams page finds all metrics, validation's and the loss too, below the folder of the session, so
    `tensorboard --logdir runs` compares the runs there.

    Args:
        run: A run that was evaluated.
        metrics: Of the model, by name.
        epoch: Whose weights were tested.
    """
    for old in run.tensorboard.glob("events.out.tfevents.*"):
        old.unlink()
    shutil.rmtree(run.tensorboard / "test", ignore_errors=True)
    with tf.summary.create_file_writer(str(run.tensorboard)).as_default():
        hparams.hparams(hyperparameters(run.config), trial_id=str(run.folder))
        tf.summary.experimental.write_raw_pb(summary.session_end_pb(api_pb2.STATUS_SUCCESS).SerializeToString(), step=0)
    with tf.summary.create_file_writer(str(run.tensorboard / "test")).as_default():
        for name, value in metrics.items():
            tf.summary.scalar(name, value, step=epoch)


def write_projector(run: Run, vectors: np.ndarray, prepared: Prepared) -> None:
    """Writes the items' vectors for TensorBoard's projector, whose labels are titles.

    Args:
        run: Where to.
        vectors: What `item_vectors` returned, float32 [NUM_SPECIAL + num_items, embedding_size].
        prepared: The run's data.
    """
    run.tensorboard.mkdir(exist_ok=True)
    chosen = np.argsort(-prepared.counts, kind="stable")[:MOST_ITEMS]
    np.savetxt(run.tensorboard / "item_vectors.tsv", vectors[NUM_SPECIAL + chosen], "%.5g", delimiter="\t")
    lines = [
        f"{_line(prepared.titles[code])}\t{_line(prepared.items.ids[code])}\t{prepared.counts[code]}" for code in chosen
    ]
    metadata = "\n".join(["title\titem_id\ttraining interactions", *lines]) + "\n"
    (run.tensorboard / "titles.tsv").write_text(metadata, encoding="utf-8")
    config = ProjectorConfig()
    config.embeddings.add(tensor_name="items", tensor_path="item_vectors.tsv", metadata_path="titles.tsv")
    (run.tensorboard / "projector_config.pbtxt").write_text(text_format.MessageToString(config), encoding="utf-8")


def hyperparameters(config: Config) -> dict[str, bool | int | float | str]:
    """The settings that are set, by their dotted names; what is no number, string or bool is JSON."""
    everything = config.model_dump(mode="json")
    flat = {f"{section}.{key}": value for section in SECTIONS for key, value in everything[section].items()}
    flat["data.source"] = config.data.source
    return {name: _plain(value) for name, value in flat.items() if value is not None}


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else json.dumps(value)


def _line(text: object) -> str:
    return re.sub(r"\s+", " ", str(text)).strip() or "(no title)"
