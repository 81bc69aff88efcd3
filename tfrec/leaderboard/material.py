"""From a configuration to what baselines are fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrec import console
from tfrec.baselines import InteractionMatrix
from tfrec.config import Config
from tfrec.datasets import load_dataset, split_dataset
from tfrec.datasets.dataset import Split
from tfrec.errors import InputError
from tfrec.features.text import render_texts
from tfrec.features.vocabulary import NUM_SPECIAL
from tfrec.training.prepare import encode_texts


@dataclass(frozen=True)
class Material:
    """What baselines are fitted to.

    Attributes:
        split: The division; the training part with the context `timestamp` where users share a clock, and `value` where
            there are values.
        num_items: Size of the catalogue.
        texts: What each item says, [num_items]; None: nothing.
        text_vectors: The same through the text backbone, float32 [num_items, size]; None: not to be had.
        seed: Draws what is random.
        name: The data set's.
    """

    split: Split
    num_items: int
    texts: Sequence[str] | None = None
    text_vectors: np.ndarray | None = None
    seed: int = 0
    name: str = ""


def gather(config: Config, data_root: Path) -> Material:
    """Loads and divides the data as training does, and says what there is.

    Raises:
        InputError: The data are not as they should be.
    """
    dataset = load_dataset(config.data, data_root).positives(config.data.events)
    context = {}
    if dataset.shared_clock:
        context["timestamp"] = dataset.interactions["timestamp"].to_numpy()
    if "value" in dataset.interactions:
        context["value"] = dataset.interactions["value"].to_numpy()
    split = split_dataset(dataset, config.split, context)
    console.say(f"{dataset.name}, what is trained on:\n{InteractionMatrix(split.train, dataset.num_items)}")
    for note in (*dataset.notes, *split.notes):
        console.say(f"note: {note}")
    texts = render_texts(dataset.items, dataset.item_roles.text, config.features.text_template)
    if not any(texts):
        return Material(split, dataset.num_items, seed=config.training.seed, name=dataset.name)
    vectors = _text_vectors(texts, config, data_root)
    return Material(split, dataset.num_items, texts, vectors, config.training.seed, dataset.name)


def _text_vectors(texts: list[str], config: Config, data_root: Path) -> np.ndarray | None:
    """The items' texts through the frozen backbone; None: none is configured, or it can't be had."""
    if not config.model.use_text or config.backbone.is_trained:
        return None
    try:
        arrays, _ = encode_texts(texts, config, data_root)
    except InputError as error:
        console.say(f"note: {error}")
        return None
    return arrays["text"][NUM_SPECIAL:]
