"""A user tower that reads words, fresh and pretrained, from the tables to the exported model."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.backbones.tiny import make_tiny_gpt
from tfrec.artifacts.signatures import Signatures
from tfrec.artifacts.version import write_version
from tfrec.backbones.gpt import NO_TOKEN, load_gpt
from tfrec.baselines import Random
from tfrec.config import Config, ExportConfig
from tfrec.datasets import split_dataset
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.evaluation import evaluate
from tfrec.features.prepared import Prepared
from tfrec.features.text import item_texts
from tfrec.models import build_model
from tfrec.models.jd_tower import JDTower
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.training.prepare import prepare
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train

ITEM_TOKENS = 3


@pytest.fixture(scope="module")
def tiny_gpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_gpt(tmp_path_factory.mktemp("gpt") / "tiny")


@pytest.fixture(scope="module", params=[pytest.param("fresh", marks=pytest.mark.slow), "pretrained"])
def words_config(request: pytest.FixtureRequest, config: Config, tiny_gpt: Path) -> Config:
    model = {
        "name": "jd_tower",
        "user_tower": "gpt_text",
        "gpt": None if request.param == "fresh" else str(tiny_gpt),
        "gpt_learning_rate": 0.003,
        "embedding_size": 16,
        "item_tokens": ITEM_TOKENS,
        "hidden_sizes": [],
    }
    training = config.training.model_copy(update={"batch_size": 64, "epochs": 12, "patience": 12})
    settings = config.model_copy(update={"training": training}).model_dump()
    return Config.model_validate({**settings, "model": model})


@pytest.fixture(scope="module")
def words(simulation: Simulation, words_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    split = split_dataset(simulation.dataset, words_config.split)
    texts = item_texts(simulation.dataset, "{genre} {title}")
    return prepare(simulation.dataset, split, texts, words_config, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(words_config: Config, words: Prepared, tmp_path_factory: pytest.TempPathFactory) -> JDTower:
    run = Run.create(tmp_path_factory.mktemp("runs") / "words", words_config)
    words.save(run.prepared)
    train(run, Prepared.load(run.prepared), tf.distribute.get_strategy())
    return load_model(run, words)


def test_each_item_has_its_words_and_an_end(words: Prepared) -> None:
    table = words.items.arrays["words"]
    assert table.shape == (2 + 60, ITEM_TOKENS)
    assert (table[0] == NO_TOKEN).all()  # Padding says nothing; an unknown item says that it ends.
    end = table[1, 0]
    assert (table[1, 1:] == NO_TOKEN).all()
    assert (np.sum(table[1:] == end, axis=1) == 1).all()


def test_it_learns_from_words(trained: JDTower, words: Prepared, words_config: Config) -> None:
    test = words.split.test
    report = evaluate(RetrievalRecommender(trained), test, 60, words_config.evaluation)
    floor = evaluate(Random(words.split.train, 60), test, 60, words_config.evaluation)
    assert report.metrics["recall@5"].mean > 1.5 * floor.metrics["recall@5"].mean


def test_the_history_is_read_by_its_words_alone(trained: JDTower, words: Prepared) -> None:
    history = np.array([[5, 9, 2, 0, 0, 0, 0, 0]], np.int32)
    items = trained.item_vectors()
    before = trained.user_vectors(items, history, np.array([1]))
    np.testing.assert_array_equal(trained.user_vectors(np.zeros_like(items), history, np.array([1])), before)


def test_the_export_reads_the_same_words(trained: JDTower, words: Prepared, tmp_path: Path) -> None:
    signatures = Signatures(trained, words, config=ExportConfig(top_k=5))
    examples = signatures.examples([words.items.ids[words.split.test.histories[case]].tolist() for case in range(3)])
    # Compares the live model with the reloaded one, in Python and through a v1 Session.
    folder = write_version(signatures, examples, words.titles, {}, tmp_path / "words")
    requests = {name: tf.constant(value) for name, value in examples["recommend"].items()}
    unknown = {
        each.column.name: each.column.missing(len(requests["history_item_ids"])) for each in signatures.user_encoders
    }
    answer = tf.saved_model.load(str(folder)).signatures["recommend"](**requests | unknown)
    scores = RetrievalRecommender(trained).score(np.full(3, -1), words.split.test.histories.take(np.arange(3)))
    for row in range(3):
        # A request brings the last eight items, and these are not recommended.
        unseen = np.setdiff1d(np.arange(60), words.split.test.histories[row][-8:])
        np.testing.assert_allclose(answer["scores"][row], np.sort(scores[row, unseen])[::-1][:5], atol=1e-4)


def test_a_history_that_is_longer_than_the_positions(words_config: Config, words: Prepared) -> None:
    if words_config.model.gpt is None:
        pytest.skip("A fresh GPT has as many positions as it needs.")
    features = words_config.features.model_copy(update={"history_length": 9})  # 27 of 24 positions
    with pytest.raises(InputError, match=r"24 positions and 27 places"):
        build_model(words_config.model_copy(update={"features": features}), words)


def test_a_pretrained_gpt_takes_its_own_steps(trained: JDTower, words_config: Config) -> None:
    sizes = {size for _, size in trained.step_sizes(words_config)}
    assert sizes == (set() if words_config.model.gpt is None else {0.003})


def test_a_pretrained_gpt_can_read_item_vectors(config: Config, prepared: Prepared, tiny_gpt: Path) -> None:
    settings = {"name": "jd_tower", "gpt": str(tiny_gpt), "embedding_size": 16, "hidden_sizes": []}
    model = build_model(Config.model_validate({**config.model_dump(), "model": settings}), prepared)
    pretrained = load_gpt(str(tiny_gpt), num_places=8)
    expected = [weight for block in pretrained.transformer_layers for weight in block.trainable_variables]
    found = [weight for block in model.user_tower.blocks.blocks for weight in block.trainable_variables]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert {id(variable) for variable, _ in model.step_sizes(config)} >= {id(weight) for weight in found}
    batch = model.examples(config.features, prepared).batch(tf.constant([0, 1], tf.int64))
    assert np.isfinite(model.compute_loss(batch, None, model(batch, training=True)))
