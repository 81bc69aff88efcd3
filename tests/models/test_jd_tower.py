from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.baselines.contract import RecommenderContract
from tfrec.config import Config, JDTowerConfig
from tfrec.datasets import split_dataset
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.simulator import Simulation, simulate
from tfrec.errors import InputError
from tfrec.evaluation import evaluate
from tfrec.features.prepared import Prepared
from tfrec.features.text import item_texts
from tfrec.models import build_model
from tfrec.models import jd_tower as jd_tower_module
from tfrec.models.jd_tower import JDTower
from tfrec.models.ranking_recommender import RankingRecommender
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
    """With a head: retrieval must not suffer from it."""
    run = Run.create(tmp_path_factory.mktemp("runs") / "jd", with_head(jd_config, "transformer"))
    train(run, jd_prepared, tf.distribute.get_strategy())
    return load_model(run, jd_prepared)


def with_head(config: Config, head: str, **settings: object) -> Config:
    return config.model_copy(update={"model": config.model.model_copy(update={"head": head, **settings})})


class TestContract(RecommenderContract):
    num_items = 60
    num_users = 300
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self, trained: JDTower) -> RetrievalRecommender:
        return RetrievalRecommender(trained)


class TestRankingContract(TestContract):
    @pytest.fixture
    def recommender(self, trained: JDTower) -> RankingRecommender:
        return RankingRecommender(RetrievalRecommender(trained), num_candidates=20)


@pytest.mark.parametrize("ranked", [0, 20, 60])
def test_learns_what_follows_what(
    ranked: int, trained: JDTower, jd_prepared: Prepared, jd_config: Config, simulation: Simulation
) -> None:
    test = jd_prepared.split.test
    recommender = RankingRecommender(RetrievalRecommender(trained), ranked) if ranked else RetrievalRecommender(trained)
    report = evaluate(recommender, test, 60, jd_config.evaluation)
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


def test_items_that_training_never_saw_are_no_candidates(jd_config: Config, jd_prepared: Prepared) -> None:
    batch = (
        build_model(jd_config, jd_prepared).examples(jd_config.features, jd_prepared).batch(tf.constant([0], tf.int64))
    )
    told = {*batch["history"].numpy().ravel(), *batch["target"].numpy().ravel()}
    unseen = next(index for index in range(2, 62) if index not in told)
    counts = jd_prepared.counts.copy()
    counts[unseen - 2] = 0
    prepared = replace(jd_prepared, counts=counts)

    model = build_model(jd_config, prepared)
    items, outputs = model.item_vectors(), model(batch, training=False)
    targets = batch["target"].numpy()[batch["target"] > 0]
    logits = outputs["query"].numpy() @ np.delete(items, unseen, axis=0)[2:].T / 0.1
    right = (outputs["query"].numpy() * items[targets]).sum(axis=1) / 0.1
    examples = model.examples(jd_config.features, prepared)
    num_targets = np.maximum(prepared.split.train.lengths - 1, 0).sum()
    expected = (np.log(np.exp(logits).sum(axis=1)) - right).sum() / (num_targets / len(examples))
    np.testing.assert_allclose(model.compute_loss(batch, None, outputs), expected, rtol=1e-4)

    sampled = build_model(with_head(jd_config, "linear", loss="sampled_softmax", num_negatives=2000), prepared)
    drawn = sampled(batch, training=False)["negative_ids"].numpy()
    assert set(drawn) == set(range(2, 62)) - {unseen}
    for _ in range(20):
        assert unseen not in sampled._draw_ranked(batch["target"])[0].numpy()


