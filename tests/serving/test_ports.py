"""When the ports open: not before each version that is there has loaded, or failed to."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tfrec.serving import manager
from tfrec.serving.client import Client, ServingError
from tfrec.serving.config import ModelConfig
from tfrec.serving.model import load_and_warm_up
from tfrec.serving.ports import reserve
from tfrec.serving.server import Server

from .conftest import publish, wait_for

ZEROS = {"x": [[0, 0, 0]]}


def is_refused(port: int | None) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port or 0)) != 0


@contextmanager
def starting(models: list[ModelConfig]) -> Iterator[tuple[Server, threading.Thread]]:
    """A server, and the thread that starts it."""
    server = Server(models, grpc_port=0, rest_api_port=0, poll_seconds=0.05)
    start = threading.Thread(target=server.start)
    start.start()
    try:
        yield server, start
    finally:
        start.join(20)
        server.stop()


def test_the_ports_open_when_the_models_have_loaded(
    exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_load, loading = threading.Event(), threading.Event()

    def load(*arguments: Any, **more: Any) -> Any:
        loading.set()
        may_load.wait(20)
        return load_and_warm_up(*arguments, **more)

    monkeypatch.setattr(manager, "load_and_warm_up", load)
    with starting([ModelConfig("adder", exports / "adder"), ModelConfig("late", tmp_path)]) as (server, start):
        assert loading.wait(20)
        # Taken, so that nobody else gets them, and yet refused.
        assert is_refused(server.grpc_port)
        assert is_refused(server.rest_api_port)
        may_load.set()
        start.join(20)
        assert not is_refused(server.rest_api_port)
        with Client(f"127.0.0.1:{server.grpc_port}", "adder") as client:
            assert client.predict("serving_default", ZEROS)["y"][0, 0] == 2.0
        # What has no version yet keeps nobody waiting.
        with Client(f"127.0.0.1:{server.grpc_port}", "late") as client:
            with pytest.raises(ServingError, match="NOT_FOUND"):
                client.metadata()
            publish(exports / "adder" / "1", tmp_path / "1")
            assert client.wait_until_available(20) == 1


def test_a_version_that_fails_does_not_keep_the_ports_closed(exports: Path, tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    models = [ModelConfig("adder", exports / "adder"), ModelConfig("broken", tmp_path)]
    with starting(models) as (server, start):
        start.join(20)
        with Client(f"127.0.0.1:{server.grpc_port}", "adder") as client:
            assert client.predict("serving_default", ZEROS)["y"][0, 0] == 2.0


def test_a_client_waits_for_a_server_that_was_there(exports: Path) -> None:
    model = ModelConfig("adder", exports / "adder")
    with Server([model], grpc_port=0) as server:
        client = Client(f"127.0.0.1:{server.grpc_port}", "adder", timeout=20)
        client.metadata()
    with client:
        client.timeout = 0.3
        with pytest.raises(ServingError, match="DEADLINE_EXCEEDED") as caught:
            client.predict("serving_default", ZEROS)
        assert "Does the server still run?" in str(caught.value)
        client.timeout = 20
        answers: list[float] = []
        asking = threading.Thread(target=lambda: answers.append(client.predict("serving_default", ZEROS)["y"][0, 0]))
        asking.start()
        # More than gRPC's own tries take together.
        asking.join(2)
        assert asking.is_alive()
        with Server([model], grpc_port=server.grpc_port):
            wait_for(lambda: answers == [2.0])
            asking.join()


def test_a_port_is_reserved_without_listening() -> None:
    with reserve("localhost", 0) as reserved:
        port = reserved.getsockname()[1]
        assert is_refused(port)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError):
        reserve("127.0.0.1", taken.getsockname()[1])
