"""A JD-Tower with a head from the checkpoint to the answer of a server."""

import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from typer.testing import CliRunner

from tests.conftest import Trained
from tfrec.artifacts.export import export
from tfrec.artifacts.signatures import Signatures
from tfrec.artifacts.version import write_version
from tfrec.artifacts.warmup import read_warmup
from tfrec.config import Config, ExportConfig, JDTowerConfig
from tfrec.datasets.ragged import Ragged
from tfrec.datasets.simulator import Simulation
from tfrec.errors import InputError
from tfrec.evaluate import app as evaluate_app
from tfrec.evaluation import evaluate
from tfrec.features import sequences
from tfrec.features.prepared import Prepared
from tfrec.models import build_model
from tfrec.models.jd_tower import JDTower
from tfrec.models.ranking_recommender import RankingRecommender
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.recommend import app as recommend_app
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server
from tfrec.training.catalogue import Catalogue
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train

TOP_K, NUM_CANDIDATES = 5, 12


def jd_config(config: Config, head: str) -> Config:
    model = JDTowerConfig(name="jd_tower", head=head, embedding_size=16, hidden_sizes=(), num_layers=1)
    training = config.training.model_copy(update={"epochs": 3, "batch_size": 64})
    return config.model_copy(update={"model": model, "training": training})


