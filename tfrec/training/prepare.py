"""From a configuration to what training needs: the slow, frozen part, done once."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from tfrec import console
from tfrec.backbones.embedding_cache import EmbeddingCache
from tfrec.backbones.gpt import NO_TOKEN, load_gpt_tokenizer, tokenize_items
from tfrec.backbones.resolve import load_text_encoder
from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import BackboneConfig, Config, FeaturesConfig, JDTowerConfig, RankerConfig
from tfrec.datasets.dataset import Dataset, Roles, Split
from tfrec.datasets.history_context import EVENT, TIME
from tfrec.datasets.impressions import Impressions
from tfrec.datasets.splits import TRAINING
from tfrec.errors import InputError
from tfrec.features.columns import Column, cross
from tfrec.features.context import encode_context
from tfrec.features.prepared import Prepared
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.features.table import FeatureTable, attribute_names, build_attributes, fit_columns, id_rows
from tfrec.features.text_variants import text_variants
from tfrec.features.vocabulary import NUM_SPECIAL, UNKNOWN

TEXTS_AT_ONCE = 8192


def prepare(dataset: Dataset, split: Split, texts: list[str] | None, config: Config, data_root: Path) -> Prepared:
    """Encodes the items' texts and all attributes; of texts whose encoder is trained, their tokens.

    Args:
        dataset: The validated tables.
        split: Their division, with what `history_context` tells of the interactions.
        texts: What each item says, [num_items]; None: neither tower reads it.
        config: The run's configuration.
        data_root: Where backbones and the vectors of texts are kept.

    Raises:
        InputError: The configuration does not fit the tables, or the backbone can't be had.
        ValueError: The split lacks the context that the configuration asks for.
    """
    item_names = attribute_names(dataset.item_roles, config.features.item_columns, "item")
    user_names = attribute_names(dataset.user_roles, config.features.user_columns, "user")
    asked = {EVENT: config.features.history_events, TIME: config.features.history_time_gaps}
    wanted = {name for name, is_on in asked.items() if is_on}
    if wanted != split.train.context.keys():
        raise ValueError(
            f"Expected a split with the context {sorted(wanted)}. Received: {sorted(split.train.context)}. "
            "Give split_dataset what history_context(dataset, config.features) returns."
        )
    split, event = encode_context(dataset, split)
    if event is not None and len(event.vocabulary) < 2:
        console.say(
            f"note: the only event of training is {list(event.vocabulary)}, so features.history_events tells nothing; "
            "data.events may leave the others out"
        )
    counts = split.train.count_values(dataset.num_items)
    item_columns, item_arrays = build_attributes(dataset.items, dataset.item_roles, item_names)
    user_columns, user_arrays = build_attributes(dataset.users, dataset.user_roles, user_names)
    if config.model.use_id:
        item_arrays["id"] = id_rows(counts)
    key = None
    if texts is not None:
        chosen = config.features
        variants = text_variants(
            dataset.items, dataset.item_roles.text, chosen.text_template, chosen.augmentation, config.training.seed
        )
        arrays, key = encode_texts(texts, config, data_root, variants)
        item_arrays |= arrays
    if not item_arrays.keys() - {"words"}:
        raise InputError(
            "Expected something to know items by: ids, text or attributes. Received: none of them. "
            "Turn on model.use_id or model.use_text, or declare attributes."
        )
    return Prepared(
        items=FeatureTable(dataset.items["item_id"].to_numpy(object), item_columns, item_arrays),
        users=FeatureTable(dataset.users["user_id"].to_numpy(object), user_columns, user_arrays),
        titles=titles_of(dataset.items, dataset.item_roles, dataset.title),
        counts=counts,
        split=split,
        text_encoder_key=key,
        event=event,
    )


def prepare_impressions(
    dataset: Dataset, impressions: Impressions, texts: list[str] | None, config: Config, data_root: Path
) -> PreparedImpressions:
    """Encodes texts and attributes for a model that predicts the click; numbers are binned.

    What is learned of the context's columns is learned from training impressions alone.

    Args:
        dataset: The validated tables.
        impressions: Its interactions, ordered and divided.
        texts: What each item says, [num_items]; None: the model does not read it.
        config: The run's configuration.
        data_root: Where backbones and the vectors of texts are kept.

    Raises:
        InputError: The configuration does not fit the tables, or the backbone can't be had.
    """
    assert isinstance(config.model, RankerConfig)
    # What training never sees has no row of its own.
    chosen, trained = config.features, impressions.thinned(config.model.keep_negatives).parts == TRAINING
    names = {
        "item": attribute_names(dataset.item_roles, chosen.item_columns, "item"),
        "user": attribute_names(dataset.user_roles, chosen.user_columns, "user"),
        "context": attribute_names(dataset.context_roles, chosen.context_columns, "context"),
    }
    _require_distinct(names)
    item_columns, item_arrays = build_attributes(dataset.items, dataset.item_roles, names["item"], binned=True)
    user_columns, user_arrays = build_attributes(dataset.users, dataset.user_roles, names["user"], binned=True)
    if config.model.use_id:
        item_arrays["id"] = id_rows(np.bincount(impressions.items[trained], minlength=dataset.num_items))
    if config.model.use_user_id:
        rows = id_rows(np.bincount(impressions.users[trained], minlength=dataset.num_users))
        user_arrays["user_id"] = np.maximum(rows, UNKNOWN)  # Who is not told is not known.
    key = None
    if texts is not None:
        encoder = load_text_encoder(config.backbone, data_root)
        key = encoder.key()
        item_arrays["text"] = _text_vectors(texts, encoder, config.backbone, data_root)
    context_columns, context = _encode_context(dataset, impressions.rows, trained, names["context"], chosen)
    return PreparedImpressions(
        items=FeatureTable(dataset.items["item_id"].to_numpy(object), item_columns, item_arrays),
        users=FeatureTable(dataset.users["user_id"].to_numpy(object), user_columns, user_arrays),
        context_columns=context_columns,
        context=context,
        impressions=impressions,
        titles=titles_of(dataset.items, dataset.item_roles, dataset.title),
        outcomes=dataset.outcomes,
        text_encoder_key=key,
    )


def _encode_context(
    dataset: Dataset, rows: np.ndarray, trained: np.ndarray, names: tuple[str, ...], chosen: FeaturesConfig
) -> tuple[tuple[Column, ...], dict[str, np.ndarray]]:
    """The columns of the impressions, and their crosses, learned from those that are trained on; and encoded."""
    roles = dataset.context_roles
    shown = dataset.interactions[list(names)].iloc[rows]
    admission = (chosen.minimum_count, chosen.hash_buckets)
    columns = fit_columns(shown[trained], roles, names, True, *admission)
    raw = {column.name: column.values(shown[column.name]) for column in columns}
    if chosen.position_column is not None and chosen.position_column not in raw:
        raise InputError(
            f"Expected features.position_column to be a column of the context {sorted(raw)}. Received: "
            f"{chosen.position_column!r}. Declare it with --categorical or --numeric interactions.COLUMN."
        )
    for crossed in chosen.crosses:
        unfit = {chosen.position_column, *roles.separators}
        _require_categories(crossed, (set(names) & set(roles.categorical)) - unfit)
        name = " x ".join(crossed)
        joined = cross([tf.constant(raw[part]) for part in crossed]).numpy()
        raw[name] = np.array([each.decode() for each in joined], object)
        column = Column.fit(name, "categorical", pd.Series(raw[name][trained]), *admission)
        columns += (dataclasses.replace(column, crossed=crossed),)
    return columns, {column.name: column.encoder()(tf.constant(raw[column.name])).numpy() for column in columns}


def _require_categories(crossed: tuple[str, ...], known: set[str]) -> None:
    if len(crossed) < 2 or not known.issuperset(crossed):
        raise InputError(
            f"Expected features.crosses to name two or more of the categorical columns of the context {sorted(known)} "
            f"each, and not the position. Received: {list(crossed)}. Declare them with --categorical "
            "interactions.COLUMN."
        )


def _require_distinct(names: dict[str, tuple[str, ...]]) -> None:
    """Users' attributes and the context of a request are inputs side by side."""
    taken = {name.lower() for name in names["user"]} & {name.lower() for name in names["context"]}
    if taken:
        raise InputError(
            "Expected users and interactions without columns of the same name, which a request could not tell apart. "
            f"Received: {sorted(taken)} in both. Rename them, or choose with features.user_columns and "
            "features.context_columns."
        )


