"""Batching over real ports: what runs together, what each request gets back, and what is refused."""

import http.client
import json
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfrec.serving.batching import Batcher
from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig
from tfrec.serving.errors import RequestError
from tfrec.serving.model import load_and_warm_up
from tfrec.serving.server import Server

from .conftest import publish, wait_for

NEVER = 600_000_000
"""A time-out within which no test ends: only a full batch runs."""


class Asker:
    """Asks `crowd` over both ports of a server."""

    def __init__(self, server: Server, channel: grpc.Channel) -> None:
        self.server = server
        self.stub = PredictionServiceStub(channel)

    def future(self, signature: str = "", output: str = "", timeout: float = 20, **inputs: Any) -> grpc.Future:
        """A request that is under way; an input that is a list is float32."""
        request = PredictRequest(model_spec=ModelSpec(name="crowd", signature_name=signature))
        request.output_filter.extend([output] if output else [])
        for name, value in inputs.items():
            array = np.asarray(value, np.float32) if isinstance(value, list) else value
            request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        return self.stub.Predict.future(request, timeout=timeout)

    def ask(self, signature: str = "", output: str = "", **inputs: Any) -> dict[str, np.ndarray]:
        return arrays(self.future(signature, output, **inputs))

    def error(self, signature: str = "", output: str = "", **inputs: Any) -> tuple[str, str]:
        return error_of(self.future(signature, output, **inputs))

    def is_available(self) -> bool:
        """Asks with a scalar, which is refused before it waits for a batch."""
        return self.error(x=np.float32(1))[0] == "INVALID_ARGUMENT"

    def rest(self, body: dict[str, Any]) -> tuple[int, Any]:
        url = f"http://127.0.0.1:{self.server.rest_api_port}/v1/models/crowd:predict"
        try:
            with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=20) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


def arrays(answer: grpc.Future) -> dict[str, np.ndarray]:
    return {name: tf.make_ndarray(proto) for name, proto in answer.result().outputs.items()}


def error_of(answer: grpc.Future) -> tuple[str, str]:
    error = answer.exception()
    return error.code().name, error.details()


@pytest.fixture
def serve(exports: Path) -> Iterator[Callable[..., Asker]]:
    """Starts a server of `crowd` with these batching parameters."""
    started: list[Server] = []
    channels: list[grpc.Channel] = []

    def start(folder: Path = exports / "crowd", per_model: bool = False, **parameters: Any) -> Asker:
        server = Server(
            [ModelConfig("crowd", folder)],
            grpc_port=0,
            rest_api_port=0,
            poll_seconds=0.05,
            batching=BatchingParameters(**parameters),
            per_model_batching=per_model,
            grpc_max_threads=40,
        )
        server.start()
        started.append(server)
        channels.append(grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}"))
        asker = Asker(server, channels[-1])
        wait_for(asker.is_available)
        return asker

    yield start
    for channel in channels:
        channel.close()
    for server in started:
        server.stop()


def test_a_full_batch_runs_at_once_and_each_request_gets_its_own_rows(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=6, batch_timeout_micros=NEVER)
    waiting = [asker.future(x=[[1, 1], [2, 2]]), asker.future(x=[[3, 3]])]
    with ThreadPoolExecutor() as executor:
        over_rest = executor.submit(asker.rest, {"instances": [[4, 4], [5, 5], [6, 6]]})
        first, second = map(arrays, waiting)
        assert over_rest.result() == (
            200,
            {"predictions": [{"y": [2.0 * x, 2.0 * x], "batch_size": 6} for x in (4, 5, 6)]},
        )
    assert first["y"].tolist() == [[2, 2], [4, 4]]
    assert second["y"].tolist() == [[6, 6]]
    assert [*first["batch_size"], *second["batch_size"]] == [6, 6, 6]


def test_after_the_timeout_a_batch_is_filled_up_to_the_next_allowed_size(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=8, batch_timeout_micros=1000, allowed_batch_sizes=(2, 5, 8))
    answer = asker.ask(x=[[1], [2], [3]])
    assert answer["y"].tolist() == [[2], [4], [6]]
    assert answer["batch_size"].tolist() == [5, 5, 5]


def test_a_request_that_does_not_fit_leaves_the_batch_to_others(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=4, batch_timeout_micros=NEVER)
    small = asker.future(x=[[1], [1], [1]])
    wait_for(lambda: "input_batch_size_count{} 1" in asker.server.metrics.page())  # It came first.
    large = asker.ask(x=[[2], [2], [2], [2]])
    assert large["batch_size"].tolist() == [4, 4, 4, 4]
    assert arrays(small)["batch_size"].tolist() == [3, 3, 3]


