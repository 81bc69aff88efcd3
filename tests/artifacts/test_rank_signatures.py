"""A model that predicts the click, from the checkpoint to the answer of a server."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from tests.models.ranking import prepare_ranker, ranker_config
from tfrec.artifacts.export import export
from tfrec.artifacts.rank_signatures import RankSignatures, calibrator
from tfrec.artifacts.version import write_version
from tfrec.config.models import MULTI_TASK_NAMES, RANKER_NAMES
from tfrec.datasets.splits import TEST
from tfrec.evaluation import Calibration, fit_calibration
from tfrec.evaluation.click_metrics import sigmoid
from tfrec.features.prepared_impressions import PreparedImpressions
from tfrec.models import build_ranker
from tfrec.models.ranking_model import LABEL, RankingModel
from tfrec.recommend import app as recommend_app
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server
from tfrec.training.run import Run
from tfrec.training.trainer import load_calibrations, load_ranker, train

CONFIG = ranker_config(
    "mmoe",
    **{
        "training.epochs": 1,
        "features.crosses": [["device", "slot"]],
        "features.minimum_count": 300,  # Of the fifteen pairs of a device and a slot some are rarer.
        "features.hash_buckets": 4,
    },
)


@pytest.fixture(scope="module")
def prepared() -> PreparedImpressions:
    prepared = prepare_ranker(CONFIG)
    [crossed] = [column for column in prepared.context_columns if column.crossed]
    assert 5 < len(crossed.vocabulary) < 15
    return prepared


@pytest.fixture(scope="module")
def run(prepared: PreparedImpressions, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Its answers are compared after reload, in Python and through a v1 Session, before the version is there."""
    folder = tmp_path_factory.mktemp("mmoe")
    run = Run.create(folder / "run", CONFIG)
    prepared.save(run.prepared)
    train(run, prepared, tf.distribute.get_strategy())
    export(run, folder, folder / "clicks")
    return run


@pytest.fixture(scope="module")
def model(run: Run, prepared: PreparedImpressions) -> RankingModel:
    return load_ranker(run, prepared)


@pytest.fixture(scope="module")
def address(run: Run) -> Iterator[str]:
    with Server([ModelConfig("clicks", run.folder.parent / "clicks")], grpc_port=0) as server:
        yield f"127.0.0.1:{server.grpc_port}"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    with Client(address, "clicks") as client:
        client.wait_until_available(60)
        yield client


EXPORTED = ("mmoe", "esmm")
"""The one below, the other by the command line, in tests/test_click_commands.py."""
LIKE_OTHERS = (
    "logistic_regression",
    "dnn",
    "youtube_ranker",
    "wide_and_deep",
    "din",
    "deepfm",
    "dcn_v2",
    "shared_bottom",
    "ple",
    "jasper",
)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in LIKE_OTHERS else [])
        for name in RANKER_NAMES
        if name not in EXPORTED
    ],
)
def test_every_architecture_exports(name: str, prepared: PreparedImpressions, tmp_path: Path) -> None:
    # TensorFlow writes inputs in small letters, whatever a column is called.
    # "Task" is an argument's name, too.
    renamed = {"slot": "Task"}
    columns = [
        dataclasses.replace(
            column,
            name=renamed.get(column.name, column.name.title()),
            crossed=tuple(renamed.get(part, part.title()) for part in column.crossed),
        )
        for column in prepared.context_columns
    ]
    context = {renamed.get(name, name.title()): array for name, array in prepared.context.items()}
    prepared = dataclasses.replace(prepared, context_columns=tuple(columns), context=context)
    model = build_ranker(ranker_config(name), prepared)
    signatures = RankSignatures(model, prepared, dict.fromkeys(model.tasks(prepared), Calibration()))
    assert ("auction_bought" in signatures.endpoints()) == (name in MULTI_TASK_NAMES)
    write_version(signatures, signatures.examples([["item-3"]]), prepared.titles, {}, tmp_path / "clicks")
    assert (tmp_path / "clicks/1/saved_model.pb").is_file()


