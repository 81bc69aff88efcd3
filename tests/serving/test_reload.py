"""Labels, and models that come and go by request or by file while a real server answers."""

import json
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub

from tfrec.serving.client import Client, ServingError
from tfrec.serving.config import ModelConfig, VersionPolicy
from tfrec.serving.errors import StartError
from tfrec.serving.model import LoadRetries
from tfrec.serving.server import Server

from .conftest import publish, wait_for

ALL = VersionPolicy(latest=None)


def config(name: str, base_path: Path | str, more: str = "", platform: str = "tensorflow") -> str:
    return f'config {{ name: "{name}" base_path: "{base_path}" model_platform: "{platform}" {more} }}'


def labels(**versions: int) -> str:
    return " ".join(f'version_labels {{ key: "{label}" value: {number} }}' for label, number in versions.items())


class Operator:
    """Reloads a server's configuration and asks its models."""

    def __init__(self, server: Server, channel: grpc.Channel) -> None:
        self.server = server
        self.stub = ModelServiceStub(channel)

    def reload(self, *models: str) -> None:
        request = text_format.Parse(f"config {{ model_config_list {{ {' '.join(models)} }} }}", ReloadConfigRequest())
        assert self.stub.HandleReloadConfigRequest(request, timeout=20).status.error_code == 0

    def error(self, *models: str) -> tuple[str, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.reload(*models)
        return caught.value.code().name, caught.value.details()

    def client(self, model: str = "adder") -> Client:
        return Client(f"127.0.0.1:{self.server.grpc_port}", model)

    def step(self, version: int | str | None = None) -> float:
        """What a version of `adder` adds."""
        with self.client() as client:
            return float(client.predict("serving_default", {"x": [[0, 0, 0]]}, version)["y"][0, 0])

    def states(self, model: str, **version: object) -> dict[int, int]:
        request = GetModelStatusRequest(model_spec=ModelSpec(name=model, **version))
        statuses = self.stub.GetModelStatus(request, timeout=10).model_version_status
        return {each.version: each.state for each in statuses}


@pytest.fixture
def operator(exports: Path) -> Iterator[Operator]:
    """Of a server of both versions of `adder`."""
    server = Server(
        [ModelConfig("adder", exports / "adder", ALL)],
        grpc_port=0,
        rest_api_port=0,
        poll_seconds=0.05,
        retries=LoadRetries(0, 0.0),
    )
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        operator = Operator(server, channel)
        wait_for(lambda: operator.step(1) and operator.step(2))
        yield operator


EVERY_VERSION = "model_version_policy { all {} }"


def test_requests_by_label(operator: Operator, exports: Path) -> None:
    adder = config("adder", exports / "adder", EVERY_VERSION + labels(stable=1, canary=2))
    operator.reload(adder)
    assert (operator.step("stable"), operator.step("canary"), operator.step()) == (1.0, 2.0, 2.0)
    url = f"http://127.0.0.1:{operator.server.rest_api_port}/v1/models/adder/labels"
    with urllib.request.urlopen(f"{url}/stable:predict", b'{"inputs": [[0, 0, 0]]}') as response:
        assert json.load(response)["outputs"]["y"] == [[1.0, 1.0, 1.0]]
    with urllib.request.urlopen(f"{url}/stable/metadata") as response:
        assert json.load(response)["model_spec"]["version"] == "1"
    # The official server does not look at the label of a status.
    assert operator.states("adder", version_label="stable").keys() == {1, 2}

    operator.reload(config("adder", exports / "adder", EVERY_VERSION + labels(stable=2)))
    assert operator.step("stable") == 2.0
    with pytest.raises(ServingError, match="Unrecognized servable version label: canary"):
        operator.step("canary")


def test_a_label_is_given_only_to_a_version_that_is_available(operator: Operator, exports: Path) -> None:
    assert operator.error(
        config("adder", exports / "adder", labels(stable=9)), config("movies", exports / "movies")
    ) == (
        "FAILED_PRECONDITION",
        "Request to assign label to version 9 of model adder, which is not currently available for inference",
    )
    assert operator.step(1) == 1.0
    with pytest.raises(ServingError, match=r"Latest\(movies\)"):
        operator.client("movies").metadata()


def test_labels_at_the_start(exports: Path, tmp_path: Path) -> None:
    model = ModelConfig("adder", tmp_path, ALL, {"stable": 1})
    with pytest.raises(StartError, match=r"label to version 1 of model adder.*--allow_version_labels_for_unavailable"):
        Server([model], grpc_port=0)
    server = Server([model], grpc_port=0, poll_seconds=0.05, allow_labels_for_unavailable=True)
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        operator = Operator(server, channel)
        with pytest.raises(ServingError, match=r"Specific\(adder, 1\)"):
            operator.step("stable")
        publish(exports / "adder" / "1", tmp_path / "1")
        assert wait_for(lambda: operator.step("stable")) == 1.0
        # New labels may name what is not there; one that is in use may not move there.
        operator.reload(config("adder", tmp_path, EVERY_VERSION + labels(stable=1, next=2)))
        assert operator.error(config("adder", tmp_path, EVERY_VERSION + labels(stable=2)))[0] == "FAILED_PRECONDITION"
        assert operator.step("stable") == 1.0


def test_models_come_change_and_go_beside_requests(operator: Operator, exports: Path) -> None:
    failures: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                assert operator.step(1) == 1.0
            except Exception as error:
                failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        adder = config("adder", exports / "adder", EVERY_VERSION)
        operator.reload(adder, config("movies", exports / "movies"))
        with operator.client("movies") as movies:
            assert movies.search(["A"]) == [[("a", 1.0)]]
            operator.reload(adder)
            wait_for(lambda: operator.states("movies") == {7: ModelVersionStatus.END})
            with pytest.raises(ServingError, match=r"Latest\(movies\)"):
                movies.search(["A"])
            operator.reload(adder, config("movies", exports / "movies"))
            wait_for(lambda: movies.search(["A"]) == [[("a", 1.0)]])
        operator.reload(config("adder", exports / "adder", "model_version_policy { specific { versions: 1 } }"))
        wait_for(lambda: operator.states("adder") == {2: ModelVersionStatus.END, 1: ModelVersionStatus.AVAILABLE})
    finally:
        done.set()
        thread.join()
    assert failures == []
    assert operator.step() == 1.0
    operator.reload()
    wait_for(lambda: operator.states("adder") == {2: ModelVersionStatus.END, 1: ModelVersionStatus.END})


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([config("a", "/a"), config("a", "/b")], "Illegal to list model a multiple times in config list"),
        ([config("a", "b/c")], "Expected model a to have an absolute path or URI; got base_path()=b/c"),
        (
            [config("a", "/a", platform="")],
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform, "
            "model name is a",
        ),
        ([config("a", "/a", platform="tfx")], "Model a requests unsupported platform tfx"),
        ([config("", "/a")], "Expected a model name. Received: ''. Pass --model_name NAME."),
    ],
)
def test_wrong_configurations(operator: Operator, models: list[str], message: str) -> None:
    assert operator.error(*models) == ("INVALID_ARGUMENT", message)


