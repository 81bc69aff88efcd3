from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.baselines.contract import RecommenderContract
from tfrec.config import Config, JDTowerConfig
from tfrec.datasets import split_dataset
from tfrec.datasets.simulator import Simulation, simulate
from tfrec.evaluation import evaluate
from tfrec.features.prepared import Prepared
from tfrec.features.text import item_texts
from tfrec.models import build_model
from tfrec.models.jd_tower import JDTower
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.training.prepare import prepare
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train


@pytest.fixture(scope="module")
def simulation() -> Simulation:
    """The next item follows from the last one, four times out of five: only a model that sees the order can know."""
    return simulate(num_users=300, num_items=60, interactions_per_user=12, follow=0.8, seed=2)


@pytest.fixture(scope="module")
def jd_config(config: Config) -> Config:
    settings = JDTowerConfig(name="jd_tower", embedding_size=16, hidden_sizes=(), id_dropout=0.0, temperature=0.1)
    training = config.training.model_copy(update={"batch_size": 64, "epochs": 30, "patience": 30})
    return config.model_copy(update={"model": settings, "training": training})


@pytest.fixture(scope="module")
def jd_prepared(simulation: Simulation, jd_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    split = split_dataset(simulation.dataset, jd_config.split)
    texts = item_texts(simulation.dataset, None)
    return prepare(simulation.dataset, split, texts, jd_config, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(jd_config: Config, jd_prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> JDTower:
    run = Run.create(tmp_path_factory.mktemp("runs") / "jd", jd_config)
    train(run, jd_prepared, tf.distribute.get_strategy())
    return load_model(run, jd_prepared)


class TestContract(RecommenderContract):
    num_items = 60
    num_users = 300
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self, trained: JDTower) -> RetrievalRecommender:
        return RetrievalRecommender(trained)


def test_learns_what_follows_what(
    trained: JDTower, jd_prepared: Prepared, jd_config: Config, simulation: Simulation
) -> None:
    test = jd_prepared.split.test
    report = evaluate(RetrievalRecommender(trained), test, 60, jd_config.evaluation)
    assert report.metrics["recall@5"].mean > 0.8 * simulation.best_recall(test, 5)


def test_the_loss_is_the_mean_over_the_targets(jd_config: Config, jd_prepared: Prepared) -> None:
    keras.utils.set_random_seed(0)
    model = build_model(jd_config, jd_prepared)
    examples = model.examples(jd_config.features, jd_prepared)
    batch = examples.batch(tf.constant([0, 5], tf.int64))
    items = model.item_vectors()
    losses = []
    for row in range(2):
        for place in np.flatnonzero(batch["target"][row].numpy()):
            # An oracle that asks one place at a time: cut the history there, and take the last place's answer.
            history = np.zeros((1, 8), np.int32)
            history[0, : place + 1] = batch["history"][row, : place + 1]
            [query] = model.user_vectors(items, history, batch["user"][row : row + 1].numpy()).numpy()
            logits = items[2:] @ query / 0.1
            losses.append(np.log(np.exp(logits).sum()) - logits[batch["target"][row, place].numpy() - 2])
    loss = model.compute_loss(batch, None, model(batch, training=False))
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-4)


def test_the_mean_in_place_of_the_gpt(jd_config: Config, jd_prepared: Prepared) -> None:
    settings = jd_config.model.model_copy(update={"user_tower": "mean"})
    without_attributes = replace(jd_prepared, users=replace(jd_prepared.users, columns=(), arrays={}))
    model = JDTower(settings, jd_config.features, without_attributes)
    vectors = model.item_vectors()
    history = np.array([[5, 9, 30], [7, 0, 0]], np.int32)
    query = model({"history": history, "target": np.array([[9, 30, 2], [4, 0, 0]]), "user": np.array([2, 3])})["query"]
    means = [vectors[[5]].mean(0), vectors[[5, 9]].mean(0), vectors[[5, 9, 30]].mean(0), vectors[[7]].mean(0)]
    expected = [mean / np.linalg.norm(mean) for mean in means]
    np.testing.assert_allclose(query, expected, atol=1e-5)
    # What is trained is the item tower alone.
    assert len(model.trainable_variables) == len(model.item_tower.trainable_variables)