def test_the_server_sees_what_evaluation_saw(
    client: Client, run: Run, model: RankingModel, prepared: PreparedImpressions
) -> None:
    """The strings of real impressions, through gRPC, against the evaluation's own path from the tables' codes."""
    from tests.models.ranking import simulated

    rows = model.rows(prepared, TEST)
    calibrations, logits = load_calibrations(run, model, prepared), model.predict_logits(rows)
    expected = {
        None: sigmoid(calibrations[LABEL](logits[:, 0])),
        "bought": sigmoid(calibrations["bought"](logits[:, 1])),
    }
    impressions, dataset = prepared.impressions, simulated().dataset
    for (place, number), outcome in itertools.product(enumerate(rows.numbers.numpy()[:40]), expected):
        shown = dataset.interactions.iloc[impressions.rows[number]]
        user = dataset.users.iloc[impressions.users[number]]
        first = np.flatnonzero(impressions.users == impressions.users[number])[0]
        past = np.arange(first, impressions.past[number])
        [[(item, probability)]] = client.rank(
            [prepared.items.ids[impressions.items[past]].tolist()],
            [[shown["item_id"]]],
            attributes={
                "user_id": [user["user_id"]],
                "country": [user["country"]],
                "device": [shown["device"]],
                "slot": [shown["slot"]],
                "hour": [float(shown["hour"])],
            },
            labels=[impressions.labels[past].tolist()],
            outcome=outcome,
        )
        assert item == shown["item_id"]
        assert probability == pytest.approx(expected[outcome][place], abs=1e-5)


def request(**changes: np.ndarray) -> dict[str, np.ndarray]:
    inputs = {
        "candidate_item_ids": np.array([["item-1", "item-2", "no such item", ""]], object),
        "history_item_ids": np.array([["item-3", "item-4", "", "", "", ""]], object),
        "history_labels": np.array([[1, 0, 0, 0, 0, 0]], np.float32),
        "user_id": np.array(["user-7"], object),
        "country": np.array([""], object),
        "device": np.array(["phone"], object),
        "slot": np.array(["1"], object),
        "hour": np.array([np.nan], np.float32),
    }
    return inputs | changes


