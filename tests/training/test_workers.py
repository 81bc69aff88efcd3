import signal
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import Trained
from tests.training.test_trainer import changed
from tfrec.config import Config
from tfrec.errors import InputError, TrainingError
from tfrec.features.prepared import Prepared
from tfrec.models.two_tower import TwoTower
from tfrec.training.checkpoint import read_state
from tfrec.training.cluster import Cluster
from tfrec.training.epoch_end import TrainingState
from tfrec.training.run import Run
from tfrec.training.trainer import load_model, train
from tfrec.training.workers import Follow, connect, is_chief, messages_for_lost_workers

CLUSTER = Cluster(("a:1", "b:2"), 1)


def alone() -> tf.distribute.Strategy:
    """The strategy of several workers, of which there is one: its loop, without anybody to wait for."""
    return tf.distribute.MultiWorkerMirroredStrategy()


def test_the_loop_of_several_workers_does_what_keras_does(
    trained: Trained, prepared: Prepared, config: Config, tmp_path
) -> None:
    run = Run.create(tmp_path / "run", config)
    state = train(run, prepared, alone())
    assert state.epoch == config.training.epochs
    expected = read_state(trained.run.latest)["history"]
    for name in ("loss", "val_ndcg@10"):
        np.testing.assert_allclose([each[name] for each in state.history], [each[name] for each in expected], rtol=1e-4)
    for one, other in zip(load_model(run, prepared).weights, trained.model.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)
    assert sorted(path.name for path in run.tensorboard.iterdir()) == ["train", "validation"]


def test_the_loop_stops_early_and_goes_on(prepared: Prepared, config: Config, tmp_path, monkeypatch) -> None:
    values = iter([0.2, 0.5, 0.4, 0.9])
    monkeypatch.setattr(TwoTower, "validate", lambda self, prepared, config: {"ndcg@10": next(values)})
    run = Run.create(tmp_path / "run", changed(config, patience=1))
    strategy = alone()
    assert train(run, prepared, strategy).epoch == 3
    run = Run.create(tmp_path / "run", changed(config, patience=2, epochs=4))
    state = train(run, prepared, strategy)
    assert (state.epoch, state.best_epoch) == (4, 4)
    losses = [each["loss"] for each in state.history]
    assert losses == sorted(losses, reverse=True)  # Each is of its epoch alone, and of weights that were kept.


def test_those_beside_the_chief_count_and_look_at_the_loss() -> None:
    state = TrainingState(epoch=3)
    follow = Follow(state)
    follow.on_train_batch_end(0, {"loss": 1.0})
    with pytest.raises(TrainingError, match="became nan at step 5"):
        follow.on_train_batch_end(4, {"loss": float("nan")})
    follow.on_epoch_end(3)
    assert state.epoch == 4


@pytest.mark.parametrize(
    ("jobs", "task", "chief"),
    [
        ({"worker": ["a:1", "b:2"]}, ("worker", 0), True),
        ({"worker": ["a:1", "b:2"]}, ("worker", 1), False),
        ({"chief": ["a:1"], "worker": ["b:2"]}, ("chief", 0), True),
        ({"chief": ["a:1"], "worker": ["b:2"]}, ("worker", 0), False),
    ],
)
def test_who_is_the_chief(jobs: dict[str, list[str]], task: tuple[str, int], chief: bool) -> None:
    spec = tf.train.ClusterSpec(jobs)
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(spec, task_type=task[0], task_id=task[1])
    assert is_chief(SimpleNamespace(cluster_resolver=resolver)) is chief


def test_one_machine_is_its_own_chief() -> None:
    assert is_chief(tf.distribute.get_strategy())
    assert is_chief(tf.distribute.OneDeviceStrategy("/CPU:0"))


@pytest.fixture
def sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_workers_that_do_not_come(sigterm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    forever = threading.Event()
    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", forever.wait)
    with pytest.raises(InputError, match=r"a:1, b:2 to meet; this is worker 2 of 2\. Received: not all of them"):
        connect(CLUSTER, seconds=0.1)
    forever.set()


def test_workers_that_can_not_be_reached(sigterm: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise tf.errors.UnknownError(None, None, "Could not start gRPC server")

    monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", fail)
    with pytest.raises(InputError, match=r"Received: Could not start gRPC server\."):
        connect(CLUSTER)


def test_a_lost_worker_is_told() -> None:
    # As TensorFlow 2.21 says it.
    said = (
        "Graph execution error:\n\nDetected at node CollectiveReduceV2\n\nCollective ops is aborted by: Error reported "
        "from /job:worker/task:0: The following tasks are unhealthy (stopped sending heartbeats):\n/job:worker/task:0"
    )
    with (
        pytest.raises(TrainingError, match=r"this is worker 2 of 2\. Received: .*unhealthy .*heartbeats\)\. Read"),
        messages_for_lost_workers(CLUSTER),
    ):
        raise tf.errors.UnavailableError(None, None, said)
    with pytest.raises(tf.errors.UnavailableError), messages_for_lost_workers(None):
        raise tf.errors.UnavailableError(None, None, said)
    with pytest.raises(InputError), messages_for_lost_workers(CLUSTER):
        raise InputError("another thing")


class TestJoin:
    def test_the_others_open_the_run_of_the_chief(self, config: Config, tmp_path) -> None:
        Run.create(tmp_path / "run", config)
        assert Run.join(tmp_path / "run", config).config == config

    def test_a_folder_of_their_own(self, config: Config, tmp_path) -> None:
        with pytest.raises(InputError, match=r"Received: none.*that they share"):
            Run.join(tmp_path, config)

    def test_another_configuration(self, config: Config, tmp_path) -> None:
        Run.create(tmp_path / "run", config)
        with pytest.raises(InputError, match=r"another; training\.epochs, training\.seed differ"):
            Run.join(tmp_path / "run", changed(config, seed=5, epochs=77))
