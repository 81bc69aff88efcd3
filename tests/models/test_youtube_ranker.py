"""What an impression is worth, by weighted logistic regression."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.models.ranking import build, prepared_rankers, ranker_config, simulated
from tfrec.artifacts.rank_signatures import RankSignatures
from tfrec.artifacts.version import write_version
from tfrec.baselines import value_baselines
from tfrec.datasets import load_impressions
from tfrec.datasets.splits import TEST, TRAINING
from tfrec.errors import InputError
from tfrec.evaluation import evaluate_values
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server
from tfrec.training.run import Run
from tfrec.training.trainer import load_calibrations, load_ranker, train


def test_the_loss_by_hand() -> None:
    model, prepared = build("youtube_ranker"), prepared_rankers()
    inputs = model.rows(prepared, TRAINING).batch(tf.constant([0, 1, 2, 3, 4, 5], tf.int64))
    assert 0 < np.count_nonzero(inputs["value"]) < 6
    outputs = model(inputs)
    impressions = prepared.impressions
    unit = impressions.values[impressions.parts == TRAINING].mean()
    odds = np.exp(outputs["logits"].numpy()) / unit
    value = inputs["value"].numpy() / unit
    expected = -value * np.log(odds / (1 + odds)) + np.log(1 + odds)
    assert model.compute_loss(inputs, None, outputs).numpy() == pytest.approx(expected.mean(), rel=1e-4)


def test_the_loss_is_least_at_the_mean_however_often_it_is_clicked() -> None:
    # Three of four are clicked, and watched 40, 80 and 120 seconds: 60 on average.
    model = build("youtube_ranker")
    inputs = {"value": tf.constant([40.0, 80.0, 120.0, 0.0])}
    losses = {
        seconds: model.compute_loss(inputs, None, {"logits": tf.fill([4], np.log(np.float32(seconds)))}).numpy()
        for seconds in (50, 57, 60, 63, 70)
    }
    assert min(losses, key=lambda seconds: losses[seconds]) == 60


def test_a_start_without_learning_is_the_mean() -> None:
    model, prepared = build("youtube_ranker"), prepared_rankers()
    training = prepared.impressions.parts == TRAINING
    assert np.exp(model.bias.numpy()) == pytest.approx(prepared.impressions.values[training].mean(), rel=1e-5)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(
        tmp_path_factory.mktemp("youtube") / "run", ranker_config("youtube_ranker", **{"training.epochs": 12})
    )
    train(run, prepared_rankers(), tf.distribute.get_strategy())
    return run


def test_it_learns_what_impressions_are_worth(run: Run) -> None:
    prepared = prepared_rankers()
    model = load_ranker(run, prepared)
    rows = model.rows(prepared, TEST)
    numbers = rows.numbers.numpy()
    truth = simulated().expected_values[prepared.impressions.rows[numbers]]
    predicted = np.exp(model.predict_logits(rows))
    happened = [getattr(prepared.impressions, name)[numbers] for name in ("labels", "values")]
    aucs = {
        name: evaluate_values(name, *happened, each, users, run.config.evaluation).metrics["auc"].mean
        for users in [prepared.impressions.users[numbers]]
        for name, each in {"model": predicted, "truth": truth, **value_baselines(prepared, True)}.items()
    }
    # As of the others: most of what can be known.
    assert aucs["model"] > 0.5 + 0.6 * (aucs["truth"] - 0.5)
    assert aucs["truth"] > aucs["model"] > aucs["Poisson regression"] > aucs["mean"] == 0.5
    assert predicted.mean() == pytest.approx(truth.mean(), rel=0.15)


def test_the_server_answers_with_it(run: Run, tmp_path: Path) -> None:
    prepared = prepared_rankers()
    model = load_ranker(run, prepared)
    calibrations = load_calibrations(run, model, prepared)
    signatures = RankSignatures(model, prepared, calibrations)
    assert set(signatures.endpoints()) == {"serving_default", "rank"}
    write_version(signatures, signatures.examples([["item-3"]]), prepared.titles, {}, tmp_path / "videos")
    rows = model.rows(prepared, TEST)
    row = simulated().dataset.interactions.iloc[prepared.impressions.rows[rows.numbers.numpy()[0]]]
    batch = {name: values[:1].numpy() for name, values in next(rows.in_order()).items()}
    num_past = np.count_nonzero(batch["history"])
    history = prepared.items.ids[batch["history"][0, :num_past] - 2].tolist()
    country = simulated().dataset.users.set_index("user_id").loc[row["user_id"], "country"]
    attributes = {
        "user_id": [row["user_id"]],
        "country": [country],
        **{name: [row[name]] for name in ("device", "slot", "hour")},
    }
    others = prepared.items.ids[:5].tolist()
    labels = [batch["history_label"][0, :num_past].tolist()]
    models = [ModelConfig("videos", tmp_path / "videos")]
    with Server(models, grpc_port=0) as server, Client(f"127.0.0.1:{server.grpc_port}", "videos") as client:
        client.wait_until_available(60)
        [answer] = client.rank([history], [[row["item_id"], *others]], attributes=attributes, labels=labels)
    values = [value for _, value in answer]
    assert values == sorted(values, reverse=True)
    expected = np.exp(model.predict_logits(rows)[0])
    assert dict(answer)[row["item_id"]] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.drop(columns="value"), "with a value above 0 in training"),
        (lambda rows: rows.assign(value=rows["value"].where(rows["value"] == 0, -1)), "a value of 0 or more"),
        (lambda rows: rows.assign(value=np.nan), "a value of 0 or more"),
    ],
)
def test_values_that_cannot_be_learned_are_refused(change: Callable, told: str) -> None:
    dataset = simulated().dataset
    dataset = dataclasses.replace(dataset, interactions=change(dataset.interactions))
    with pytest.raises(InputError, match=told):
        load_impressions(dataset, ranker_config("youtube_ranker"))


def test_what_was_not_clicked_is_worth_nothing() -> None:
    dataset = simulated().dataset
    rows = dataset.interactions.assign(value=5.0)
    impressions = load_impressions(dataclasses.replace(dataset, interactions=rows), ranker_config("youtube_ranker"))
    np.testing.assert_array_equal(impressions.values, 5 * impressions.labels)
