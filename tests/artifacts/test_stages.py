"""Retrieve, filter, choose: from an export to the answer of a server."""

import json
import urllib.request
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
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
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.features.prepared import Prepared
from tfrec.indices import exact
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.recommend import app as recommend_app
from tfrec.serving.batch import Task, merge
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig
from tfrec.serving.inputs import _filters
from tfrec.serving.rows import pad
from tfrec.serving.server import Server
from tfrec.serving.signatures import TensorSpec
from tfrec.training.catalogue import Catalogue, renew_catalogue
from tfrec.training.trainer import load_model

CONFIG = ExportConfig(top_k=8, filters=("genre", "year"), caps={"genre": 3}, pool=60)
HISTORY = [f"item-{code}" for code in (3, 17, 40)]


@pytest.fixture(scope="module")
def catalogue(simulation: Simulation) -> Catalogue:
    return Catalogue(simulation.dataset.items, simulation.dataset.item_roles)


@pytest.fixture(scope="module")
def server(
    trained: Trained, prepared: Prepared, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Its answers are compared after reload, in Python and through a v1 Session, before the version is there."""
    signatures = Signatures(trained.model, prepared, config=CONFIG, catalogue=catalogue)
    folder = tmp_path_factory.mktemp("saved_models") / "movies"
    write_version(signatures, signatures.examples([HISTORY]), prepared.titles, {}, folder)
    with Server([ModelConfig("movies", folder)], grpc_port=0, rest_api_port=0) as server:
        yield server


@pytest.fixture(scope="module")
def address(server: Server) -> str:
    return f"127.0.0.1:{server.grpc_port}"


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
    # Several limits all hold; a date is its day, and no year is so late.
    limits = ["year>=1980", "year>=1960", "year<=2000", "year<=2010"]
    result = CliRunner().invoke(recommend_app, [*arguments, *(part for each in limits for part in ("--filter", each))])
    [found] = client.recommend([["item-3"]], filters={"year_min": [1980], "year_max": [2000]})
    assert [each["item_id"] for each in json.loads(result.stdout)] == [item for item, _ in found]
    assert found
    result = CliRunner().invoke(recommend_app, [*arguments, "--filter", "year>=1976-01-01"])
    assert json.loads(result.stdout) == []
    result = CliRunner().invoke(recommend_app, [*arguments, "--attribute", "age=old"])
    assert "Expected a number in --attribute age=N, or a date as in 2024-05-01. Received: 'old'" in result.output
    for wrong, message in {
        "genre": "Expected --filter COLUMN=VALUE",
        "genre>=2": "Expected --filter genre=VALUE, a category",
        "year=new": "Expected a number in --filter year=N, or a date",
        "year>=nan": "Expected a number in --filter year>=N, or a date",
        "genre=": "Expected nothing empty in genre",
        "colour>=3": "Received: ['colour']",
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


def live(signatures: Signatures, histories: list[list[str]], exclude: list[str] | None = None, **filters: Any) -> list:
    """Item ids of `recommend`, without a server; of one row each: what is excluded, and the filters."""
    inputs = {name: tf.constant(row) for name, row in signatures.optional.items()}
    inputs["history_item_ids"] = tf.constant([[*row, *[""] * (8 - len(row))] for row in histories])
    if exclude:
        inputs["exclude_item_ids"] = tf.constant([exclude])
    for name, value in filters.items():
        inputs[f"filter_{name}"] = tf.constant([value], inputs[f"filter_{name}"].dtype)
    answer = signatures.recommend(**inputs)
    return [[item.decode() for item in row if item] for row in answer["item_ids"].numpy().tolist()]


def test_filters_beside_thousands_of_excluded_items(client: Client, catalogue: Catalogue, in_order: list[str]) -> None:
    items = catalogue.table
    left = items["item_id"].isin(in_order[10:20]) & (items["year"] >= 1970)
    gone = [item for item in items["item_id"] if item not in in_order[10:20]] + [f"gone-{code}" for code in range(5000)]
    [found] = client.recommend([HISTORY], exclude=[gone], filters={"year_min": [1970]})
    assert [item for item, _ in found] == expected(in_order, items, left)
    assert len(found) < 8


def test_each_index_finds_what_is_allowed(
    trained: Trained, prepared: Prepared, catalogue: Catalogue, in_order: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exact, "SMALL", 8)
    monkeypatch.setattr(exact, "BLOCK", 4)
    monkeypatch.setattr(exact, "FEW_BLOCKS", 16)
    items = catalogue.table.set_index("item_id").loc[in_order]
    genre = items["genre"].value_counts().index[-1]
    allowed = (items["genre"] == genre) & (items["year"] >= 1960)
    for kind in ("rounded", "lists"):
        config = ExportConfig(top_k=3, filters=("genre", "year"), index=kind, index_recall=0.5)
        signatures = Signatures(trained.model, prepared, config=config, catalogue=catalogue)
        assert signatures.facts["items"]["kind"] == kind
        best = items.index[allowed][:3].tolist()
        assert live(signatures, [HISTORY], genre=["", genre, "none"], year_min=1960) == [best]
        assert live(signatures, [HISTORY], best[:1], genre=[genre], year_min=1960) == [
            items.index[allowed][1:4].tolist()
        ]
        assert live(signatures, [HISTORY], genre=["no such genre"]) == [[]]


def test_batches_of_several_widths_answer_as_each_request_alone(
    trained: Trained, prepared: Prepared, catalogue: Catalogue, in_order: list[str]
) -> None:
    # What a server does that batches: one below the other, each filled up with its own first element.
    signatures = Signatures(trained.model, prepared, config=CONFIG, catalogue=catalogue)
    genres = sorted(catalogue.table["genre"].unique())
    specs = {
        name: TensorSpec(spec.dtype, tuple(spec.shape.as_list()))
        for name, spec in signatures.endpoints()["recommend"][1].items()
    }
    requests = [
        {"exclude": [in_order[:1], in_order[1:6]], "genre": [genres[:1], []]},
        {"exclude": [[], []], "genre": [genres[:5], genres[4:]]},
        {"exclude": [in_order[3:30], []], "genre": [[], genres[1:2]]},
    ]
    tasks, alone = [], []
    for request in requests:
        inputs = {
            **{name: np.repeat(row, 2, axis=0) for name, row in signatures.optional.items()},
            "history_item_ids": pad("histories", [HISTORY, HISTORY[:1]], specs["history_item_ids"], may_cut=True),
            "exclude_item_ids": pad("exclude", request["exclude"], specs["exclude_item_ids"], begins_empty=True),
            "filter_genre": pad("genre", request["genre"], specs["filter_genre"], begins_empty=True),
        }
        alone += (
            signatures.recommend(**{name: tf.constant(rows) for name, rows in inputs.items()})["item_ids"]
            .numpy()
            .tolist()
        )
        tasks.append(Task([inputs[name] for name in specs], [0], 2, np.inf))
    together = dict(zip(specs, merge(tasks, list(specs), 2, may_widen=True), strict=True))
    assert together["exclude_item_ids"].shape == (8, 32)
    answer = signatures.recommend(**{name: tf.constant(rows) for name, rows in together.items()})["item_ids"].numpy()
    assert answer[:6].tolist() == alone


def test_rest_takes_the_filters(server: Server, client: Client, catalogue: Catalogue) -> None:
    genre = catalogue.table["genre"][0]
    optional = {"country": "", "age": np.nan, "exclude_item_ids": [""]}
    asked = {"filter_genre": [genre], "filter_year_min": 1960, "filter_year_max": np.nan}
    body = {"instances": [{"history_item_ids": [*HISTORY, *[""] * 5], **optional, **asked}]}
    url = f"http://127.0.0.1:{server.rest_api_port}/v1/models/movies:predict"
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=20) as response:  # NaN is written as NaN.
        [found] = json.load(response)["predictions"]
    assert [item for item in found["item_ids"] if item] == answers(client, [HISTORY], genre=[[genre]], year_min=[1960])[
        0
    ]


def test_a_renewed_catalogue_is_filtered_by_what_it_says_now(
    trained: Trained, prepared: Prepared, catalogue: Catalogue, in_order: list[str], tmp_path: Path
) -> None:
    # The best one has a genre of its own now, the next is blocked, and a new item has no genre at all.
    table = catalogue.table.set_index("item_id")
    table.loc[in_order[0], "genre"] = "opera"
    table.loc["new"] = {**table.loc[in_order[0]], "genre": None}
    now = Catalogue(table.reset_index(), catalogue.roles).without([in_order[1], "no such item"])
    renewed = renew_catalogue(prepared, now, trained.run.config, tmp_path)
    model = load_model(trained.run, prepared, tmp_path, renewed)
    signatures = Signatures(
        model, renewed, config=ExportConfig(top_k=58, filters=("genre",), caps={"genre": 2}, pool=58), catalogue=now
    )
    assert live(signatures, [HISTORY], genre=["opera"]) == [in_order[:1]]
    [everything] = live(signatures, [HISTORY])
    assert in_order[0] in everything and "new" in everything and in_order[1] not in everything
    genres = table["genre"].reindex(everything)
    assert genres.value_counts().max() == 2  # A missing genre is none.
    assert [len(row) for row in live(signatures, [["no such item"]], genre=["opera"])] == [1]


def test_a_block_of_everything_is_refused(catalogue: Catalogue) -> None:
    with pytest.raises(InputError, match="Received: a block of all 60"):
        catalogue.without(catalogue.table["item_id"])


def test_a_pool_that_nothing_is_chosen_from_is_refused(trained: Trained, prepared: Prepared) -> None:
    with pytest.raises(InputError, match="Expected --pool beside --diversity or --cap"):
        Signatures(trained.model, prepared, config=ExportConfig(top_k=5, pool=20))


def test_dates_and_nothing_asked_in_a_request() -> None:
    specs = {"filter_until_min": TensorSpec(tf.float32, (None,)), "filter_genre": TensorSpec(tf.string, (None, None))}
    given = {"until_min": [date(2024, 5, 1), datetime(2024, 5, 1, 18, tzinfo=UTC), 3, None]}
    values, genres = _filters(given, specs, 4).values()
    np.testing.assert_array_equal(values, [19844, 19844.75, 3, np.nan])
    assert genres.tolist() == [[""]] * 4
    [genres] = _filters(
        {"genre": [["war"], None, [], ["war", "drama"]]}, {"filter_genre": specs["filter_genre"]}, 4
    ).values()
    assert genres.tolist() == [["", "war", "", ""], [""] * 4, [""] * 4, ["", "war", "drama", ""]]
