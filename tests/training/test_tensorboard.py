"""What TensorBoard reads of a run."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from tfrec.config import Config
from tfrec.datasets.dataset import Split
from tfrec.datasets.ragged import Ragged
from tfrec.features.prepared import Prepared
from tfrec.features.table import FeatureTable
from tfrec.training import tensorboard
from tfrec.training.run import Run
from tfrec.training.tensorboard import hyperparameters, write_projector, write_test


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run.create(tmp_path / "films" / "small", Config.load(None, {"data.source": "movielens-100k"}))


def test_metrics_and_hyperparameters(run: Run) -> None:
    write_test(run, {"ndcg@10": 0.5}, epoch=3)
    write_test(run, {"ndcg@10": 0.25, "novelty@10": 7.0}, epoch=4)  # Evaluated again: in its place.
    events = EventAccumulator(str(run.tensorboard / "test")).Reload()
    assert sorted(events.Tags()["tensors"]) == ["ndcg@10", "novelty@10"]
    [event] = events.Tensors("ndcg@10")
    assert event.step == 4 and tf.make_ndarray(event.tensor_proto) == 0.25
    session = EventAccumulator(str(run.tensorboard)).Reload()
    contents = session.PluginTagToContent("hparams")
    assert set(contents) == {metadata.SESSION_START_INFO_TAG, metadata.SESSION_END_INFO_TAG}
    start = metadata.parse_session_start_info_plugin_data(contents[metadata.SESSION_START_INFO_TAG])
    assert start.hparams["training.seed"].number_value == 0
    assert start.hparams["model.name"].string_value == "two_tower"
    assert start.hparams["model.use_text"].bool_value is True
    assert start.group_name == str(run.folder)


def test_hyperparameters_are_what_is_set(run: Run) -> None:
    found = hyperparameters(run.config)
    assert found["model.hidden_sizes"] == "[128]"
    assert "training.num_devices" not in found
    assert all(isinstance(value, bool | int | float | str) for value in found.values())


def test_the_projector_has_titles(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.array(["a", "b", "c"], object)
    titles = np.array(["Babe\t(1995)\n", "  ", "Heat"], object)
    nothing = Ragged(np.zeros(0, np.int32), np.zeros(1, np.int64))
    prepared = Prepared(
        FeatureTable(ids, (), {}), FeatureTable(ids, (), {}), titles, np.array([1, 5, 9]), Split(nothing, None, None)
    )
    vectors = np.array([[9, 9], [9, 9], [0.5, 1], [2, 3], [4, 5]], np.float32)  # Padding and unknown first.
    write_projector(run, vectors, prepared)
    lines = (run.tensorboard / "titles.tsv").read_text("utf-8").splitlines()
    assert lines == ["title\titem_id\ttraining interactions", "Heat\tc\t9", "(no title)\tb\t5", "Babe (1995)\ta\t1"]
    np.testing.assert_array_equal(np.loadtxt(run.tensorboard / "item_vectors.tsv"), [[4, 5], [2, 3], [0.5, 1]])

    config = text_format.Parse((run.tensorboard / "projector_config.pbtxt").read_text(), ProjectorConfig())
    [embedding] = config.embeddings
    assert (embedding.tensor_path, embedding.metadata_path) == ("item_vectors.tsv", "titles.tsv")
    monkeypatch.setattr(tensorboard, "MOST_ITEMS", 2)
    write_projector(run, vectors, prepared)
    assert len(np.loadtxt(run.tensorboard / "item_vectors.tsv")) == 2