def test_signatures_are_not_mixed(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=2, batch_timeout_micros=NEVER)
    one = asker.future("repeat", text=np.array(["a"]), count=np.array([1], np.int32))
    x = asker.future(x=[[1]])
    two = asker.ask("repeat", text=np.array(["b"]), count=np.array([2], np.int32))
    assert [*arrays(one)["told"], *two["told"]] == [b"a-1", b"b-2"]
    assert not x.done()
    asker.ask(x=[[1]])
    assert arrays(x)["batch_size"].tolist() == [2]


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"x": [[0]] * 9}, "INVALID_ARGUMENT", "Task size 9 is larger than maximum input batch size 8"),
        ({"x": np.zeros([0, 1], np.float32)}, "INVALID_ARGUMENT", "Expected 1 or more rows, because batching is on"),
        (
            {"x": np.float32(1)},
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have at least one dimension",
        ),
        (
            {"signature": "repeat", "text": np.array(["a", "b"]), "count": np.array([1], np.int32)},
            "INVALID_ARGUMENT",
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        (
            {"signature": "fixed", "output": "scalar", "x": [1]},
            "FAILED_PRECONDITION",
            "Batched output tensor has 0 dimensions",
        ),
        (
            {"signature": "fixed", "output": "three", "x": [1]},
            "FAILED_PRECONDITION",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input",
        ),
        ({"x": np.zeros([1, 1, 1], np.int64)}, "INVALID_ARGUMENT", "Expects arg[0] to be float but int64 is provided"),
    ],
)
def test_requests_that_cannot_be_batched(batched: Asker, request_: dict[str, Any], code: str, message: str) -> None:
    received = batched.error(**request_)
    assert (received[0], received[1][: len(message)]) == (code, message)


@pytest.fixture(scope="module")
def batched(exports: Path) -> Iterator[Asker]:
    """A server that all tests of bad requests share."""
    parameters = BatchingParameters(max_batch_size=8, batch_timeout_micros=100)
    with (
        Server([ModelConfig("crowd", exports / "crowd")], grpc_port=0, rest_api_port=0, batching=parameters) as server,
        grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel,
    ):
        asker = Asker(server, channel)
        wait_for(asker.is_available)
        yield asker


def test_an_output_without_a_batch_can_be_left_out(batched: Asker) -> None:
    assert batched.ask("fixed", "same", x=[7, 8])["same"].tolist() == [7, 8]


def test_errors_over_rest(batched: Asker) -> None:
    message = "Task size 9 is larger than maximum input batch size 8"
    assert batched.rest({"instances": [[0]] * 9}) == (400, {"error": message})


def test_a_full_queue_is_unavailable(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1)
    waiting = [asker.future("slow", count=np.array([100_000], np.int32)) for _ in range(5)]
    errors = {error_of(answer) for answer in waiting if answer.exception()}
    assert errors == {
        (
            "UNAVAILABLE",
            "The batch scheduling queue to which this task was submitted is full; currently 1 batches enqueued and "
            "max_enqueued_batches is 1",
        )
    }
    answers = [arrays(answer)["counted"].tolist() for answer in waiting if not answer.exception()]
    assert answers
    assert all(answer == [100_000] for answer in answers)


def test_a_request_of_more_rows_than_a_batch_is_split(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=7, enable_large_batch_splitting=True, max_execution_batch_size=3)
    answer = asker.ask(x=[[n] for n in range(7)])
    assert answer["y"].ravel().tolist() == [2.0 * n for n in range(7)]
    assert answer["batch_size"].tolist() == [3, 3, 3, 3, 3, 3, 1]
    message = "Task size 8 is larger than maximum input batch size 7"
    assert asker.error(x=[[0]] * 8) == ("INVALID_ARGUMENT", message)


def test_requests_of_different_widths_fail(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=2, batch_timeout_micros=NEVER)
    narrow = asker.future(x=[[1, 2]])
    errors = {asker.error(x=[[3, 4, 5]]), error_of(narrow)}
    assert errors == {
        (
            "FAILED_PRECONDITION",
            "Tensors with name 'serving_default_x:0' from different tasks have different shapes and padding is turned "
            "off. Set pad_variable_length_inputs to true, or ensure that all tensors with the same name have equal "
            "dimensions starting with the first dim.",
        )
    }


