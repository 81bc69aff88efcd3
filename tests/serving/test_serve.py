"""The command line, in processes of its own."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from typer.main import get_command
from typer.testing import CliRunner

from tfrec.serve import app
from tfrec.serving.client import Client, ServingError

from .conftest import publish, wait_for

ENVIRONMENT = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"}


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@contextmanager
def serving(folder: Path, *arguments: str) -> Iterator[subprocess.Popen]:
    """A server process that is told to serve from `folder`, its log in `folder/log`."""
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tfrec.serve", *arguments],
            cwd=folder,
            env=ENVIRONMENT | {"PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=log,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def test_help_shows_examples_without_importing_tensorflow() -> None:
    script = (
        "import sys\nfrom typer.testing import CliRunner\nfrom tfrec.serve import app\n"
        "result = CliRunner().invoke(app, ['--help'])\nprint(result.output)\n"
        "assert result.exit_code == 0 and not {'tensorflow', 'grpc'} & set(sys.modules), sorted(sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "--model_base_path saved_models/movies" in " ".join(result.stdout.split())


def test_help_shows_every_flag_whole_at_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, ["--help"]).output.splitlines()
    flags = [option for parameter in get_command(app).params for option in parameter.opts]
    assert "--file_system_poll_wait_seconds" in flags
    for flag in flags:
        assert any(line.split()[:1] == [flag] for line in shown), flag
    assert max(map(len, shown)) <= 80


@pytest.mark.parametrize("stop", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_a_signal_lets_the_request_in_flight_end(tmp_path: Path, exports: Path, stop: signal.Signals) -> None:
    port, rest_port = free_port(), free_port()
    flags = ("--model_name", "adder", "--port", str(port), "--rest_api_port", str(rest_port))
    with (
        serving(tmp_path, *flags, "--model_base_path", "models") as process,
        Client(f"127.0.0.1:{port}", "adder", timeout=30) as client,
        ThreadPoolExecutor() as executor,
    ):
        log = tmp_path / "log"
        wait_for(lambda: "cannot be listed" in log.read_text())
        (tmp_path / "models").mkdir()
        publish(exports / "adder" / "1", tmp_path / "models" / "1")
        assert client.wait_until_available(20) == 1
        assert f"Listening for gRPC on 127.0.0.1:{port}" in log.read_text()
        assert "adder version 1 is available" in log.read_text()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel, pytest.raises(grpc.RpcError, match="INTERNAL"):
            channel.unary_unary("/tensorflow.serving.PredictionService/Predict")(b"no protobuf", timeout=10)
        assert "no message of their method: 1 so far" in log.read_text()
        assert "Traceback" not in log.read_text()

        count = 300_000
        over_grpc = executor.submit(client.predict, "slow", {"count": [count]})
        over_rest = executor.submit(ask_slowly, rest_port, count)
        time.sleep(0.5)
        assert not over_grpc.done()
        assert not over_rest.done()
        process.send_signal(stop)
        wait_for(lambda: "requests in flight may end" in log.read_text())
        process.send_signal(signal.SIGTERM)  # Some supervisors send it twice.
        assert over_grpc.result()["counted"].tolist() == [count]
        assert over_rest.result() == {"predictions": [count]}
        assert process.wait(20) == 0
        assert "Stopped" in log.read_text()


@pytest.mark.slow
def test_a_signal_runs_what_waits_for_its_batch(tmp_path: Path, exports: Path) -> None:
    port = free_port()
    publish(exports / "adder" / "1", tmp_path / "models" / "1")
    (tmp_path / "batching.config").write_text("batch_timeout_micros { value: 600000000 }")
    (tmp_path / "monitoring.config").write_text("prometheus_config { enable: true }")
    flags = ("--model_base_path", "models", "--port", str(port), "--rest_api_port", str(free_port()))
    batching = ("--enable_batching=true", "--batching_parameters_file", "batching.config")
    more = ("--monitoring_config_file", "monitoring.config", "--enable_grpc_healthcheck_service")
    with (
        serving(tmp_path, *flags, *batching, *more) as process,
        Client(f"127.0.0.1:{port}", "default", timeout=30) as client,
        ThreadPoolExecutor() as executor,
    ):
        client.wait_until_available(60)
        client.metadata()
        waiting = [executor.submit(client.predict, "serving_default", {"x": [[n, n, n]]}) for n in range(5)]
        time.sleep(0.5)
        assert not any(each.done() for each in waiting)
        process.send_signal(signal.SIGTERM)
        assert [each.result()["s"].tolist() for each in waiting] == [[3.0 * n] for n in range(5)]
        with Client(client.target, "default") as newcomer, pytest.raises(ServingError, match="UNAVAILABLE"):
            newcomer.predict("serving_default", {"x": [[0, 0, 0]]})
        assert process.wait(20) == 0


@pytest.mark.slow
def test_a_kill_and_a_new_start_lose_no_request(tmp_path: Path, exports: Path) -> None:
    port, rest_port = free_port(), free_port()
    publish(exports / "adder" / "1", tmp_path / "models" / "1")
    flags = ("--model_base_path", "models", "--port", str(port), "--rest_api_port", str(rest_port))
    over = threading.Event()

    def ask(client: Client) -> int:
        asked = 0
        while not over.is_set():
            assert client.predict("serving_default", {"x": [[asked, 0, 0]]})["y"][0, 0] == asked + 1
            asked += 1
        return asked

    with Client(f"127.0.0.1:{port}", "default", timeout=60) as client, ThreadPoolExecutor() as executor:
        with serving(tmp_path, *flags) as process:
            client.wait_until_available(60)
            answered = executor.submit(ask, client)
            time.sleep(0.5)
            process.kill()
        with serving(tmp_path, *flags):
            client.predict("serving_default", {"x": [[0, 0, 0]]})
            over.set()
            assert answered.result(60) > 10


def ask_slowly(port: int, count: int) -> object:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = json.dumps({"signature_name": "slow", "instances": [count]})
    connection.request("POST", "/v1/models/adder:predict", body)
    return json.loads(connection.getresponse().read())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Expected --model_base_path or --model_config_file. Received: neither"),
        (["--model_base_path", "a", "--model_config_file", "b"], "and --model_config_file. Received: both"),
        (["--model_base_path", "gs://bucket/movies"], "Expected a local folder as --model_base_path"),
        (["--model_config_file", "nothing.config"], "Expected a ModelServerConfig in text format"),
        (["--model_base_path", "a", "--model_name", ""], "Expected a model name"),
        (["--model_base_path", "a", "--batching_parameters_file", "b"], "Expected --enable_batching with --batching_"),
        (
            ["--model_base_path", "a", "--enable_batching=false", "--enable_per_model_batching_parameters"],
            "Expected --enable_batching with --enable_per_model_batching_parameters",
        ),
        (
            ["--model_base_path", "a", "--monitoring_config_file", "b", "--rest_api_port", "0"],
            "Expected a --rest_api_port with --monitoring_config_file",
        ),
        (
            ["--model_base_path", "a", "--enable_batching=true", "--batching_parameters_file", "nothing.config"],
            "Expected a BatchingParameters in text format in nothing.config",
        ),
    ],
)
def test_a_wrong_setting_ends_with_status_2(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, message in result.output) == (2, True)


def test_a_port_in_use_ends_with_status_2_and_no_words_of_grpc(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with serving(tmp_path, "--model_base_path", "models", "--port", str(port)) as process:
            assert process.wait(60) == 2
    log = (tmp_path / "log").read_text()
    assert f"127.0.0.1:{port}. Received: the address is in use" in " ".join(log.split())
    assert ".cc:" not in log


def test_ctrl_c_during_the_start_ends_it_without_a_traceback(tmp_path: Path) -> None:
    with serving(tmp_path, "--model_base_path", "models") as process:
        wait_for(lambda: "starting TensorFlow" in (tmp_path / "log").read_text())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    assert "Traceback" not in (tmp_path / "log").read_text()
