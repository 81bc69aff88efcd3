"""A model whose training varies histories."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.baselines.random_data import dense
from tests.training.stop import stop_at
from tfrec.config import AugmentationConfig, Config, JDTowerConfig
from tfrec.features.prepared import Prepared
from tfrec.models import build_model
from tfrec.models.jd_tower import JDTower
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.training.checkpoint import read_state
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train

ALL = ("crop", "mask", "reorder", "insert", "substitute")


def configured(config: Config, *sequences: str, **settings: object) -> Config:
    augmentation = AugmentationConfig(sequences=sequences, **{"share": 1.0, **settings})
    model = JDTowerConfig(name="jd_tower", embedding_size=16, hidden_sizes=(), num_layers=1)
    features = config.features.model_copy(update={"augmentation": augmentation})
    training = config.training.model_copy(update={"batch_size": 64, "epochs": 2, "patience": 9})
    return config.model_copy(update={"model": model, "features": features, "training": training})


def build(config: Config, prepared: Prepared) -> JDTower:
    keras.utils.set_random_seed(0)
    return build_model(config, prepared)


@pytest.mark.parametrize("similarity", ["interactions", "text"])
def test_what_is_brought_in_is_similar(similarity: str, prepared: Prepared, config: Config) -> None:
    config = configured(config, "substitute", substitute=1.0, similarity=similarity, similar_items=3)
    model = build(config, prepared)
    windows = model.examples(config.features, prepared)
    plain = windows.batch(windows.numbers[:50])
    varied = windows.varied(plain, tf.constant([0, 0]))
    train, num_items = prepared.split.train, len(prepared.counts)
    vectors = prepared.items.arrays["text"][2:] if similarity == "text" else dense(train, num_items).T
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    cosines = units @ units.T
    cosines[:, prepared.counts == 0] = 0
    np.fill_diagonal(cosines, 0)
    third = np.sort(cosines, axis=1)[:, -3]
    changed = varied["history"].numpy() != plain["history"].numpy()
    before, after = (each["history"].numpy()[changed] - 2 for each in (plain, varied))
    assert len(before) > 20
    assert (cosines[before, after] >= third[before] - 1e-6).all()


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax"])
def test_it_learns_from_what_is_varied(loss: str, prepared: Prepared, config: Config) -> None:
    config = configured(config, *ALL)
    config = config.model_copy(update={"model": config.model.model_copy(update={"loss": loss, "head": "transformer"})})
    model = build(config, prepared)
    for batch in model.examples(config.features, prepared).dataset(64, 0, 0, 1).take(2):
        outputs = model(batch, training=True)
        assert len(outputs["query"]) == np.count_nonzero(batch["target"])
        assert np.isfinite(model.batch_loss(batch, outputs))


def test_it_is_the_same_model_to_evaluation(prepared: Prepared, config: Config) -> None:
    varied, plain = configured(config, *ALL), configured(config)
    assert build(plain, prepared).examples(plain.features, prepared).augmentation is None
    histories, users = prepared.split.test.histories, prepared.split.test.users
    first, second = (RetrievalRecommender(build(each, prepared)).score(users, histories) for each in (varied, plain))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_a_resumed_run_ends_where_an_undisturbed_one_ends(
    prepared: Prepared, config: Config, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variants = np.stack([prepared.items.arrays["text"], prepared.items.arrays["text"][::-1]], axis=1)
    arrays = {**prepared.items.arrays, "text_variants": variants}
    prepared = replace(prepared, items=replace(prepared.items, arrays=arrays))
    config = configured(config, *ALL, share=0.5)
    once = Run.create(tmp_path / "once", config)
    train(once, prepared, tf.distribute.get_strategy())
    run = Run.create(tmp_path / "twice", config)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_at(patch, epoch=1, step=2)
        train(run, prepared, tf.distribute.get_strategy())
    assert read_state(run.latest)["step"] == 3
    train(run, prepared, tf.distribute.get_strategy())
    assert read_state(run.latest)["history"] == read_state(once.latest)["history"]
    trained = [load_model(each, prepared).trainable_variables for each in (run, once)]
    for one, other in zip(*trained, strict=True):
        np.testing.assert_array_equal(one, other)
