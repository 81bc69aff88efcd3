"""YouTube's candidate generation: what it learns, its loss, and the age of examples."""

from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow as tf

from tests.baselines.contract import RecommenderContract
from tests.conftest import Trained
from tfrec.artifacts.export import export
from tfrec.baselines import Popularity
from tfrec.config import Config, ExportConfig, YouTubeDNNConfig
from tfrec.datasets import history_context, split_dataset
from tfrec.datasets.assemble import assemble
from tfrec.datasets.simulator import Simulation
from tfrec.evaluation import evaluate
from tfrec.features.prepared import Prepared
from tfrec.models import build_model
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.training.prepare import prepare
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train


@pytest.fixture(scope="module")
def settings(config: Config) -> Config:
    model = YouTubeDNNConfig(name="youtube_dnn", embedding_size=16, hidden_sizes=(32,), num_negatives=64)
    return config.model_copy(update={"model": model})


@pytest.fixture(scope="module")
def youtube(settings: Config, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    run = Run.create(tmp_path_factory.mktemp("youtube") / "run", settings)
    prepared.save(run.prepared)
    train(run, prepared, tf.distribute.get_strategy())
    return Trained(run, load_model(run, prepared))


class TestContract(RecommenderContract):
    num_items = 60
    num_users = 300
    tolerance = 1e-5

    @pytest.fixture
    def recommender(self, youtube: Trained) -> RetrievalRecommender:
        return RetrievalRecommender(youtube.model)


def test_learns_what_there_is_to_learn(youtube: Trained, prepared: Prepared, simulation: Simulation) -> None:
    test, evaluation = prepared.split.test, youtube.run.config.evaluation
    recall, popularity = (
        evaluate(each, test, 60, evaluation).metrics["recall@5"].mean
        for each in (RetrievalRecommender(youtube.model), Popularity(prepared.split.train, 60))
    )
    assert recall > 1.3 * popularity
    assert recall > 0.7 * simulation.best_recall(test, 5)


@pytest.mark.slow
def test_it_exports(youtube: Trained, tmp_path: Path) -> None:
    # Its answers are compared, in Python and through a v1 Session, before the version is there.
    assert (export(youtube.run, tmp_path, tmp_path / "videos", ExportConfig(top_k=5)) / "saved_model.pb").is_file()


def test_the_loss_by_hand(settings: Config, prepared: Prepared) -> None:
    keras.utils.set_random_seed(0)
    model = build_model(settings, prepared)
    batch = model.examples(settings.features, prepared).batch(tf.constant([1, 5, 40], tf.int64))
    outputs = model(batch, training=False)
    query, positive, negative = (outputs[name].numpy() / np.sqrt(0.05) for name in ("query", "positive", "negative"))
    right = (query * positive).sum(axis=1)
    others = query @ negative.T
    others[batch["target"].numpy()[:, None] == outputs["negative_ids"].numpy()] = -np.inf
    # Each of the 64 drawn stands for (60 - 1) / 64 of the other items.
    total = np.exp(right) + np.exp(others).sum(axis=1) * 59 / 64
    expected = (np.log(total) - right).mean()
    assert model.compute_loss(batch, None, outputs).numpy() == pytest.approx(expected, rel=0.02)


def test_what_is_asked_now_is_answered_for_now(settings: Config, tmp_path: Path) -> None:
    """What follows is the old hit in the first half of the time, the new one in the second."""
    generator = np.random.default_rng(0)
    rows = []
    for user in range(300):
        start = int(generator.integers(1_000_000))
        hit = "old hit" if start < 500_000 else "new hit"
        # What leave_last_out tests and validates, the last two, is not trained on.
        *before, one, other = generator.choice(10, 5, replace=False)
        items = [*(f"i{item}" for item in before), hit, f"i{one}", f"i{other}"]
        times = start + np.cumsum(generator.integers(1, 100, len(items)))
        rows += [(f"u{user}", item, int(time)) for item, time in zip(items, times, strict=True)]
    frame = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    dataset = assemble("hits", pa.Table.from_pandas(frame, preserve_index=False))
    config = settings.model_copy(
        update={
            "features": settings.features.model_copy(update={"history_time_gaps": True}),
            "model": settings.model.model_copy(update={"use_text": False, "num_negatives": 32}),
            "training": settings.training.model_copy(update={"epochs": 15, "patience": 15, "batch_size": 32}),
        }
    )
    split = split_dataset(dataset, config.split, history_context(dataset, config.features))
    prepared = prepare(dataset, split, None, config, tmp_path)
    run = Run.create(tmp_path / "run", config)
    train(run, prepared, tf.distribute.get_strategy())
    model = load_model(run, prepared)
    ids = prepared.items.ids.tolist()
    vectors = model.item_vectors()
    batch = model.examples(config.features, prepared).batch(tf.range(2, 120, 5, dtype=tf.int64))
    history = tf.gather(vectors, batch["history"])
    features = {"context": batch, "training": False}
    hits = tf.gather(vectors, [2 + ids.index("new hit"), 2 + ids.index("old hit")])

    def preference(**age: tf.Tensor) -> np.ndarray:
        query = model.encode_users(history, batch["history"] > 0, batch["user"], **features, **age)
        new, old = tf.unstack(tf.matmul(query, hits, transpose_b=True), axis=1)
        return (new - old).numpy()

    assert preference().mean() > 0.05  # As a server asks.
    assert preference(example_age=tf.ones(len(history))).mean() < -0.05
