"""The health check as a probe asks it: bytes written by hand, since the messages are one field each."""

import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub

from tfrec.serving.config import ModelConfig
from tfrec.serving.server import Server

from .conftest import publish, wait_for

SERVING, NOT_SERVING, SERVICE_UNKNOWN = b"\x08\x01", b"\x08\x02", b"\x08\x03"


def check(channel: grpc.Channel, service: str = "") -> bytes:
    """The answer of Check; a service that is named is field 1, a string."""
    request = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    return channel.unary_unary("/grpc.health.v1.Health/Check")(request, timeout=10)


def test_health_is_serving_from_the_first_versions_on(exports: Path, tmp_path: Path) -> None:
    models = [ModelConfig("adder", exports / "adder"), ModelConfig("late", tmp_path)]
    server = Server(models, grpc_port=0, poll_seconds=0.05, health_check=True)
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        assert check(channel) == NOT_SERVING
        publish(exports / "adder" / "1", tmp_path / "1")
        wait_for(lambda: check(channel) == SERVING)
        assert check(channel, "PredictionService") == SERVING
        assert check(channel, "ModelService") == SERVING
        with pytest.raises(grpc.RpcError) as caught:
            check(channel, "nonsense")
        assert (caught.value.code().name, caught.value.details()) == ("NOT_FOUND", "service name unknown")
        # Once it has served it goes on: a model that fails later is no reason to restart the server.
        (tmp_path / "1").rename(tmp_path / "away")
        wait_for(lambda: server._manager.versions_of("late")[0].state.name == "END")
        assert check(channel) == SERVING


def watch(channel: grpc.Channel, service: str = "", timeout: float = 20) -> Iterator[bytes]:
    request = b"\x0a" + bytes([len(service)]) + service.encode() if service else b""
    return channel.unary_stream("/grpc.health.v1.Health/Watch")(request, timeout=timeout)


def test_watch_tells_each_change_and_the_end(exports: Path, tmp_path: Path) -> None:
    server = Server([ModelConfig("late", tmp_path)], grpc_port=0, poll_seconds=0.05, health_check=True)
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        early, unknown = watch(channel), watch(channel, "nonsense")
        assert next(early) == NOT_SERVING
        assert next(unknown) == SERVICE_UNKNOWN
        publish(exports / "adder" / "1", tmp_path / "1")
        assert next(early) == SERVING
        late = watch(channel, "ModelService")
        assert next(late) == SERVING
        started = time.monotonic()
        server.stop()
        assert [list(early), list(late), list(unknown)] == [[NOT_SERVING], [NOT_SERVING], []]
        assert time.monotonic() - started < 10


def test_those_that_watch_occupy_no_threads(exports: Path) -> None:
    models = [ModelConfig("adder", exports / "adder")]
    server = Server(models, grpc_port=0, health_check=True, grpc_max_threads=2)
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        watching = [watch(channel) for _ in range(20)]
        assert {next(each) for each in watching} == {SERVING}
        for each in watching[:10]:
            each.cancel()  # type: ignore[attr-defined]
        assert check(channel) == SERVING
        wait_for(lambda: server._health is not None and len(server._health._watchers) == 10)


def test_a_model_that_is_taken_away_is_not_waited_for(exports: Path, tmp_path: Path) -> None:
    models = [ModelConfig("adder", exports / "adder"), ModelConfig("late", tmp_path)]
    server = Server(models, grpc_port=0, poll_seconds=0.05, health_check=True)
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        assert check(channel) == NOT_SERVING
        request = ReloadConfigRequest()
        request.config.model_config_list.config.add(
            name="adder", base_path=str(exports / "adder"), model_platform="tensorflow"
        )
        ModelServiceStub(channel).HandleReloadConfigRequest(request, timeout=10)
        wait_for(lambda: check(channel) == SERVING)


def test_health_has_to_be_switched_on(server: Server) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel, pytest.raises(grpc.RpcError) as caught:
        check(channel)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
