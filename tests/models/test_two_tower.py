import numpy as np
import pytest
import tensorflow as tf

from tests.baselines.contract import RecommenderContract
from tests.conftest import Trained
from tfrec.baselines import Popularity, Random
from tfrec.config import Config
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.simulator import Simulation
from tfrec.evaluation import evaluate
from tfrec.features.prepared import Prepared
from tfrec.features.sequences import NextItemExamples
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.models.two_tower import TwoTower


class TestContract(RecommenderContract):
    num_items = 60
    num_users = 300
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self, trained: Trained) -> RetrievalRecommender:
        return RetrievalRecommender(trained.model)


def test_learns_what_there_is_to_learn(trained: Trained, prepared: Prepared, simulation: Simulation) -> None:
    # The simulator knows the best recall that any model can have; random has 5 of the 48 to 50 unseen items.
    settings = trained.run.config.evaluation
    test = prepared.split.test
    recall = {
        report.name: report.metrics["recall@5"].mean
        for report in (
            evaluate(each, test, 60, settings)
            for each in (
                RetrievalRecommender(trained.model),
                Popularity(prepared.split.train, 60),
                Random(prepared.split.train, 60),
            )
        )
    }
    best = simulation.best_recall(test, 5)
    assert recall["two_tower"] > 2 * recall["random"]
    assert recall["two_tower"] > 1.3 * recall["popularity"]
    assert recall["two_tower"] > 0.7 * best


def test_a_user_without_history_gets_what_is_popular(trained: Trained, prepared: Prepared) -> None:
    nothing = Ragged(np.zeros(0, np.int32), np.zeros(2, np.int64))
    [scores] = RetrievalRecommender(trained.model).score(np.zeros(1, np.int32), nothing)
    np.testing.assert_allclose(scores, prepared.counts / prepared.counts.max(), rtol=1e-6)


def test_vectors_have_length_one(trained: Trained) -> None:
    np.testing.assert_allclose(np.linalg.norm(trained.model.item_vectors(), axis=1), 1, rtol=1e-5)


def test_the_loss_is_that_of_its_own_vectors(prepared: Prepared, config: Config) -> None:
    model = TwoTower(config.model, config.features, prepared)
    batch = NextItemExamples(prepared.split.train, 8).batch(tf.constant([1, 5, 40], tf.int64))
    vectors = {name: value.numpy() for name, value in model(batch, training=False).items()}
    target = batch["target"].numpy()
    # An oracle: cosine / temperature - log(share of the targets); the same item twice is no negative.
    logits = vectors["query"] @ vectors["candidate"].T / config.model.temperature
    train = prepared.split.train
    targets = np.concatenate([train[user][1:] for user in range(len(train))])  # A user's first item is never a target.
    logits -= np.log([np.mean(targets == item - 2) for item in target])
    logits[(target[:, None] == target[None, :]) & ~np.eye(3, dtype=bool)] = -np.inf
    expected = np.mean(np.log(np.exp(logits).sum(axis=1)) - np.diag(logits))
    loss = model.compute_loss(batch, None, model(batch, training=False))
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.parametrize("changes", [{"use_text": False}, {"use_id": False}, {"log_q_correction": False}])
def test_each_part_can_be_left_out(changes: dict, prepared: Prepared, config: Config) -> None:
    settings = config.model.model_copy(update=changes)
    arrays = {
        name: array for name, array in prepared.items.arrays.items() if not (name == "text" and "use_text" in changes)
    }
    items = type(prepared.items)(prepared.items.ids, prepared.items.columns, arrays)
    changed = type(prepared)(items, prepared.users, prepared.titles, prepared.counts, prepared.split)
    model = TwoTower(settings, config.features, changed)
    batch = NextItemExamples(prepared.split.train, 8).batch(tf.constant([1, 2], tf.int64))
    assert np.isfinite(model.compute_loss(batch, None, model(batch)).numpy())