@pytest.fixture(scope="module")
def run(prepared: Prepared, config: Config, tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = Run.create(tmp_path_factory.mktemp("runs") / "jd_tower", jd_config(config, "transformer"))
    prepared.save(run.prepared)
    train(run, prepared, tf.distribute.get_strategy())
    return run


@pytest.fixture(scope="module")
def model(run: Run, prepared: Prepared) -> JDTower:
    return load_model(run, prepared)


@pytest.fixture(scope="module")
def base_path(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its answers are compared after reload, in Python and through a v1 Session, before the version is there.

    It reads histories in widths of 3, 6 and 8, evaluation in one.
    """
    folder = tmp_path_factory.mktemp("saved_models") / "films"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sequences, "BUCKET", 3)
        export(run, tmp_path_factory.mktemp("data"), folder, ExportConfig(top_k=TOP_K, rank_candidates=NUM_CANDIDATES))
    return folder


@pytest.fixture(scope="module")
def address(base_path: Path) -> Iterator[str]:
    with Server([ModelConfig("films", base_path)], grpc_port=0) as server:
        yield f"127.0.0.1:{server.grpc_port}"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Client]:
    with Client(address, "films") as client:
        client.wait_until_available(60)
        yield client


@pytest.fixture(scope="module")
def histories(prepared: Prepared) -> Ragged:
    """Of each length up to the model's: what is cut off is the client's to exclude."""
    rows = [prepared.split.test.histories[case][-1 - case % 8 :] for case in range(20)]
    return Ragged(np.concatenate(rows), np.cumsum([0, *map(len, rows)]))


NOBODY = np.full(20, -1, np.int32)


def ids(codes: np.ndarray) -> list[str]:
    return [f"item-{code}" for code in codes]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.float64(logits)))


class TestServed:
    def test_rank_is_the_live_models_head(self, client: Client, model: JDTower, histories: Ragged) -> None:
        logits = RankingRecommender(RetrievalRecommender(model), 60).score(NOBODY, histories)
        answers = client.rank(
            [ids(row) for row in map(histories.__getitem__, range(20))],
            [ids(np.setdiff1d(np.arange(60), histories[row])[: 4 + row]) for row in range(20)],
        )
        for row, answer in enumerate(answers):
            codes = [int(item.removeprefix("item-")) for item, _ in answer]
            assert sorted(codes) == np.setdiff1d(np.arange(60), histories[row])[: 4 + row].tolist()
            probabilities = [probability for _, probability in answer]
            np.testing.assert_allclose(probabilities, sigmoid(logits[row, codes]), atol=1e-5)
            assert probabilities == sorted(probabilities, reverse=True)

    def test_recommend_retrieves_and_ranks_as_evaluation_does(
        self, client: Client, model: JDTower, histories: Ragged
    ) -> None:
        scores = RankingRecommender(RetrievalRecommender(model), NUM_CANDIDATES).score(NOBODY, histories)
        answers = client.recommend([ids(histories[row]) for row in range(20)])
        for row, answer in enumerate(answers):
            scores[row, histories[row]] = -np.inf
            best = np.argsort(-scores[row])[:TOP_K]
            assert [item for item, _ in answer] == ids(best)
            np.testing.assert_allclose([score for _, score in answer], sigmoid(scores[row, best]), atol=1e-5)
        assert answers != client.recommend([["item-0"]] * 20)

    def test_a_short_history_is_read_alone_as_beside_long_ones(self, client: Client, histories: Ragged) -> None:
        together = client.recommend([ids(histories[row]) for row in range(8)])
        for row in range(8):
            [answer] = client.recommend([ids(histories[row])])
            assert [item for item, _ in answer] == [item for item, _ in together[row]]
            expected = [score for _, score in together[row]]
            np.testing.assert_allclose([score for _, score in answer], expected, atol=1e-5)

    def test_what_is_excluded_leaves_room_among_the_candidates(self, client: Client, model: JDTower) -> None:
        history = Ragged(np.array([3]), np.array([0, 1]))
        cosines = RetrievalRecommender(model).score(NOBODY[:1], history)[0]
        cosines[3] = -np.inf
        order = np.argsort(-cosines)
        [answer] = client.recommend([["item-3"]], [ids(order[:NUM_CANDIDATES])])
        assert {item for item, _ in answer} <= set(ids(order[NUM_CANDIDATES : 2 * NUM_CANDIDATES]))
        assert len(answer) == TOP_K

    def test_fewer_left_than_wanted(self, client: Client) -> None:
        [answer] = client.recommend([["item-0"]], [ids(np.arange(1, 58))])
        assert {item for item, _ in answer} == {"item-58", "item-59"}
        raw = client.predict(
            "recommend",
            {
                "history_item_ids": [["item-0", *[""] * 7]],
                "exclude_item_ids": [ids(np.arange(1, 58))],
                "country": [""],
                "age": np.array([np.nan], np.float32),
            },
        )
        assert raw["item_ids"][0, 2:].tolist() == [b"", b"", b""]
        assert raw["scores"][0, 2:].tolist() == [0, 0, 0]

    def test_without_a_known_history_popularity(self, client: Client, prepared: Prepared) -> None:
        shares = prepared.counts / prepared.counts.max()
        best = np.argsort(-shares, kind="stable")[:TOP_K]
        for history in ([], ["no such item"]):
            [answer] = client.recommend([history])
            assert [item for item, _ in answer] == ids(best)
            np.testing.assert_allclose([score for _, score in answer], shares[best], rtol=1e-6)
            [ranked] = client.rank([history], [["item-7", "no such item", "item-9"]])
            expected = {"item-7": shares[7], "item-9": shares[9], "no such item": 0}
            assert dict(ranked) == pytest.approx(expected, rel=1e-6)

    def test_padding_has_probability_0_and_an_unknown_item_has_one(self, client: Client, model: JDTower) -> None:
        answer = client.predict(
            "rank",
            {
                "history_item_ids": [["item-0", "", "no such item", "item-4", *[""] * 4]],
                "candidate_item_ids": [["", "no such item", "item-9"]],
                "country": [""],
                "age": np.array([np.nan], np.float32),
            },
        )["probabilities"]
        assert (answer.shape, answer.dtype) == ((1, 3), np.float32)
        items = model.item_vectors()
        history = np.array([[2, 6, 0, 0, 0, 0, 0, 0]], np.int32)
        query = model.user_vectors(items, history, np.array([1], np.int32))
        logits = model.head(query, items[history], tf.constant(history > 0), items[[[1, 11]]])
        np.testing.assert_allclose(answer[0], [0, *sigmoid(logits[0])], atol=1e-5)

    def test_candidates_are_ranked_alone(self, client: Client) -> None:
        [[alone]] = client.rank([["item-0"]], [["item-9"]])
        [together] = client.rank([["item-0"]], [["item-1", "item-9", "item-5"]])
        assert dict(together)["item-9"] == pytest.approx(alone[1], abs=1e-6)

    def test_attributes_are_heard(self, client: Client) -> None:
        [[unknown]], [[young]] = (
            client.rank([["item-0"]], [["item-9"]], attributes=attributes) for attributes in (None, {"age": [18.0]})
        )
        assert unknown[1] != pytest.approx(young[1], abs=1e-6)

    def test_the_command_line_ranks_candidates(self, client: Client, address: str, base_path: Path) -> None:
        candidates = ids(np.arange(3, 15))
        [expected] = client.rank([["item-0"]], [candidates])
        titles = base_path / "1" / "assets.extra" / "titles.tsv"
        arguments = ["--model", "films", "--server", address, "--titles", str(titles), "--history", "item-0", "--json"]
        for candidate in candidates:
            arguments += ["--candidate", candidate]
        result = CliRunner().invoke(recommend_app, arguments)
        assert result.exit_code == 0, result.output
        answer = [(row["item_id"], row["score"]) for row in json.loads(result.stdout.splitlines()[-1])]
        assert answer == [(item, pytest.approx(probability, abs=1e-6)) for item, probability in expected]

    def test_candidates_beside_something_else(self, address: str) -> None:
        arguments = ["--model", "films", "--server", address, "--candidate", "item-1", "--search", "war"]
        result = CliRunner().invoke(recommend_app, arguments)
        assert result.exit_code == 2
        assert "Expected --candidate beside --history" in " ".join(result.output.split())


def test_evaluation_shows_the_model_with_and_without_its_head(run: Run, model: JDTower, prepared: Prepared) -> None:
    result = CliRunner().invoke(evaluate_app, [str(run.folder), "--rank-candidates", "12"])
    assert result.exit_code == 0, result.output
    saved = {report["name"]: report["metrics"] for report in json.loads(run.metrics.read_text())}
    assert list(saved)[:4] == ["jd_tower", "jd_tower + transformer", "popularity", "random"]
    settings = run.config.evaluation
    ranked = evaluate(RankingRecommender(RetrievalRecommender(model), 12), prepared.split.test, 60, settings)
    assert saved["jd_tower + transformer"]["ndcg@5"]["mean"] == pytest.approx(ranked.metrics["ndcg@5"].mean)
    said = " ".join(result.output.split())
    assert "jd_tower + transformer in ndcg@10" in said or "than jd_tower + transformer" in said


def test_warm_up_ranks(base_path: Path) -> None:
    assert "rank" in {request.model_spec.signature_name for request in read_warmup(base_path / "1")}


def test_another_number_of_candidates_is_another_version(base_path: Path, run: Run, tmp_path: Path) -> None:
    assert (
        export(run, tmp_path, base_path, ExportConfig(top_k=TOP_K, rank_candidates=NUM_CANDIDATES)) == base_path / "1"
    )
    card = json.loads((base_path / "1" / "assets.extra" / "model.json").read_text())
    assert card["rank_candidates"] == NUM_CANDIDATES


@pytest.mark.parametrize(
    ("head", "precision"),
    [
        pytest.param("none", "float32", marks=pytest.mark.slow),
        pytest.param("linear", "float32", marks=pytest.mark.slow),
        ("mlp", "mixed_bfloat16"),
    ],
)
def test_every_head_answers_alike_after_reload(
    head: str, precision: str, config: Config, prepared: Prepared, tmp_path: Path
) -> None:
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    try:
        model = build_model(jd_config(config, head), prepared)
        signatures = Signatures(
            model, prepared, config=ExportConfig(top_k=3, rank_candidates=0 if head == "none" else 60)
        )
        assert ("rank" in signatures.endpoints()) == (head != "none")
        folder = write_version(signatures, signatures.examples([["item-0"]]), prepared.titles, {}, tmp_path / "films")
    finally:
        keras.config.set_dtype_policy("float32")
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = [tuple(shape) for shape in reader.get_variable_to_shape_map().values()]
    assert shapes.count((62, 16)) == 1  # Each weight is written once.
    assert shapes.count((16, 1)) == (head == "linear")


def test_what_is_allowed_is_ranked_and_then_capped(model: JDTower, prepared: Prepared, simulation: Simulation) -> None:
    items = simulation.dataset.items
    stages = ExportConfig(top_k=6, rank_candidates=NUM_CANDIDATES, filters=("year",), caps={"genre": 2})
    catalogue = Catalogue(items, simulation.dataset.item_roles)
    signatures = Signatures(model, prepared, config=stages, catalogue=catalogue)
    inputs = {name: tf.constant(row) for name, row in signatures.optional.items()}
    answer = signatures.recommend(
        **inputs
        | {
            "history_item_ids": tf.constant([["item-3", *[""] * 7], [""] * 8, ["item-3", *[""] * 7]]),
            "filter_year_min": tf.constant([1975.0, 1975.0, np.nan]),
        }
    )
    history = Ragged(np.array([3]), np.array([0, 1]))
    cosines = RetrievalRecommender(model).score(NOBODY[:1], history)[0]
    cosines[3] = -np.inf
    logits = RankingRecommender(RetrievalRecommender(model), 60).score(NOBODY[:1], history)[0]
    is_new = items["year"].to_numpy() >= 1975
    popular = prepared.counts / prepared.counts.max()
    for row, (scores, retrieved) in enumerate(
        [
            (sigmoid(logits), np.where(is_new, cosines, -np.inf)),
            (popular, np.where(is_new, popular, -np.inf)),
            (sigmoid(logits), cosines),
        ]
    ):
        best = np.argsort(-retrieved, kind="stable")[:NUM_CANDIDATES]
        best = best[np.argsort(-scores[best], kind="stable")]
        expected = best[items["genre"].iloc[best].groupby(items["genre"].iloc[best].to_numpy()).cumcount() < 2][:6]
        assert [item.decode() for item in answer["item_ids"].numpy()[row] if item] == ids(expected)
        np.testing.assert_allclose(answer["scores"][row, : len(expected)], scores[expected], atol=1e-5)


def test_a_model_without_a_head_does_not_rank(trained: Trained, prepared: Prepared) -> None:
    assert "rank" not in Signatures(trained.model, prepared).endpoints()
    with pytest.raises(InputError, match=r"to rank 100 candidates with\. Received: two_tower without"):
        Signatures(trained.model, prepared, config=ExportConfig(rank_candidates=100))


def test_fewer_candidates_than_answers(model: JDTower, prepared: Prepared) -> None:
    with pytest.raises(InputError, match=r"as an answer has items, 20\. Received: 10\. Raise --rank"):
        Signatures(model, prepared, config=ExportConfig(top_k=20, rank_candidates=10))
    assert Signatures(model, prepared, config=ExportConfig(top_k=1000, rank_candidates=2000)).num_candidates == 60