def test_a_request_without_a_list_of_models(operator: Operator) -> None:
    with pytest.raises(grpc.RpcError, match="Only ModelConfigList is currently supported") as caught:
        operator.stub.HandleReloadConfigRequest(ReloadConfigRequest(), timeout=10)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_new_model_that_does_not_load(operator: Operator, exports: Path, tmp_path: Path) -> None:
    (tmp_path / "3").mkdir()
    code, message = operator.error(config("adder", exports / "adder", EVERY_VERSION), config("broken", tmp_path))
    assert (code, message.split(" due to error: ")[0]) == (
        "UNKNOWN",
        "1 model(s) did not become available: {{{name: broken version: 3}",
    )
    assert operator.step() == 2.0


def test_the_file_is_read_again(exports: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "models.config"

    def write(*models: str) -> None:
        unfinished = tmp_path / "writing"
        unfinished.write_text(f"model_config_list {{ {' '.join(models)} }}")
        unfinished.rename(file)

    adder = ModelConfig("adder", exports / "adder")
    server = Server([adder], grpc_port=0, poll_seconds=0.05, model_config_file=file, model_config_poll_seconds=0.05)
    with server, grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        operator = Operator(server, channel)
        wait_for(lambda: operator.step() == 2.0)
        wait_for(lambda: "models.config is not taken over: Expected a ModelServerConfig" in caplog.text)
        write(config("adder", exports / "adder", labels(stable=2)), config("movies", exports / "movies"))
        with operator.client("movies") as movies:
            movies.wait_until_available(20)
        assert operator.step("stable") == 2.0
        write(config("adder", exports / "adder", labels(stable=7)))
        wait_for(lambda: "label to version 7 of model adder, which is not currently available" in caplog.text)
        assert operator.step("stable") == 2.0
        assert caplog.text.count("label to version 7") == 1
