"""From a configuration to what baselines are fitted to."""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tfrec import console
from tfrec.baselines import InteractionMatrix
from tfrec.config import HYBRID_NAMES, Config
from tfrec.datasets import load_dataset, split_dataset
from tfrec.datasets.dataset import Dataset, Split
from tfrec.datasets.ragged import Ragged
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
        dataset: Where it is from; None: not told.
    """

    split: Split
    num_items: int
    texts: Sequence[str] | None = None
    text_vectors: np.ndarray | None = None
    seed: int = 0
    dataset: Dataset | None = None

    def digest(self) -> str:
        """A hash of the split and the texts: files may change and keep their names."""
        digest = hashlib.sha256()

        def add(name: str, array: np.ndarray | None) -> None:
            if array is not None:
                digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
                digest.update(np.ascontiguousarray(array).data)

        def add_rows(name: str, rows: Ragged) -> None:
            for key, array in {"values": rows.values, "offsets": rows.offsets, **rows.context}.items():
                add(f"{name} {key}", array)

        add_rows("train", self.split.train)
        for name, cases in (("validation", self.split.validation), ("test", self.split.test)):
            add(f"{name} users", cases.users)
            add_rows(f"{name} histories", cases.histories)
            add_rows(f"{name} targets", cases.targets)
        add("candidates", self.split.candidates)
        digest.update(json.dumps([self.num_items, list(self.texts or [])]).encode())
        return digest.hexdigest()


def gather(config: Config, data_root: Path, names: Collection[str], everything: bool = False) -> Material:
    """Loads and divides the data as training does, and says what there is.

    Args:
        config: Names the data and the split.
        data_root: Where data, text backbones and the vectors of texts are.
        names: Of the baselines and hybrids that are asked for: texts are encoded if one of them reads their vectors.
        everything: Train on what was held out, too.

    Raises:
        InputError: The data are not as they should be.
    """
    dataset = load_dataset(config.data, data_root).positives(config.data.events)
    context = ["timestamp"] * dataset.shared_clock + ["value"] * ("value" in dataset.interactions)
    split = split_dataset(dataset, config.split, context)
    if everything:
        split = replace(split, train=dataset.by_user(context))
    console.say(f"{dataset.name}, what is trained on:\n{InteractionMatrix(split.train, dataset.num_items)}")
    for note in (*dataset.notes, *split.notes):
        console.say(f"note: {note}")
    texts = render_texts(dataset.items, dataset.item_roles.text, config.features.text_template)
    vectors = None
    if any(texts) and {"similar_texts", *HYBRID_NAMES} & set(names):
        vectors = _text_vectors(texts, config, data_root)
    seed = config.training.seed
    return Material(split, dataset.num_items, texts if any(texts) else None, vectors, seed, dataset)


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