def test_padding_repeats_each_requests_first_element(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=3, batch_timeout_micros=NEVER, pad_variable_length_inputs=True)
    narrow = asker.future(x=[[1], [2]])
    wide = asker.ask(x=[[3, 4, 5]])
    assert wide["y"].tolist() == [[6, 8, 10]]
    assert arrays(narrow)["y"].tolist() == [[2, 2, 2], [4, 2, 2]]


def test_clients_exclude_by_lists_of_several_widths_in_one_batch(exports: Path) -> None:
    # The clients' lists begin with "": what the first row excludes, "f", is not excluded for the second one.
    batching = BatchingParameters(max_batch_size=4, batch_timeout_micros=NEVER, pad_variable_length_inputs=True)
    with (
        Server([ModelConfig("shop", exports / "shop")], grpc_port=0, batching=batching) as server,
        Client(f"127.0.0.1:{server.grpc_port}", "shop", timeout=20) as client,
        ThreadPoolExecutor() as executor,
    ):
        client.wait_until_available(30)
        futures = [
            executor.submit(client.recommend, [["a"], ["b"]], exclude)
            for exclude in ([["f"], []], [["b", "c", "d", "e"], ["a"]])
        ]
        answers = [["".join(id for id, _ in row) for row in future.result()] for future in futures]
    assert answers == [["bcde", "acdef"], ["f", "cdef"]]


def test_a_request_that_is_given_up_leaves_its_place(serve: Callable[..., Asker]) -> None:
    asker = serve(max_batch_size=2, batch_timeout_micros=NEVER)
    late = asker.future(x=[[1]], timeout=0.3)
    assert late.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED
    cancelled = asker.future(x=[[1]])
    time.sleep(0.2)
    cancelled.cancel()

    def both() -> bool:
        two = [asker.future(x=[[2]], timeout=3), asker.future(x=[[3]], timeout=3)]
        return [arrays(each)["batch_size"].tolist() for each in two] == [[2], [2]]

    wait_for(both)


def test_warm_up_records_go_through_the_queue(exports: Path, tmp_path: Path) -> None:
    publish(exports / "crowd" / "1", tmp_path / "1")
    log = PredictionLog()
    log.predict_log.request.inputs["x"].CopyFrom(tf.make_tensor_proto(np.zeros([3, 1], np.float32)))
    (tmp_path / "1" / "assets.extra").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "1" / "assets.extra" / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())
    batcher = Batcher(BatchingParameters(max_batch_size=2))
    batcher.start()
    with pytest.raises(RequestError, match="Task size 3 is larger than maximum input batch size 2"):
        load_and_warm_up("crowd", 1, tmp_path / "1", batcher)
    batcher.close()


@pytest.mark.slow
def test_versions_come_and_go_under_batching(serve: Callable[..., Asker], exports: Path, tmp_path: Path) -> None:
    publish(exports / "crowd" / "1", tmp_path / "1")
    asker = serve(tmp_path, max_batch_size=8, batch_timeout_micros=1000, max_enqueued_batches=1000)
    wrong: list[object] = []
    done = threading.Event()

    def ask(client: int) -> None:
        random_ = random.Random(client)
        while not done.is_set():
            x = [[random_.random()] for _ in range(random_.randint(1, 8))]
            answer = asker.future(x=x)
            if random_.random() < 0.2:
                answer.cancel()
            elif answer.exception() or not np.array_equal(arrays(answer)["y"], 2 * np.array(x, np.float32)):
                wrong.append(answer)

    threads = [threading.Thread(target=ask, args=[client]) for client in range(8)]
    for thread in threads:
        thread.start()
    try:
        for version in range(2, 12):
            publish(exports / "crowd" / "1", tmp_path / str(version))
            wait_for(lambda version=version: asker.future(x=[[1]]).result().model_spec.version.value == version)
            (tmp_path / str(version - 1)).rename(tmp_path / f"away-{version - 1}")
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []


def test_a_version_is_unloaded_after_its_queue(serve: Callable[..., Asker], exports: Path, tmp_path: Path) -> None:
    publish(exports / "crowd" / "1", tmp_path / "1")
    asker = serve(tmp_path, max_batch_size=2, batch_timeout_micros=1_500_000)
    waiting = asker.future(x=[[1]])
    time.sleep(0.2)
    publish(exports / "crowd" / "1", tmp_path / "2")
    wait_for(lambda: asker.future("fixed", "same", x=[1, 1]).result().model_spec.version.value == 2)
    assert not waiting.done()
    assert arrays(waiting)["y"].tolist() == [[2]]
    assert waiting.result().model_spec.version.value == 1