def encode_texts(
    texts: list[str], config: Config, data_root: Path, variants: Sequence[list[str]] = ()
) -> tuple[dict[str, np.ndarray], str | None]:
    """What the towers read of the items' texts: arrays of the items' FeatureTable; and the text encoder's key, if there
    is one.

    Args:
        texts: [num_items].
        config: The run's configuration.
        data_root: Where backbones and the vectors of texts are kept.
        variants: Of the texts, for training to draw from: lists of [num_items].

    Raises:
        InputError: The backbone can't be had.
    """
    arrays, key = {}, None
    if config.reads_words:
        arrays["words"] = _words(texts, config, data_root)
    if config.model.use_text:
        encoder = load_text_encoder(config.backbone, data_root)
        key = encoder.key()
        together = [*texts, *(text for variant in variants for text in variant)]
        if config.backbone.is_trained:
            rows, name = _text_tokens(together, encoder), "text_tokens"
        else:
            rows, name = _text_vectors(together, encoder, config.backbone, data_root), "text"
        arrays[name] = rows[: NUM_SPECIAL + len(texts)]
        if variants:
            # [(1 + num_variants) * num_items, width] -> [num_items, 1 + num_variants, width]
            of_items = rows[NUM_SPECIAL:].reshape(1 + len(variants), len(texts), -1).transpose(1, 0, 2)
            special = np.repeat(rows[:NUM_SPECIAL, np.newaxis], 1 + len(variants), axis=1)
            arrays["text_variants"] = np.concatenate([special, of_items])
    return arrays, key


