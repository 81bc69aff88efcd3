"""Models whose training varies the items' texts."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import Tuned
from tfrec.backbones.resolve import load_text_encoder
from tfrec.config import Config
from tfrec.features.prepared import Prepared
from tfrec.models import build_model
from tfrec.models.retrieval_model import RetrievalModel
from tfrec.training.epoch_end import changing_variables

NUM_VARIANTS = 3


def with_variants(prepared: Prepared, name: str) -> Prepared:
    """The variants of an item's text are the texts of the next items."""
    true = prepared.items.arrays[name]
    variants = np.stack([true[(np.arange(len(true)) + shift) % len(true)] for shift in range(NUM_VARIANTS)], axis=1)
    return replace(prepared, items=replace(prepared.items, arrays={**prepared.items.arrays, "text_variants": variants}))


def plain(config: Config, prepared: Prepared, encoder: object = None) -> RetrievalModel:
    """A model whose training drops nothing."""
    keras.utils.set_random_seed(0)
    settings = {"dropout": 0.0, "id_dropout": 0.0, "attribute_dropout": 0.0, "use_id": False}
    config = config.model_copy(update={"model": config.model.model_copy(update=settings)})
    return build_model(config, prepared, encoder)


def test_training_draws_among_them_and_nothing_else_reads_them(prepared: Prepared, config: Config) -> None:
    model, other = plain(config, with_variants(prepared, "text")), plain(config, prepared)
    np.testing.assert_array_equal(model.item_vectors(), other.item_vectors())
    item = tf.fill([300], 20)
    np.testing.assert_array_equal(model.encode_items(item), other.encode_items(item))
    drawn = model.encode_items(item, training=True).numpy()
    texts = tf.gather(prepared.items.arrays["text"], [20, 21, 22])
    expected = other._items_with_text(tf.fill([3], 20), texts).numpy()
    distances = np.abs(drawn[:, None] - expected).max(axis=2)
    assert distances.min(axis=1).max() < 1e-5
    # Each a third of the times: standard deviation 8.
    assert np.bincount(distances.argmin(axis=1), minlength=3) == pytest.approx([100] * 3, abs=35)
    assert not np.array_equal(model.encode_items(item, training=True), drawn)


def test_a_checkpoint_holds_what_draws_them(prepared: Prepared, config: Config) -> None:
    model, other = plain(config, with_variants(prepared, "text")), plain(config, prepared)
    for each in (model, other):
        each.compile(optimizer="sgd")
    state = model.variant_generator.state
    assert any(variable is state for variable in changing_variables(model))
    assert len(model.variables) == len(other.variables) + 1


def test_of_a_trained_backbone_they_are_tokens(tuned: Callable[..., Tuned]) -> None:
    lora = tuned(tuning="lora")
    encoder = load_text_encoder(lora.run.config.backbone, Path("data"))
    model = plain(lora.run.config, with_variants(lora.prepared, "text_tokens"), encoder)
    tokens = lora.prepared.items.arrays["text_tokens"][20:23].tolist()
    # The backbone has a dropout of its own, so that its vectors are not to be compared.
    drawn = model._read_texts(tf.fill([60], 20), training=True).numpy().tolist()
    assert all(each in tokens for each in drawn) and all(each in drawn for each in tokens)
    assert model._read_texts(tf.fill([60], 20), training=False).numpy().tolist() == tokens[:1] * 60
    assert model.encode_items(tf.constant([20, 21]), training=True).shape == (2, 16)
