"""Retrieve, filter, choose: from an export to the answer of a server."""

import json
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from typer.testing import CliRunner

from tests.conftest import Trained
from tfrec.artifacts.signatures import Signatures
from tfrec.artifacts.version import write_version
from tfrec.config import ExportConfig
from tfrec.datasets.dataset import Ragged
from tfrec.datasets.simulator import Simulation
from tfrec.features.prepared import Prepared
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.recommend import app as recommend_app
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server
from tfrec.training.catalogue import Catalogue

CONFIG = ExportConfig(top_k=8, filters=("genre", "year"), caps={"genre": 3}, pool=60)
HISTORY = [f"item-{code}" for code in (3, 17, 40)]


@pytest.fixture(scope="module")
def catalogue(simulation: Simulation) -> Catalogue:
    return Catalogue(simulation.dataset.items, simulation.dataset.item_roles)


@pytest.fixture(scope="module")
def address(
    trained: Trained, prepared: Prepared, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Its answers are compared after reload, in Python and through a v1 Session, before the version is there."""
    signatures = Signatures(trained.model, prepared, config=CONFIG, catalogue=catalogue)
    folder = tmp_path_factory.mktemp("saved_models") / "movies"
    write_version(signatures, signatures.examples([HISTORY]), prepared.titles, {}, folder)
    with Server([ModelConfig("movies", folder)], grpc_port=0) as server:
        yield f"127.0.0.1:{server.grpc_port}"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    with Client(address, "movies") as client:
        client.wait_until_available(60)
        yield client


@pytest.fixture(scope="module")
def in_order(trained: Trained) -> list[str]:
    """What comes after HISTORY, all of it, best first."""
    codes = np.array([3, 17, 40])
    scores = RetrievalRecommender(trained.model).score(np.array([-1]), Ragged(codes, np.array([0, 3])))[0]
    scores[codes] = -np.inf
    return [f"item-{code}" for code in np.argsort(-scores, kind="stable")[: len(scores) - 3]]


def expected(in_order: list[str], items: pd.DataFrame, allowed: pd.Series) -> list[str]:
    """The best that are allowed, three of a genre."""
    rows = items.assign(allowed=allowed).set_index("item_id").loc[in_order]
    rows = rows[rows["allowed"]]
    return rows[rows.groupby("genre").cumcount() < 3].index[:8].tolist()


def answers(client: Client, histories: list[list[str]], **filters: Any) -> list[list[str]]:
    return [[item for item, _ in row] for row in client.recommend(histories, filters=filters)]


def test_each_request_of_a_batch_has_its_own_filters(client: Client, catalogue: Catalogue, in_order: list[str]) -> None:
    items = catalogue.table
    genres = sorted(items["genre"].unique())[:2]
    found = answers(
        client,
        [HISTORY] * 4,
        genre=[[], genres, [], genres[:1]],
        year_min=[None, None, 1980, 2020],
        year_max=[None] * 4,
    )
    assert found == [
        expected(in_order, items, items["year"] > 0),
        expected(in_order, items, items["genre"].isin(genres)),
        expected(in_order, items, items["year"] >= 1980),
        expected(in_order, items, (items["genre"] == genres[0]) & (items["year"] >= 2020)),
    ]
    assert 0 < len(found[3]) < 8  # Fewer are there, and no others take their places.


def test_what_is_popular_is_filtered_too(client: Client, catalogue: Catalogue, prepared: Prepared) -> None:
    items = catalogue.table
    popular = [f"item-{code}" for code in np.argsort(-prepared.counts, kind="stable")]
    allowed = items["year"].between(1960, 1990)
    assert (
        answers(client, [[], ["no such item"]], year_min=[1960] * 2, year_max=[1990] * 2)
        == [expected(popular, items, allowed)] * 2
    )


def test_what_a_request_leaves_out_asks_for_nothing(address: str, client: Client) -> None:
    history = np.array([[*HISTORY, *[""] * 5]] * 3, object)
    request = PredictRequest()
    request.model_spec.name = "movies"
    request.inputs["history_item_ids"].CopyFrom(tf.make_tensor_proto(history))
    with grpc.insecure_channel(address) as channel:
        response = PredictionServiceStub(channel).Predict(request, timeout=20)
    found = tf.make_ndarray(response.outputs["item_ids"])
    assert [[item.decode() for item in row] for row in found] == answers(client, [HISTORY] * 3)


def test_a_filter_that_the_model_does_not_have(client: Client) -> None:
    with pytest.raises(ValueError, match=r"filters among \['genre', 'year_max', 'year_min'\].*Received: \['brand'\]"):
        client.recommend([HISTORY], filters={"brand": [["acme"]]})
    with pytest.raises(ValueError, match=r"Expected 1 lists in genre, one a history\. Received: 2"):
        client.recommend([HISTORY], filters={"genre": [["war"], []]})


def test_command_line(address: str, client: Client, catalogue: Catalogue) -> None:
    genre = catalogue.table["genre"][0]
    arguments = ["--model", "movies", "--server", address, "--history", "item-3", "--json"]
    result = CliRunner().invoke(
        recommend_app, [*arguments, "--filter", f"genre={genre}", "--filter", "year>=1960", "--filter", "year<=2000"]
    )
    assert result.exit_code == 0, result.output
    [found] = client.recommend([["item-3"]], filters={"genre": [[genre]], "year_min": [1960], "year_max": [2000]})
    assert [each["item_id"] for each in json.loads(result.stdout)] == [item for item, _ in found]
    for wrong, message in {
        "genre": "Expected --filter COLUMN=VALUE",
        "genre>=2": "Expected --filter genre=VALUE, a category",
        "year=new": "Expected a number in --filter year=N",
        "brand=acme": "Received: ['brand']",
    }.items():
        result = CliRunner().invoke(recommend_app, [*arguments, "--filter", wrong])
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())


def test_diversity_spreads_the_answer(trained: Trained, prepared: Prepared) -> None:
    request = Signatures(trained.model, prepared).examples([HISTORY])["recommend"]
    inputs = {name: tf.constant(rows) for name, rows in request.items()}
    spread = []
    for diversity in (0.0, 0.9):
        signatures = Signatures(trained.model, prepared, config=ExportConfig(top_k=8, diversity=diversity))
        ids = signatures.recommend(**inputs)["item_ids"]
        vectors = tf.math.l2_normalize(tf.gather(signatures.item_vectors, signatures.vocabulary(ids[:1]))[0], axis=1)
        spread.append(float(tf.reduce_mean(vectors @ tf.transpose(vectors))))
    assert spread[1] < spread[0]