def test_in_batch_a_target_weighs_the_same_in_every_batch(jd_config: Config, jd_prepared: Prepared) -> None:
    model = build_model(with_head(jd_config, "none", loss="in_batch", num_negatives=3), jd_prepared)
    model._in_batch = lambda *arguments: 1.0
    examples = model.examples(jd_config.features, jd_prepared)
    num_targets = np.maximum(jd_prepared.split.train.lengths - 1, 0).sum()
    for windows in ([0], [5, 9]):
        batch = examples.batch(tf.constant(windows, tf.int64))
        mean_targets = num_targets / len(examples) * len(windows)
        loss = model.compute_loss(batch, None, model(batch, training=False))
        np.testing.assert_allclose(loss, np.count_nonzero(batch["target"]) / mean_targets, rtol=1e-5)


@pytest.mark.parametrize(("devices", "of_each"), [(1.0, 6), (2.0, 3), (4.0, 2)])
def test_in_batch_draws_as_many_on_several_devices(
    devices: float, of_each: int, jd_config: Config, jd_prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jd_tower_module, "num_devices", lambda: devices)
    model = build_model(with_head(jd_config, "none", loss="in_batch", num_negatives=5), jd_prepared)
    drawn = []
    model._in_batch = lambda queries, *others: drawn.append(len(queries)) or 1.0
    batch = model.examples(jd_config.features, jd_prepared).batch(tf.constant([5, 9], tf.int64))
    model.compute_loss(batch, None, model(batch, training=False))
    assert drawn == [of_each]


