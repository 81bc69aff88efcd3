"""What the REST API answers when it is asked for more than it can do."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tfrec.serving import rest_server
from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server

from .conftest import wait_for

OVERLOADED = {"error": "The server is overloaded: the request waited for more than half of the time that it may take"}


def ask(server: Server, signature: str = "serving_default", value: Any = None) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", server.rest_api_port or 0, timeout=20)
    inputs = value or [[1.0]]
    connection.request("POST", "/v1/models/crowd:predict", json.dumps({"signature_name": signature, "inputs": inputs}))
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def test_a_request_that_waits_for_half_of_its_time_is_refused(exports: Path) -> None:
    models = [ModelConfig("crowd", exports / "crowd")]
    server = Server(models, grpc_port=0, rest_api_port=0, rest_threads=2, rest_timeout_seconds=1.0)
    with server, ThreadPoolExecutor() as executor:
        assert ask(server)[0] == 200
        slow = [executor.submit(ask, server, signature="slow", value=[300_000]) for _ in range(2)]
        time.sleep(0.2)
        started = time.monotonic()
        refused = list(executor.map(lambda _: ask(server), range(3)))
        assert refused == [(503, OVERLOADED)] * 3
        assert 0.4 < time.monotonic() - started < 1.5
        assert [each.result() for each in slow] == [(200, {"outputs": [300_000]})] * 2
        assert ask(server)[0] == 200


def test_a_request_has_a_deadline_while_it_waits_for_its_batch(exports: Path) -> None:
    server = Server(
        [ModelConfig("crowd", exports / "crowd")],
        grpc_port=0,
        rest_api_port=0,
        rest_timeout_seconds=0.3,
        batching=BatchingParameters(max_batch_size=2, batch_timeout_micros=600_000_000),
    )
    with server, ThreadPoolExecutor() as executor:
        message = "The request was given up while it waited for its batch"
        assert ask(server) == (504, {"error": message})
        # It has left its place: two more fill a batch.
        both = [executor.submit(ask, server) for _ in range(2)]
        assert {each.result()[0] for each in both} == {200}


def test_connections_are_bounded(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_server, "MOST_CONNECTIONS", 3)
    with Server([ModelConfig("crowd", exports / "crowd")], grpc_port=0, rest_api_port=0) as server:
        address = "127.0.0.1", server.rest_api_port or 0
        before = threading.active_count()
        kept = [socket.create_connection(address, timeout=10) for _ in range(3)]
        refused = [socket.create_connection(address, timeout=10) for _ in range(20)]
        for each in refused:
            assert each.recv(1000).startswith(b"HTTP/1.1 503 Service Unavailable")
            each.close()
        assert threading.active_count() <= before + 3
        for each in kept:
            each.close()
        wait_for(lambda: ask(server)[0] == 200)
