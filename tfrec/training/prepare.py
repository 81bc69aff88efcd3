"""From a configuration to what training needs: the slow, frozen part, done once."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfrec import console
from tfrec.backbones.embedding_cache import EmbeddingCache
from tfrec.backbones.resolve import load_text_encoder
from tfrec.config import Config
from tfrec.datasets.dataset import Dataset, Split
from tfrec.errors import InputError
from tfrec.features.prepared import Prepared
from tfrec.features.table import FeatureTable, attribute_names, build_attributes, id_rows
from tfrec.features.text import render_texts
from tfrec.features.vocabulary import NUM_SPECIAL


def prepare(dataset: Dataset, split: Split, config: Config, data_root: Path) -> Prepared:
    """Encodes the items' texts and all attributes.

    Args:
        dataset: The validated tables.
        split: Their division.
        config: The run's configuration.
        data_root: Where backbones and the vectors of texts are kept.

    Raises:
        InputError: The configuration does not fit the tables, or the backbone can't be had.
    """
    item_names = attribute_names(dataset.item_roles, config.features.item_columns, "item")
    user_names = attribute_names(dataset.user_roles, config.features.user_columns, "user")
    counts = np.bincount(split.train.values, minlength=dataset.num_items)
    item_columns, item_arrays = build_attributes(dataset.items, dataset.item_roles, item_names)
    user_columns, user_arrays = build_attributes(dataset.users, dataset.user_roles, user_names)
    if config.model.use_id:
        item_arrays["id"] = id_rows(counts)
    key = None
    if config.model.use_text:
        item_arrays["text"], key = _text_vectors(dataset, config, data_root)
    if not item_arrays:
        raise InputError(
            "Expected something to know items by: ids, text or attributes. Received: none of them. "
            "Turn on model.use_id or model.use_text, or declare attributes."
        )
    return Prepared(
        items=FeatureTable(dataset.items["item_id"].to_numpy(object), item_columns, item_arrays),
        users=FeatureTable(dataset.users["user_id"].to_numpy(object), user_columns, user_arrays),
        titles=_titles(dataset),
        counts=counts,
        split=split,
        text_encoder_key=key,
    )


def _text_vectors(dataset: Dataset, config: Config, data_root: Path) -> tuple[np.ndarray, str]:
    """float32 [NUM_SPECIAL + num_items, size], zero for padding and unknown; and the key of their encoder."""
    texts = render_texts(dataset.items, dataset.item_roles.text, config.features.text_template)
    if not any(texts):
        raise InputError(
            "Expected items with text, for model.use_text. Received: no text column, or only empty ones. "
            "Name one with --text COLUMN, or pass --set model.use_text=false to train on ids and attributes alone."
        )
    encoder = load_text_encoder(config.backbone, data_root)
    key = encoder.key()
    cache = EmbeddingCache(data_root / "embeddings", key)
    encode = tf.function(encoder, input_signature=[tf.TensorSpec([None], tf.string)])
    missing = cache.count_missing(texts)
    console.say(f"texts: {missing:,} to encode with {config.backbone.name}, the other vectors are in {cache.folder}")
    with console.progress_bar() as bar:
        task = bar.add_task("encoding texts", total=missing, visible=missing > 0)
        vectors = cache.encode(
            texts,
            lambda batch: encode(tf.constant(batch)).numpy(),
            config.backbone.batch_size,
            advance=lambda count: bar.advance(task, count),
        )
    return np.concatenate([np.zeros((NUM_SPECIAL, vectors.shape[1]), np.float32), vectors]), key


def _titles(dataset: Dataset) -> np.ndarray:
    column = dataset.title or next(iter(dataset.item_roles.text), "item_id")
    titles = dataset.items[column].astype(object)
    return titles.where(titles.notna() & (titles != ""), dataset.items["item_id"]).to_numpy(object)
