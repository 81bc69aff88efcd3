"""Versions that come, go and break while a real server answers; warm-up."""

import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from tfrec.serving.client import Client, ServingError
from tfrec.serving.config import ModelConfig
from tfrec.serving.errors import RequestError, StartError
from tfrec.serving.model import LoadRetries, load_and_warm_up
from tfrec.serving.server import Server

from .conftest import publish, wait_for

ZEROS = {"x": [[0, 0, 0]]}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Of a server that watches an empty folder, quickly."""
    model = ModelConfig("adder", tmp_path)
    with (
        Server([model], grpc_port=0, poll_seconds=0.05, retries=LoadRetries(5, seconds=0.1)) as server,
        Client(f"127.0.0.1:{server.grpc_port}", "adder") as client,
    ):
        yield client


def step(client: Client) -> float:
    """What the serving version adds."""
    return float(client.predict("serving_default", ZEROS)["y"][0, 0])


def is_gone(client: Client, version: int) -> bool:
    try:
        client.predict("serving_default", ZEROS, version)
    except ServingError as error:
        return f"Specific(adder, {version})" in error.message
    return False


def test_a_new_version_takes_over_without_a_failed_request(client: Client, tmp_path: Path, exports: Path) -> None:
    publish(exports / "adder" / "1", tmp_path / "1")
    client.wait_until_available(20)
    answers: list[float] = []
    failures: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(step(client))
            except Exception as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    publish(exports / "adder" / "2", tmp_path / "2")
    try:
        wait_for(lambda: answers and answers[-1] == 2.0)
        wait_for(lambda: is_gone(client, 1))
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert failures == []
    assert set(answers) == {1.0, 2.0}


def test_the_client_follows_a_version_with_another_history_length(tmp_path: Path, exports: Path) -> None:
    publish(exports / "movies" / "7", tmp_path / "7")
    history = ["a", "b", "c", "d", "e", "f"]
    before = [("c", 4.0), ("d", 3.0), ("e", 2.0), ("f", 1.0)]
    after = [("a", 6.0), ("b", 5.0), ("c", 4.0), ("d", 3.0), ("e", 2.0), ("f", 1.0)]
    with (
        Server([ModelConfig("movies", tmp_path)], grpc_port=0, poll_seconds=0.05) as server,
        Client(f"127.0.0.1:{server.grpc_port}", "movies") as client,
    ):
        client.wait_until_available(20)
        assert client.recommend([history]) == [before]
        publish(exports / "movies-6" / "8", tmp_path / "8")
        answers = []
        wait_for(lambda: answers.append(client.recommend([history])[0]) or answers[-1] == after)
    assert answers == [before] * (len(answers) - 1) + [after]


def test_a_broken_version_leaves_the_serving_one_alone_until_it_is_repaired(
    client: Client, tmp_path: Path, exports: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(exports / "adder" / "1", tmp_path / "1")
    client.wait_until_available(20)
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"garbage")
    wait_for(lambda: "adder version 2 failed to load" in caplog.text)
    assert step(client) == 1.0
    (tmp_path / "2").rename(tmp_path / "broken")
    publish(exports / "adder" / "2", tmp_path / "2")
    wait_for(lambda: step(client) == 2.0)


def write_warm_up(version: Path, *records: bytes) -> None:
    extra = version / "assets.extra"
    extra.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(extra / "tf_serving_warmup_requests")) as writer:
        for record in records:
            writer.write(record)


def predict_record(signature: str, **inputs: tf.Tensor) -> bytes:
    log = PredictionLog()
    request = log.predict_log.request
    request.model_spec.signature_name = signature
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log.SerializeToString()


def test_warm_up_records_are_replayed_before_the_version_serves(
    client: Client, tmp_path: Path, exports: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    version = tmp_path / "writing-1"
    publish(exports / "adder" / "1", version)
    write_warm_up(
        version,
        predict_record("", x=tf.zeros([2, 3])),
        predict_record("echo", text=tf.constant(["a"])),
    )
    version.rename(tmp_path / "1")
    client.wait_until_available(20)
    assert caplog.text.index("warmed up with 2 records") < caplog.text.index("version 1 is available")


def test_a_failing_warm_up_record_keeps_the_version_from_serving(
    client: Client, tmp_path: Path, exports: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(exports / "adder" / "1", tmp_path / "1")
    client.wait_until_available(20)
    version = tmp_path / "writing-2"
    publish(exports / "adder" / "2", version)
    write_warm_up(version, predict_record("", x=tf.constant([[1, 2, 3]], tf.int64)))
    version.rename(tmp_path / "2")
    wait_for(lambda: "Expects arg[0] to be float but int64 is provided" in caplog.text)
    assert step(client) == 1.0


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([predict_record("nosig")], "FAILED_PRECONDITION: Serving signature key"),
        ([b"\xff" * 9], "INVALID_ARGUMENT: Failed to parse warmup record 1"),
        ([PredictionLog().SerializeToString()], "UNIMPLEMENTED: Unsupported log_type for warmup"),
        ([predict_record("echo", text=tf.constant(["a"]))] * 1001, "exceeds the maximum"),
    ],
)
def test_warm_up_errors(tmp_path: Path, exports: Path, records: list[bytes], message: str) -> None:
    publish(exports / "adder" / "1", tmp_path / "1")
    write_warm_up(tmp_path / "1", *records)
    with pytest.raises(RequestError, match=message):
        load_and_warm_up("adder", 1, tmp_path / "1")


def test_a_corrupt_warm_up_file_keeps_the_version_from_loading(tmp_path: Path, exports: Path) -> None:
    publish(exports / "adder" / "1", tmp_path / "1")
    write_warm_up(tmp_path / "1", predict_record("", x=tf.zeros([2, 3])))
    file = tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(tf.errors.DataLossError):
        load_and_warm_up("adder", 1, tmp_path / "1")


def test_a_port_in_use_is_named(server: Server, tmp_path: Path) -> None:
    for ports, flag in [
        ({"grpc_port": server.grpc_port}, "--port"),
        ({"grpc_port": 0, "rest_api_port": server.rest_api_port}, "--rest_api_port"),
    ]:
        with pytest.raises(StartError, match=f"in use.*{flag}"):
            Server([ModelConfig("adder", tmp_path)], **ports).start()


def test_no_version_yet_is_a_deadline_with_what_was_seen(client: Client) -> None:
    with pytest.raises(ServingError, match="Could not find any versions of model adder") as caught:
        client.wait_until_available(0.5)
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
