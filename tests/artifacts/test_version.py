import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_text

from tests.conftest import Trained
from tfrec.artifacts import version as version_module
from tfrec.artifacts.batching import BATCHING
from tfrec.artifacts.export import export
from tfrec.artifacts.operations import audit_operations
from tfrec.artifacts.signatures import Signatures
from tfrec.artifacts.version import newest_version
from tfrec.artifacts.warmup import BATCH_SIZES, read_warmup
from tfrec.backbones.text_encoder import TextEncoder
from tfrec.config import ExportConfig, IndexKind
from tfrec.datasets.ragged import Ragged
from tfrec.errors import ExportError, InputError
from tfrec.features.prepared import Prepared
from tfrec.indices import exact
from tfrec.models.retrieval_model import RetrievalRecommender
from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.client import Client, ServingError
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server

TOP_K = 7


@pytest.fixture
def write(trained: Trained, prepared: Prepared) -> Callable[[Path], Path]:
    """Writes a version without the text signatures, which take most of an export's time."""
    signatures = Signatures(trained.model, prepared, config=ExportConfig(top_k=3))
    examples = signatures.examples([["item-0"]])
    return lambda base_path: version_module.write_version(signatures, examples, prepared.titles, {}, base_path)


@pytest.fixture(scope="module")
def base_path(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved_models") / "movies"
    export(trained.run, tmp_path_factory.mktemp("data"), folder, ExportConfig(top_k=TOP_K))
    return folder


@pytest.fixture(scope="module")
def served(base_path: Path):
    return tf.saved_model.load(str(base_path / "1")).signatures


def recommend(served, histories: list[list[str]], exclude: list[list[str]] | None = None, **attributes) -> dict:
    exclude = exclude or [[] for _ in histories]

    def rows(lists: list[list[str]], width: int) -> tf.Tensor:
        return tf.constant([ids + [""] * (width - len(ids)) for ids in lists])

    count = len(histories)
    inputs = {"country": tf.fill([count], ""), "age": tf.fill([count], np.nan), **attributes}
    inputs["history_item_ids"] = rows(histories, 8)
    inputs["exclude_item_ids"] = rows(exclude, 4)
    return {name: value.numpy() for name, value in served["serving_default"](**inputs).items()}


def test_answers_what_evaluation_measured(served, trained: Trained, prepared: Prepared) -> None:
    # No skew: strings through the exported graph give the order that the evaluation's code gives for the same cases.
    test = prepared.split.test
    cases = range(40)
    histories = Ragged(test.histories.values[: test.histories.offsets[40]], test.histories.offsets[:41])
    scores = RetrievalRecommender(trained.model).score(np.full(40, -1, np.int32), histories)  # user -1: unknown
    for case in cases:
        scores[case, test.histories[case]] = -np.inf
    best = np.argsort(-scores, axis=1, kind="stable")[:, :TOP_K]
    ids = prepared.items.ids
    answer = recommend(
        served,
        [ids[test.histories[case]].tolist()[-8:] for case in cases],
        # Evaluation excludes the whole history, the graph what the request brings.
        [ids[test.histories[case]].tolist()[:-8] for case in cases],
    )
    np.testing.assert_allclose(answer["scores"], np.take_along_axis(scores, best, axis=1), atol=1e-5)
    agreement = (answer["item_ids"].astype(str) == ids[best].astype(str)).mean()
    assert agreement > 0.99  # Equal but for ties.


def test_history_and_excluded_items_do_not_come_back(served) -> None:
    history = ["item-0", "item-4", "item-8"]
    before = recommend(served, [history])["item_ids"][0].astype(str).tolist()
    after = recommend(served, [history], [before[:2]])["item_ids"][0].astype(str).tolist()
    assert not set(before) & set(history)
    assert after[: TOP_K - 2] == before[2:]


def test_padding_and_unknown_ids_change_nothing(served) -> None:
    plain = recommend(served, [["item-0", "item-4"]])
    for history in (["", "item-0", "", "item-4"], ["item-0", "no such item", "item-4"]):
        noisy = recommend(served, [history])
        np.testing.assert_array_equal(noisy["item_ids"], plain["item_ids"])
        np.testing.assert_allclose(noisy["scores"], plain["scores"], rtol=1e-6)


def test_without_a_known_history_what_is_popular(served, prepared: Prepared) -> None:
    order = np.argsort(-prepared.counts, kind="stable")[:TOP_K]
    for history in ([], ["no such item"]):
        answer = recommend(served, [history])
        assert answer["item_ids"][0].astype(str).tolist() == prepared.items.ids[order].tolist()
        np.testing.assert_allclose(answer["scores"][0], prepared.counts[order] / prepared.counts.max(), rtol=1e-6)


def test_user_attributes_are_heard(served) -> None:
    young = recommend(served, [["item-0"]], age=tf.constant([18.0]))
    unknown = recommend(served, [["item-0"]])
    assert not np.allclose(young["scores"], unknown["scores"], atol=1e-6)


def test_rows_of_a_batch_do_not_mix(served) -> None:
    together = recommend(served, [["item-0"], [], ["item-5", "item-9"]])
    for row, history in enumerate([["item-0"], [], ["item-5", "item-9"]]):
        alone = recommend(served, [history])
        np.testing.assert_array_equal(alone["item_ids"][0], together["item_ids"][row])


def test_similar_items(served, trained: Trained, prepared: Prepared) -> None:
    answer = {
        name: value.numpy()
        for name, value in served["similar_items"](item_ids=tf.constant(["item-3", "nothing"])).items()
    }
    vectors = trained.model.item_vectors()[2:]
    cosines = vectors @ vectors[3]
    cosines[3] = -np.inf
    order = np.argsort(-cosines)[:TOP_K]
    assert answer["item_ids"][0].astype(str).tolist() == [f"item-{code}" for code in order]
    assert answer["item_ids"][1].tolist() == [b""] * TOP_K
    assert answer["scores"][1].tolist() == [0.0] * TOP_K


def test_search_is_by_the_meaning_of_the_text(served, trained: Trained, prepared: Prepared, simulation) -> None:
    titles = simulation.dataset.items["title"].tolist()
    answer = served["search"](text=tf.constant(titles[:3]))
    vectors = prepared.items.arrays["text"]
    for row in range(3):
        # The item's own text is at cosine 1; only an item with the same words could stand before it.
        found = answer["item_ids"][row].numpy().astype(str).tolist()
        assert titles[int(found[0].removeprefix("item-"))] == titles[row]
        np.testing.assert_allclose(answer["scores"][row, 0], 1, atol=1e-4)
        expected = np.sort(vectors[2:] @ vectors[2 + row])[::-1][:TOP_K]
        np.testing.assert_allclose(answer["scores"][row], expected, atol=1e-4)


def test_embed_item_is_the_item_tower_of_an_unknown_id(served, trained: Trained) -> None:
    vectors = served["embed_item"](text=tf.constant(["A war story", "A love story"]))["embedding"].numpy()
    assert vectors.shape == (2, 16)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert not np.allclose(vectors[0], vectors[1])


def test_more_wanted_than_there_are(trained: Trained, prepared: Prepared) -> None:
    signatures = Signatures(trained.model, prepared, config=ExportConfig(top_k=1000))
    answer = signatures.recommend(
        history_item_ids=tf.constant([["item-0", "item-1"]]),
        exclude_item_ids=tf.constant([[""]]),
        country=tf.constant([""]),
        age=tf.constant([np.nan]),
    )
    ids = answer["item_ids"].numpy()[0].tolist()
    assert len(ids) == 60  # No more than the catalogue has; two are seen, so two places stay empty.
    assert ids[58:] == [b"", b""]
    assert len(set(ids[:58])) == 58


@pytest.mark.parametrize("kind", [pytest.param("rounded", marks=pytest.mark.slow), "lists"])
def test_each_index_is_exported_and_answers_as_the_exact_one(
    kind: IndexKind, trained: Trained, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Blocks so small that this catalogue has some.
    monkeypatch.setattr(exact, "SMALL", 8)
    monkeypatch.setattr(exact, "BLOCK", 4)
    monkeypatch.setattr(exact, "FEW_BLOCKS", 16)
    signatures = Signatures(trained.model, prepared, config=ExportConfig(top_k=3, index=kind, index_recall=1.0))
    assert signatures.facts["items"]["kind"] == kind
    assert signatures.facts["items"]["recall@3"] == 1.0
    examples = signatures.examples([["item-0"], ["item-7", "item-8"]])
    folder = version_module.write_version(signatures, examples, prepared.titles, {}, tmp_path / "movies")
    written = tf.saved_model.load(str(folder)).signatures
    expected = Signatures(trained.model, prepared, config=ExportConfig(top_k=3, index="exact"))
    for name in ("recommend", "similar_items"):
        request = {key: tf.constant(values) for key, values in examples[name].items()}
        answer, right = written[name](**request), getattr(expected, name)(**request)
        np.testing.assert_array_equal(answer["item_ids"], right["item_ids"])
        np.testing.assert_allclose(answer["scores"], right["scores"], atol=1e-5)


class TestFolder:
    def test_each_weight_is_written_once(self, base_path: Path, trained: Trained) -> None:
        reader = tf.train.load_checkpoint(str(base_path / "1" / "variables" / "variables"))
        shapes = [tuple(shape) for shape in reader.get_variable_to_shape_map().values()]
        assert shapes.count((62, 16)) == 1  # item_vectors: 60 items, padding, unknown.

    def test_a_second_version_takes_the_next_number(self, base_path: Path, trained: Trained, tmp_path: Path) -> None:
        copy = tmp_path / "movies"
        shutil.copytree(base_path, copy)
        assert (
            export(trained.run, tmp_path, copy, ExportConfig(top_k=TOP_K)) == copy / "1"
        )  # The same weights: nothing to write.
        assert export(trained.run, tmp_path, copy, ExportConfig(top_k=TOP_K - 1)) == copy / "2"
        assert newest_version(copy) == copy / "2"
        with pytest.raises(InputError, match=r"not in .* yet"):
            export(trained.run, tmp_path, copy, version=2)

    def test_titles_and_card(self, base_path: Path, simulation) -> None:
        titles = pd.read_csv(base_path / "1" / "assets.extra" / "titles.tsv", sep="\t")
        assert titles["item_id"].tolist() == [f"item-{code}" for code in range(60)]
        assert titles["title"].tolist() == simulation.dataset.items["title"].tolist()
        card = json.loads((base_path / "1" / "assets.extra" / "model.json").read_text())
        assert card["configuration"]["model"]["name"] == "two_tower"

    def test_warm_up_covers_every_signature_and_batch_size(self, base_path: Path) -> None:
        requests = read_warmup(base_path / "1")
        signatures = {"serving_default", "recommend", "similar_items", "embed_item", "search"}
        seen = {
            (each.model_spec.signature_name, next(iter(each.inputs.values())).tensor_shape.dim[0].size)
            for each in requests
        }
        assert seen == {(name, size) for name in signatures for size in BATCH_SIZES}
        assert {each.model_spec.name for each in requests} == {"movies"}

    def test_batching_parameters_are_those_of_the_warm_up(self, base_path: Path) -> None:
        warm = {
            next(iter(request.inputs.values())).tensor_shape.dim[0].size for request in read_warmup(base_path / "1")
        }
        parameters = BatchingParameters.read(base_path / "1" / BATCHING)
        assert set(parameters.allowed_batch_sizes) == warm
        assert parameters.allowed_batch_sizes[-1] == parameters.max_batch_size
        assert parameters.pad_variable_length_inputs

    def test_a_server_batches_by_the_versions_own_parameters(self, base_path: Path) -> None:
        # The server's own parameters would refuse two rows.
        batching = BatchingParameters(max_batch_size=1)
        models = [ModelConfig("movies", base_path)]
        with (
            Server(models, grpc_port=0, batching=batching, per_model_batching=True, grpc_max_threads=16) as server,
            Client(f"127.0.0.1:{server.grpc_port}", "movies", timeout=30) as client,
            ThreadPoolExecutor(8) as executor,
        ):
            client.wait_until_available(120)
            histories = [["item-0"], ["item-4", "item-8"], [], *([f"item-{code}"] for code in range(10, 15))]
            together = list(executor.map(lambda history: client.recommend([history]), histories))
            assert [rows for [rows] in together] == [
                [(id, pytest.approx(score, abs=1e-5)) for id, score in row] for row in client.recommend(histories)
            ]
            with pytest.raises(ServingError, match="Task size 33 is larger than maximum input batch size 32"):
                client.search(["a war story"] * 33)

    def test_a_failed_check_places_nothing(self, write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*arguments: object) -> None:
            raise ExportError("answers otherwise")

        monkeypatch.setattr(version_module, "check_reloaded", fail)
        with pytest.raises(ExportError):
            write(tmp_path / "movies")
        assert list((tmp_path / "movies").iterdir()) == []

    def test_leftovers_of_a_killed_export_go_and_those_of_one_under_way_stay(self, write, tmp_path: Path) -> None:
        for name in (".writing-1-old", ".writing-1-new"):
            (tmp_path / "movies" / name).mkdir(parents=True)
        os.utime(tmp_path / "movies" / ".writing-1-old", (0, 0))
        write(tmp_path / "movies")
        assert sorted(path.name for path in (tmp_path / "movies").iterdir()) == [".writing-1-new", "1"]

    def test_a_full_disk_is_reported(self, write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(version_module, "write_warmup", fail)
        with pytest.raises(InputError, match="No space left on device"):
            write(tmp_path / "movies")

    def test_another_text_backbone_than_the_runs_is_refused(
        self, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(TextEncoder, "key", lambda self: "other weights")
        with pytest.raises(InputError, match="trained with"):
            export(trained.run, tmp_path, tmp_path / "movies")

    def test_ids_and_titles_of_all_alphabets(self, trained: Trained, prepared: Prepared, tmp_path: Path) -> None:
        ids = np.array([f"título-{code}" for code in range(60)], object)
        items = dataclasses.replace(prepared.items, ids=ids)
        signatures = Signatures(trained.model, dataclasses.replace(prepared, items=items), config=ExportConfig(top_k=3))
        titles = np.array(['Ein\tTitel\r\nmit "Umbrüchen"'] * 60, object)
        folder = version_module.write_version(
            signatures, signatures.examples([[ids[0]]]), titles, {}, tmp_path / "movies"
        )
        written = pd.read_csv(folder / "assets.extra" / "titles.tsv", sep="\t")
        assert written["item_id"].tolist() == ids.tolist()
        assert set(written["title"]) == {'Ein Titel mit "Umbrüchen"'}


class TestChecks:
    def test_a_version_that_answers_otherwise_is_found(
        self, base_path: Path, trained: Trained, prepared: Prepared
    ) -> None:
        signatures = Signatures(trained.model, prepared, config=ExportConfig(top_k=TOP_K))
        examples = {"similar_items": signatures.examples([["item-0"]])["similar_items"]}
        version_module.check_reloaded(base_path / "1", signatures, examples)
        signatures.item_vectors.assign(signatures.item_vectors[::-1])
        with pytest.raises(ExportError, match="'similar_items' answers otherwise after reload in Python"):
            version_module.check_reloaded(base_path / "1", signatures, examples)

    def test_an_operation_that_servers_may_lack_is_refused(self, tmp_path: Path) -> None:
        module = tf.Module()
        module.split = tf.function(
            lambda texts: {"words": tensorflow_text.WhitespaceTokenizer().tokenize(texts).to_tensor("")}
        )
        signature = module.split.get_concrete_function(tf.TensorSpec([None], tf.string))
        tf.saved_model.save(module, str(tmp_path), signatures=signature)
        with pytest.raises(ExportError, match="WhitespaceTokenize"):
            audit_operations(tmp_path)

    def test_xla_functions_are_refused(self, tmp_path: Path) -> None:
        module = tf.Module()
        module.double = tf.function(lambda values: {"doubled": values * 2}, jit_compile=True)
        signature = module.double.get_concrete_function(tf.TensorSpec([None], tf.float32))
        tf.saved_model.save(module, str(tmp_path), signatures=signature)
        with pytest.raises(ExportError, match="jit_compile"):
            audit_operations(tmp_path)
