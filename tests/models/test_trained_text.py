"""Models whose text encoder is trained."""

from collections.abc import Callable
from pathlib import Path

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from tests.baselines.contract import RecommenderContract
from tests.conftest import Trained, Tuned
from tfrec.backbones.resolve import load_text_encoder
from tfrec.config import JDTowerConfig
from tfrec.models import build_model
from tfrec.models.retrieval_model import RetrievalModel, RetrievalRecommender
from tfrec.training.optimizer import AdamW


@pytest.mark.slow
class TestContract(RecommenderContract):
    num_items = 60
    num_users = 300
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self, trained_lora: Trained) -> RetrievalRecommender:
        return RetrievalRecommender(trained_lora.model)


def build(tuned: Tuned, name: str = "two_tower", loss: str = "full_softmax") -> RetrievalModel:
    keras.utils.set_random_seed(0)
    config = tuned.run.config
    if name == "jd_tower":
        settings = JDTowerConfig(name="jd_tower", embedding_size=16, hidden_sizes=(), num_layers=1, loss=loss)
        config = config.model_copy(update={"model": settings})
    return build_model(config, tuned.prepared, load_text_encoder(config.backbone, Path("data")))


def batch_of(model: RetrievalModel, tuned: Tuned, *examples: int) -> dict[str, tf.Tensor]:
    return model.examples(tuned.run.config.features, tuned.prepared).batch(tf.constant(examples, tf.int64))


def count_rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each call of a backbone is given from now on."""
    rows = []
    call = keras_hub.models.BertBackbone.call

    def record(self, inputs, *arguments, **options):
        rows.append(len(inputs["token_ids"]))
        return call(self, inputs, *arguments, **options)

    monkeypatch.setattr(keras_hub.models.BertBackbone, "call", record)
    return rows


@pytest.mark.parametrize("name", ["two_tower", "jd_tower"])
def test_each_distinct_item_of_a_batch_is_encoded_once(
    name: str, tuned: Callable[..., Tuned], monkeypatch: pytest.MonkeyPatch
) -> None:
    lora = tuned(tuning="lora")
    model = build(lora, name, loss="in_batch")
    assert not model.encodes_catalogue
    batch = batch_of(model, lora, 1, 2, 3, 5, 40)
    history, target = batch["history"].numpy(), batch["target"].numpy()
    distinct = (set(history.ravel().tolist()) | set(target.ravel().tolist())) - {0}
    distinct |= {0} if (history == 0).any() else set()  # Padding is a row as well, of the histories.
    assert 4 < len(distinct) < history.size
    rows = count_rows(monkeypatch)
    model(batch, training=True)
    assert sum(rows) == len(distinct)


@pytest.mark.parametrize("backbone", [{"tuning": "lora"}, {"pooling": "attention"}])
def test_it_starts_where_the_frozen_model_is(backbone: dict, tuned: Callable[..., Tuned], prepared, config) -> None:
    model = build(tuned(**backbone))
    np.testing.assert_allclose(model.text_vectors(), prepared.items.arrays["text"], atol=1e-5)
    frozen = build_model(config, prepared)
    frozen.item_tower.set_weights(model.item_tower.get_weights())
    np.testing.assert_allclose(model.item_vectors(), frozen.item_vectors(), atol=1e-5)


@pytest.mark.parametrize("backbone", [{"tuning": "full", "pooling": "cls"}, {"tuning": "lora", "pooling": "attention"}])
def test_training_and_evaluation_see_the_same_vectors(backbone: dict, tuned: Callable[..., Tuned]) -> None:
    model = build(tuned(**backbone))
    indices = [7, 1, 0, 61, 33]
    np.testing.assert_allclose(model.encode_items(tf.constant(indices)), model.item_vectors()[indices], atol=1e-5)
    text = model.text_vectors()
    np.testing.assert_array_equal(text[:2], np.zeros((2, 8)))
    np.testing.assert_allclose(np.linalg.norm(text[2:], axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(model.item_vectors(text), model.item_vectors())


@pytest.mark.parametrize("name", ["two_tower", "jd_tower"])
@pytest.mark.parametrize(
    "backbone", [{"pooling": "attention"}, {"tuning": "lora"}, {"tuning": "full", "pooling": "attention"}]
)
def test_a_step_trains_what_it_should_and_nothing_else(name: str, backbone: dict, tuned: Callable[..., Tuned]) -> None:
    fixture = tuned(**backbone)
    model = build(fixture, name)
    encoder = model.text_encoder
    before = {weight.path: np.array(weight) for weight in encoder.weights}
    assert len(before) == len(encoder.weights)
    model.compile(optimizer=AdamW(0.01), run_eagerly=True)
    batch = batch_of(model, fixture, *range(1, 33))
    for _ in range(2):  # At first LoRA's A has no gradient: it is multiplied by B, which is zero.
        model.train_on_batch(batch)
    changed = {weight.path for weight in encoder.weights if not np.array_equal(before[weight.path], weight)}
    expected = {weight.path for weight in encoder.trainable_variables}
    assert changed == expected
    full = {weight.path for weight in encoder.backbone.weights} - {
        weight.path for weight in encoder.backbone.pooled_dense.weights
    }
    adapters = {path for path in before if "lora_kernel" in path}
    query = {path for path in before if path.endswith("attention_pooling/query")}
    assert changed == {"full": full, "lora": adapters, "frozen": set()}[encoder.tuning] | query
    assert len(query) == (encoder.pooling == "attention")
    assert len(adapters) == (8 if encoder.tuning == "lora" else 0)


def test_tokens_without_an_encoder(tuned: Callable[..., Tuned], prepared, config) -> None:
    fixture = tuned(tuning="lora")
    with pytest.raises(ValueError, match="Expected a text_encoder for tables with text_tokens"):
        build_model(fixture.run.config, fixture.prepared)
    with pytest.raises(ValueError, match="none for others"):
        build_model(config, prepared, load_text_encoder(fixture.run.config.backbone, Path("data")))


def test_a_tuned_backbone_begins_where_a_frozen_one_would(tuned: Callable[..., Tuned]) -> None:
    model = build(tuned(tuning="lora"))
    model.start_from_texts()
    projected = model.item_tower.text_projection(tf.constant(model.text_vectors()[2:])).numpy()
    # Whitened: the mean is nothing, and vectors have length 1 on average.
    np.testing.assert_allclose(projected.mean(axis=0), 0, atol=1e-3)
    assert np.square(projected).sum(axis=1).mean() == pytest.approx(1, rel=1e-2)