def test_padding_has_probability_zero_and_the_rest_has_not(client: Client) -> None:
    [probabilities] = client.predict("rank", request())["probabilities"]
    assert probabilities[3] == 0
    assert ((probabilities[:3] > 0) & (probabilities[:3] < 1)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"user_id": np.array(["user-8"], object)},
        {"slot": np.array(["5"], object)},
        {"device": np.array(["desktop"], object)},
        {"hour": np.array([3], np.float32)},
        {"history_labels": np.array([[0, 1, 0, 0, 0, 0]], np.float32)},
        {"history_item_ids": np.array([["item-9", "item-4", "", "", "", ""]], object)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_everything_that_a_request_tells_is_heard(client: Client, change: dict[str, np.ndarray]) -> None:
    [before], [after] = (client.predict("rank", each)["probabilities"] for each in (request(), request(**change)))
    assert (np.abs(before[:3] - after[:3]) > 1e-6).all()


def test_who_is_not_told_is_who_is_not_known(client: Client) -> None:
    nobody, stranger = (
        client.predict("rank", request(user_id=np.array([id], object)))["probabilities"] for id in ("", "no such user")
    )
    np.testing.assert_array_equal(nobody, stranger)


def test_a_label_is_whether_it_was_liked(client: Client) -> None:
    """A grade of five is no more than a like, and what is not known is none."""
    liked, graded, unknown = (
        client.predict("rank", request(history_labels=np.array([[label, 0, 0, 0, 0, 0]], np.float32)))["probabilities"]
        for label in (1, 5, np.nan)
    )
    np.testing.assert_array_equal(liked, graded)
    assert np.isfinite(unknown).all()


def test_a_candidate_does_not_depend_on_the_others(client: Client) -> None:
    [together] = client.predict("rank", request())["probabilities"]
    for place, id in enumerate(["item-1", "item-2", "no such item"]):
        alone = client.predict("rank", request(candidate_item_ids=np.array([[id]], object)))["probabilities"]
        assert alone[0, 0] == pytest.approx(together[place], abs=1e-6)


def test_an_outcome_is_sold_as_a_click_is(client: Client) -> None:
    """Paid for the purchase: the same order of revenue, with its own probability."""
    bids = {"candidate_bids": np.array([[0.5, 2.0, 1.0, 9.0]], np.float32), "floor": np.zeros(1, np.float32)}
    [bought] = client.predict("rank", request())["bought_probabilities"]
    revenue = 1000 * bids["candidate_bids"][0, :3] * bought[:3]
    [scores] = client.predict("auction_bought", request(**bids))["scores"]
    np.testing.assert_allclose(scores, [*np.sort(revenue)[::-1], 0], rtol=1e-5)


class TestAuction:
    bids = np.array([[0.5, 2.0, 1.0, 9.0]], np.float32)

    def auction(self, client: Client, floor: float) -> dict[str, np.ndarray]:
        bids = {"candidate_bids": self.bids, "floor": np.array([floor], np.float32)}
        return {name: values[0] for name, values in client.predict("auction", request(**bids)).items()}

    def test_by_expected_revenue(self, client: Client) -> None:
        [probabilities] = client.predict("rank", request())["probabilities"]
        revenue = 1000 * self.bids[0] * probabilities
        order = np.argsort(-revenue[:3], kind="stable")
        sold = self.auction(client, floor=0)
        ids = np.array(["item-1", "item-2", "no such item"])
        assert sold["item_ids"].astype(str).tolist() == [*ids[order], ""]  # Padding is not sold, whatever it bids.
        np.testing.assert_allclose(sold["scores"], [*revenue[order], 0], rtol=1e-5)
        np.testing.assert_allclose(sold["probabilities"], [*probabilities[order], 0], rtol=1e-5)

    def test_the_floor(self, client: Client) -> None:
        scores = self.auction(client, floor=0)["scores"]
        sold = self.auction(client, floor=float((scores[0] + scores[1]) / 2))
        assert sold["item_ids"].astype(str).tolist()[1:] == ["", "", ""]
        np.testing.assert_allclose(sold["scores"], [scores[0], 0, 0, 0], rtol=1e-6)


def test_the_command_line_asks_it(address: str, client: Client, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.folder.parent)
    words = ["--model", "clicks", "--server", address, "--history", "item-3", "--label", "1", "--attribute", "hour=7"]
    words += ["--candidate", "item-1", "--candidate", "item-2", "--attribute", "user_id=user-7"]
    answer = CliRunner().invoke(recommend_app, words)
    assert answer.exit_code == 0, answer.output
    assert "item-1" in answer.output
    assert "item-2" in answer.output
    assert "bought" not in answer.output
    for outcome, code, said in (("bought", 0, "item-2"), ("returned", 2, "that the model predicts, of ['bought']")):
        asked = CliRunner().invoke(recommend_app, [*words, "--outcome", outcome])
        assert asked.exit_code == code, asked.output
        assert said in " ".join(asked.output.split())
    silent = CliRunner().invoke(recommend_app, [word for word in words if word not in ("--label", "1")])
    assert silent.exit_code == 2
    assert "Expected --label for each --history" in silent.output


def test_calibration_in_the_graph_is_calibration_outside() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=500).astype(np.float32)
    labels = (generator.random(500) < sigmoid(2 * logits)).astype(np.float32)
    at = np.linspace(-20, 20, 401).astype(np.float32)
    fitted = [fit_calibration(method, logits, labels) for method in ("platt", "isotonic")]
    for calibration in (*fitted, Calibration()):
        np.testing.assert_allclose(calibrator(calibration)(tf.constant(at)), calibration(at), atol=1e-4)