def test_stopping_answers_what_waits_and_takes_nothing_new(exports: Path) -> None:
    parameters = BatchingParameters(max_batch_size=2, batch_timeout_micros=NEVER)
    server = Server([ModelConfig("crowd", exports / "crowd")], grpc_port=0, rest_api_port=0, batching=parameters)
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel, ThreadPoolExecutor() as executor:
        asker = Asker(server, channel)
        wait_for(asker.is_available)
        kept_alive = http.client.HTTPConnection("127.0.0.1", server.rest_api_port or 0, timeout=20)
        kept_alive.request("GET", "/v1/models/crowd")
        assert kept_alive.getresponse().read()
        running = asker.future("slow", count=np.array([300_000] * 2, np.int32))
        over_grpc = asker.future(x=[[1]])
        over_rest = executor.submit(asker.rest, {"signature_name": "repeat", "instances": [{"text": "a", "count": 1}]})
        time.sleep(0.3)
        assert not over_grpc.done()
        assert not over_rest.done()
        stopped = executor.submit(server.stop)
        wait_for(lambda: asker.error(x=[[1]])[0] == "UNAVAILABLE")
        kept_alive.request("POST", "/v1/models/crowd:predict", b'{"inputs": [[1]]}')
        refused = kept_alive.getresponse()
        assert (refused.status, json.load(refused)["error"][:22]) == (503, "The server is stopping")
        assert not running.done()
        assert arrays(over_grpc)["y"].tolist() == [[2]]
        assert over_rest.result() == (200, {"predictions": ["a-1"]})
        assert arrays(running)["counted"].tolist() == [300_000] * 2
        stopped.result()


@pytest.mark.parametrize("requests", [40, pytest.param(2000, marks=pytest.mark.slow)])
def test_many_clients_each_get_their_own_rows(serve: Callable[..., Asker], requests: int) -> None:
    asker = serve(
        max_batch_size=16,
        batch_timeout_micros=2000,
        max_enqueued_batches=1000,
        num_batch_threads=3,
        allowed_batch_sizes=(1, 3, 16),
        pad_variable_length_inputs=True,
    )
    sizes: set[int] = set()
    wrong: list[Any] = []

    def ask(client: int) -> None:
        random_ = random.Random(client)
        for number in range(requests):
            rows, width = random_.randint(1, 9), random_.randint(1, 3)
            x = [[client * 1e4 + number + row / 16 for _ in range(width)] for row in range(rows)]
            try:
                if random_.random() < 0.2:
                    body = asker.rest({"signature_name": "serving_default", "inputs": x})[1]["outputs"]
                    answer = {name: np.array(value, np.float32) for name, value in body.items()}
                elif random_.random() < 0.5:
                    words = np.array([f"{client}/{number}/{row}" for row in range(rows)])
                    told = asker.ask("repeat", text=words, count=np.arange(rows, dtype=np.int32))["told"]
                    assert told.tolist() == [f"{word}-{row}".encode() for row, word in enumerate(words)]
                    continue
                else:
                    answer = asker.ask(x=x)
                assert np.array_equal(answer["y"][:, :width], 2 * np.array(x))
                sizes.update(answer["batch_size"].tolist())
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=ask, args=[client]) for client in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sizes <= {1, 3, 16}
    assert 16 in sizes


def test_each_version_may_have_its_own_parameters(
    serve: Callable[..., Asker], exports: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    publish(exports / "crowd" / "1", tmp_path / "1")
    asker = serve(tmp_path, per_model=True, max_batch_size=2)
    assert asker.ask(x=[[0]] * 9)["batch_size"].tolist() == [9] * 9  # It has none: it is not batched.

    publish(exports / "crowd" / "1", tmp_path / "writing-2")
    (tmp_path / "writing-2" / "batching_params.pbtxt").write_text("max_batch_size { value: 5 }")
    (tmp_path / "writing-2").rename(tmp_path / "2")
    message = "Task size 9 is larger than maximum input batch size 5"
    wait_for(lambda: asker.error(x=[[0]] * 9) == ("INVALID_ARGUMENT", message))

    publish(exports / "crowd" / "1", tmp_path / "writing-3")
    (tmp_path / "writing-3" / "batching_params.pbtxt").write_text("allowed_batch_sizes: 5")
    (tmp_path / "writing-3").rename(tmp_path / "3")
    wait_for(lambda: "crowd version 3 failed to load" in caplog.text)
    assert "must match max_batch_size; last entry was 5; expected 1000" in caplog.text
    assert asker.error(x=[[0]] * 9)[1] == message
