"""Malformed, huge and senseless requests: each is answered, soon, and the server goes on. No random one is alike."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow.core.framework import types_pb2
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis.predict_pb2 import PredictRequest

from tfrec.serving import malformed
from tfrec.serving.client import Client
from tfrec.serving.malformed import MalformedRequests
from tfrec.serving.server import Server

from .models import HISTORY_LENGTH
from .test_rest import ask

LONGEST_SECONDS = 10.0
UNREADABLE = b"\x0a\xff"


@pytest.fixture
def send(server: Server) -> Iterator[Callable[[bytes], str]]:
    """Sends bytes as a request; the code of the answer, which must come soon."""
    options = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", options=options) as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")

        def code_of(payload: bytes) -> str:
            try:
                predict(payload, timeout=LONGEST_SECONDS)
            except grpc.RpcError as error:
                return str(error.code().name)
            return "OK"

        yield code_of


@pytest.fixture(autouse=True)
def the_server_goes_on(adder: Client) -> Iterator[None]:
    yield
    started = time.monotonic()
    assert adder.predict("serving_default", {"x": [[1, 2, 3]]})["s"].tolist() == [6.0]
    assert time.monotonic() - started < LONGEST_SECONDS


def texts(values: list[bytes], shape: list[int], dtype: int = types_pb2.DT_STRING) -> TensorProto:
    proto = TensorProto(dtype=dtype, string_val=values)  # type: ignore[arg-type]
    for size in shape:
        proto.tensor_shape.dim.add(size=size)
    return proto


def request(**changed: TensorProto) -> bytes:
    """A request to `movies` with some inputs in the place of valid ones."""
    inputs = {
        "history_item_ids": texts([b"a"] * HISTORY_LENGTH, [1, HISTORY_LENGTH]),
        "exclude_item_ids": texts([b""], [1, 1]),
        "age": TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[30.0]),
        "country": texts([b"nl"], [1]),
    }
    inputs["age"].tensor_shape.dim.add(size=1)
    message = PredictRequest()
    message.model_spec.name = "movies"
    for name, proto in (inputs | changed).items():
        message.inputs[name].CopyFrom(proto)
    return bytes(message.SerializeToString())


def test_random_and_mutated_messages(send: Callable[[bytes], str]) -> None:
    generator = np.random.default_rng(0)
    valid = request()
    assert send(valid) == "OK"
    codes = set()
    for _ in range(60):
        codes.add(send(generator.bytes(int(generator.integers(1, 1000)))))
        mutated = bytearray(valid)
        for place in generator.integers(len(mutated), size=int(generator.integers(1, 9))):
            mutated[place] = generator.integers(256)
        codes.add(send(bytes(mutated)))
    # INTERNAL is what gRPC answers where a message cannot be read.
    assert "INTERNAL" in codes
    assert codes <= {"OK", "INTERNAL", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND"}


def test_wrong_shapes_and_dtypes(send: Callable[[bytes], str]) -> None:
    answered = {"OK", "INVALID_ARGUMENT", "FAILED_PRECONDITION", "INTERNAL"}
    for shape in ([], [0], [0, 4], [1], [1, 0], [1, 1], [1, 5], [1, 1, 4], [3, 4], [-1, 5], [1] * 300, [1, 2**62]):
        assert send(request(history_item_ids=texts([b"a"], shape))) in answered
    for dtype in sorted(types_pb2.DataType.values()):
        if dtype != types_pb2.DT_STRING:
            assert send(request(history_item_ids=texts([b"a"] * 4, [1, 4], dtype))) == "INVALID_ARGUMENT", dtype


def test_huge_requests(send: Callable[[bytes], str], server: Server) -> None:
    history = texts([b"x" * 10_000_000, b"", b"", b""], [1, 4])
    assert send(request(history_item_ids=history)) in ("OK", "INVALID_ARGUMENT")
    exclude = texts([b"a"] * 100_000, [1, 100_000])
    assert send(request(exclude_item_ids=exclude)) == "OK"
    assert send(request(history_item_ids=exclude)) in ("OK", "INVALID_ARGUMENT")
    body: dict[str, Any] = {"signature_name": "echo", "instances": ["x" * 5_000_000]}
    status, answer = ask(server, "POST", "/v1/models/adder:predict", body)
    assert (status, len(answer["predictions"][0]["text"])) == (200, 5_000_000)
    histories: dict[str, Any] = {"inputs": {"history_item_ids": [["a"] * 100_000]}}
    assert ask(server, "POST", "/v1/models/movies:predict", histories)[0] == 400  # There are other inputs.
    nested = b'{"inputs": ' + b'{"a": ' * 10_000 + b"1" + b"}" * 10_000 + b"}"
    assert ask(server, "POST", "/v1/models/movies:predict", nested)[0] == 400


def test_unreadable_messages_are_a_line_and_not_a_traceback_each(
    send: Callable[[bytes], str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("grpc._common")
    lines = MalformedRequests()
    # Alone: a test that ran the command line before left its own.
    monkeypatch.setattr(logger, "filters", [lines])
    assert [send(UNREADABLE) for _ in range(20)] == ["INTERNAL"] * 20
    monkeypatch.setattr(malformed, "_SECONDS_BETWEEN_LINES", 0.0)
    lines._next_line = 0.0
    send(UNREADABLE)
    try:
        raise ValueError("a real one")
    except ValueError:
        logger.exception("Something else failed")
    told = [record for record in caplog.records if record.name == logger.name]
    assert [record.levelname for record in told] == ["WARNING", "WARNING", "ERROR"]
    assert [record.getMessage().split(" The last")[0] for record in told] == [
        "Requests refused because they are no message of their method: 1 so far.",
        "Requests refused because they are no message of their method: 21 so far.",
        "Something else failed",
    ]
    assert [record.exc_info is None for record in told] == [True, True, False]