def _text_tokens(texts: list[str], encoder: TextEncoder) -> np.ndarray:
    """int32 [NUM_SPECIAL + num_items, longest text], all padding in the rows of padding and unknown."""
    parts = [
        encoder.tokenize(tf.constant(texts[low : low + TEXTS_AT_ONCE])).numpy()
        for low in range(0, len(texts), TEXTS_AT_ONCE)
    ]
    shape = (NUM_SPECIAL + len(texts), max(part.shape[1] for part in parts))
    tokens = np.full(shape, encoder.tokenizer.pad_token_id, np.int32)
    for number, part in enumerate(parts):
        low = NUM_SPECIAL + number * TEXTS_AT_ONCE
        tokens[low : low + len(part), : part.shape[1]] = part
    return tokens


def _words(texts: list[str], config: Config, data_root: Path) -> np.ndarray:
    """What a GPT reads of each item: int32 [NUM_SPECIAL + num_items, item_tokens], NO_TOKEN after the end.

    A pretrained GPT-2 has its own tokenizer; a fresh one learns the text backbone's tokens.
    """
    assert isinstance(config.model, JDTowerConfig)
    if config.model.gpt is None:
        tokenizer = load_text_encoder(config.backbone, data_root).tokenizer
        end = tokenizer.sep_token_id
    else:
        tokenizer = load_gpt_tokenizer(config.model.gpt)
        end = tokenizer.end_token_id
    words = tokenize_items(texts, tokenizer, end, config.model.item_tokens).numpy()
    special = np.full((NUM_SPECIAL, words.shape[1]), NO_TOKEN, np.int32)
    special[UNKNOWN, 0] = end
    return np.concatenate([special, words])


def _text_vectors(texts: list[str], encoder: TextEncoder, config: BackboneConfig, data_root: Path) -> np.ndarray:
    """float32 [NUM_SPECIAL + num_items, size], zero for padding and unknown."""
    encode = tf.function(encoder, input_signature=[tf.TensorSpec([None], tf.string)])
    cache = EmbeddingCache(data_root / "embeddings", encoder.key())
    missing = cache.count_missing(texts)
    console.say(f"texts: {missing:,} to encode with {config.name}")
    with console.progress("encoding texts", missing) as advance:
        vectors = cache.encode(
            texts, lambda batch: encode(tf.constant(batch)).numpy(), config.batch_size, advance=advance
        )
    return np.concatenate([np.zeros((NUM_SPECIAL, vectors.shape[1]), np.float32), vectors])


def titles_of(items: pd.DataFrame, roles: Roles, title: str | None) -> np.ndarray:
    """What to show people for each item: object [num_items]. `title`: the column; None: the first text column."""
    column = title or next(iter(roles.text), "item_id")
    titles = items[column].astype(object)
    return titles.where(titles.notna() & (titles != ""), items["item_id"]).to_numpy(object)