@pytest.mark.parametrize("head", ["linear", "mlp", "transformer"])
def test_the_ranking_loss_is_the_mean_over_targets_and_their_negatives(
    head: str, jd_config: Config, jd_prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    keras.utils.set_random_seed(0)
    settings = {"ranking_negatives": 2, "ranking_places": 8, "retrieval_weight": 0.5, "ranking_weight": 3.0}
    model = build_model(with_head(jd_config, head, **settings), jd_prepared)

    def next_two(positives: tf.Tensor, num_items: int, num_negatives: int, seed: object) -> tf.Tensor:
        assert (num_items, num_negatives) == (60, 2)
        return tf.stack([(positives + 1) % 62, (positives + 2) % 62], axis=-1)

    monkeypatch.setattr(jd_tower_module, "draw_negatives", next_two)
    batch = model.examples(jd_config.features, jd_prepared).batch(tf.constant([0, 5], tf.int64))
    items = model.item_vectors()
    losses = []
    for row in range(2):
        for place in np.flatnonzero(batch["target"][row].numpy()):
            # An oracle that asks one place at a time: cut the history there, and take the last place's answer.
            history = np.zeros((1, 8), np.int32)
            history[0, : place + 1] = batch["history"][row, : place + 1]
            query = model.user_vectors(items, history, batch["user"][row : row + 1].numpy())
            candidates = (batch["target"][row, place].numpy() + np.arange(3)) % 62
            [logits] = model.head(query, items[history], tf.constant(history > 0), items[candidates][None]).numpy()
            losses += [np.log1p(np.exp(-logits[0])), np.log1p(np.exp(logits[1])), np.log1p(np.exp(logits[2]))]
    outputs = model(batch, training=False)
    np.testing.assert_allclose(model.ranking_loss(batch, outputs), np.mean(losses), rtol=1e-4)
    expected = 0.5 * model.retrieval_loss(batch, outputs) + 3 * np.mean(losses)
    np.testing.assert_allclose(model.compute_loss(batch, None, outputs), expected, rtol=1e-4)


def test_few_places_of_a_history_are_ranked(jd_config: Config, jd_prepared: Prepared) -> None:
    # The head is asked for two places a window and 1 + 4 items a place, however long the history is.
    model = build_model(with_head(jd_config, "linear", ranking_places=2), jd_prepared)
    batch = model.examples(jd_config.features, jd_prepared).batch(tf.constant([0, 5, 9], tf.int64))
    outputs = model(batch, training=False)
    assert (outputs["logits"].shape, outputs["weights"].shape) == ((3, 2, 5), (3, 2))


@pytest.mark.parametrize("loss", ["sampled_softmax", "in_batch"])
def test_where_not_all_items_are_encoded_those_to_rank_are(loss: str, jd_config: Config, jd_prepared: Prepared) -> None:
    keras.utils.set_random_seed(0)
    model = build_model(with_head(jd_config, "transformer", loss=loss, num_negatives=3), jd_prepared)
    batch = model.examples(jd_config.features, jd_prepared).batch(tf.constant([0], tf.int64))
    drawn = model._draw_ranked(batch["target"])
    model._draw_ranked = lambda targets: drawn
    candidates, places, _ = (each.numpy() for each in drawn)
    logits = model(batch, training=False)["logits"].numpy()
    items = model.item_vectors()
    for number, place in enumerate(places[0]):
        history = np.zeros((1, 8), np.int32)
        history[0, : place + 1] = batch["history"][0, : place + 1]
        query = model.user_vectors(items, history, batch["user"].numpy())
        [expected] = model.head(query, items[history], tf.constant(history > 0), items[candidates[:1, number]]).numpy()
        np.testing.assert_allclose(logits[0, number], expected, rtol=1e-3, atol=1e-4)


def test_one_item_can_not_be_ranked(jd_config: Config, jd_prepared: Prepared) -> None:
    alone = replace(jd_prepared, counts=jd_prepared.counts[:1])
    with pytest.raises(InputError, match="at least two items"):
        build_model(with_head(jd_config, "mlp"), alone)


@pytest.fixture(scope="module")
def untrained(jd_config: Config, jd_prepared: Prepared) -> JDTower:
    """The head and the cosine agree on nothing yet."""
    keras.utils.set_random_seed(1)
    return build_model(with_head(jd_config, "mlp"), jd_prepared)


@pytest.fixture(scope="module")
def histories(jd_prepared: Prepared) -> Ragged:
    histories = jd_prepared.split.test.histories
    return Ragged(histories.values[: histories.offsets[3]], histories.offsets[:4])


class TestRetrieveThenRank:
    users = np.arange(3, dtype=np.int32)

    def test_what_is_retrieved_stands_above_the_rest_in_the_heads_order(
        self, untrained: JDTower, histories: Ragged
    ) -> None:
        cosines = RetrievalRecommender(untrained).score(self.users, histories)
        by_head = RankingRecommender(RetrievalRecommender(untrained), 60).score(self.users, histories)
        scores = RankingRecommender(RetrievalRecommender(untrained), 7).score(self.users, histories)
        for row in range(3):
            unseen = np.setdiff1d(np.arange(60), histories[row])
            best = unseen[np.argsort(-cosines[row, unseen])]
            expected = [*sorted(best[:7], key=lambda item: -by_head[row, item]), *best[7:]]
            assert unseen[np.argsort(-scores[row, unseen])].tolist() == expected

    def test_only_what_may_be_recommended_is_retrieved(self, untrained: JDTower, histories: Ragged) -> None:
        allowed = np.array([3, 14, 15, 59])
        by_head = RankingRecommender(RetrievalRecommender(untrained), 60).score(self.users, histories)
        scores = RankingRecommender(RetrievalRecommender(untrained), 4, allowed).score(self.users, histories)
        for row in range(3):
            unseen = np.setdiff1d(allowed, histories[row])
            np.testing.assert_allclose(scores[row, unseen], by_head[row, unseen], rtol=1e-4, atol=1e-5)
            assert scores[row, np.setdiff1d(np.arange(60), allowed)].max() < scores[row, unseen].min()

    def test_without_a_history_what_is_popular(self, untrained: JDTower, jd_prepared: Prepared) -> None:
        nothing = Ragged(np.zeros(0, np.int32), np.zeros(2, np.int64))
        [scores] = RankingRecommender(RetrievalRecommender(untrained), 7).score(self.users[:1], nothing)
        np.testing.assert_allclose(scores, jd_prepared.counts / jd_prepared.counts.max(), rtol=1e-6)


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
