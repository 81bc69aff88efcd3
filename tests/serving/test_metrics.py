"""The page for Prometheus: what requests over both ports leave on it."""

import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.client import Client, ServingError
from tfrec.serving.config import ModelConfig
from tfrec.serving.errors import StartError
from tfrec.serving.metrics import DEFAULT_PATH, Counter, Histogram, read_monitoring_config_file
from tfrec.serving.server import Server

from .conftest import wait_for

LINE = re.compile(r'(:[\w:]+(?:\{(?:\w+="(?:[^"\\]|\\.)*",?)*\})?) (\S+)')
PREFIX = ":tensorflow:serving:"


@pytest.fixture
def server(exports: Path) -> Iterator[Server]:
    """Batches `crowd` and tells of it."""
    parameters = BatchingParameters(max_batch_size=4, allowed_batch_sizes=(2, 4))
    models = [ModelConfig("crowd", exports / "crowd")]
    with Server(models, grpc_port=0, rest_api_port=0, batching=parameters, metrics_path=DEFAULT_PATH) as server:
        with client_of(server) as client:
            client.wait_until_available(20)
        yield server


def client_of(server: Server) -> Client:
    return Client(f"127.0.0.1:{server.grpc_port}", "crowd")


def get(server: Server, path: str, body: bytes | None = None) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_api_port}{path}", body) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def page(server: Server) -> dict[str, float]:
    status, text = get(server, DEFAULT_PATH)
    assert status == 200
    samples = [line for line in text.splitlines() if not line.startswith("# TYPE ")]
    matches = [LINE.fullmatch(line) for line in samples]
    assert all(matches), samples
    return {match[1]: float(match[2]) for match in matches if match}


def test_requests_are_counted_and_measured(server: Server) -> None:
    with client_of(server) as client:
        for _ in range(3):
            client.predict("serving_default", {"x": [[1.0]]})
        with pytest.raises(ServingError):
            client.predict("serving_default", {"x": [[1.0]] * 5})
    assert get(server, "/v1/models/zzz:predict", b'{"inputs": [1]}')[0] == 404
    assert get(server, "/v1/models/crowd:predict", b'{"instances": [[1]]}')[0] == 200
    assert get(server, "/v1/models/crowd:predict", b"{}")[0] == 400
    assert get(server, "/v1/models/crowd")[0] == 200

    def count(status: str, model: str = "crowd") -> float:
        return page(server)[f'{PREFIX}request_count{{model_name="{model}",status="{status}"}}']

    # An answer is counted after it has been sent.
    wait_for(lambda: count("OK") == 5)  # Three over gRPC; over REST, a prediction and a status.
    assert (count("INVALID_ARGUMENT"), count("NOT_FOUND", "zzz")) == (2, 1)
    samples = page(server)
    over_grpc = 'model_name="crowd",API="Predict",entrypoint="GRPC"'
    assert samples[f"{PREFIX}request_latency_count{{{over_grpc}}}"] == 3
    assert samples[f'{PREFIX}request_latency_bucket{{{over_grpc},le="+Inf"}}'] == 3
    assert samples[f"{PREFIX}request_latency_sum{{{over_grpc}}}"] > 0
    assert samples[f'{PREFIX}request_latency_count{{model_name="crowd",API="predict",entrypoint="REST"}}'] == 1
    assert samples[f'{PREFIX}runtime_latency_count{{model_name="crowd",API="Predict",runtime="TF1"}}'] == 4
    limits = [
        re.search(r'le="([^"]*)"', name)[1]  # type: ignore[index]
        for name in samples
        if name.startswith(f"{PREFIX}request_latency_bucket{{{over_grpc}")
    ]
    assert limits[:4] == ["10", "18", "32.4", "58.32"]
    assert len(limits) == 34


def test_batches_are_counted(server: Server) -> None:
    with client_of(server) as client:
        client.predict("serving_default", {"x": [[1.0]]})
        client.predict("serving_default", {"x": [[1.0]] * 3})
        client.predict("repeat", {"text": ["a"], "count": [1]})
    samples = page(server)
    batching = f"{PREFIX}batching_session:"
    assert samples[f"{batching}wrapped_run_count{{}}"] == 3
    assert samples[f'{batching}queuing_latency_count{{thread_pool_name=""}}'] == 3
    assert samples[f"{batching}processed_batch_size_sum{{}}"] == 2 + 4 + 2
    assert samples[f'{batching}padding_size_sum{{execution_batch_size="2"}}'] == 2
    assert samples[f'{batching}padding_size_sum{{execution_batch_size="4"}}'] == 1
    assert samples[f"{batching}input_batch_size_count{{}}"] == 4  # Each of the two inputs of `repeat`.
    assert samples[f"{batching}input_batch_size_sum{{}}"] == 1 + 3 + 1 + 1


def test_the_page_has_to_be_switched_on(batchless: Server) -> None:
    assert get(batchless, DEFAULT_PATH)[0] == 400


@pytest.fixture
def batchless(tmp_path: Path) -> Iterator[Server]:
    with Server([ModelConfig("none", tmp_path)], grpc_port=0, rest_api_port=0) as server:
        yield server


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", None),
        ("prometheus_config { path: '/metrics' }", None),
        ("prometheus_config { enable: true }", "/monitoring/prometheus/metrics"),
        ("prometheus_config { enable: true path: '/metrics' }", "/metrics"),
    ],
)
def test_monitoring_config_files(tmp_path: Path, text: str, path: str | None) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text(text)
    assert read_monitoring_config_file(file) == path


def test_a_wrong_monitoring_config_file(tmp_path: Path) -> None:
    (tmp_path / "monitoring.config").write_text("prometheus: true")
    with pytest.raises(StartError, match="Expected a MonitoringConfig in text format"):
        read_monitoring_config_file(tmp_path / "monitoring.config")


def test_the_text_format() -> None:
    counter = Counter(":a:b", ["name"])
    counter.add('say "hi" \\ and\nbye')
    counter.add('say "hi" \\ and\nbye')
    assert counter.lines() == ["# TYPE :a:b counter", ':a:b{name="say \\"hi\\" \\\\ and\\nbye"} 2']
    histogram = Histogram(":c", ["x"], scale=1, growth=2, count=3)
    for measured in (0.5, 1, 3, 100):
        histogram.add(measured, "y")
    assert histogram.lines() == [
        "# TYPE :c histogram",
        ':c_bucket{x="y",le="1"} 2',
        ':c_bucket{x="y",le="2"} 2',
        ':c_bucket{x="y",le="4"} 3',
        ':c_bucket{x="y",le="+Inf"} 4',
        ':c_sum{x="y"} 104.5',
        ':c_count{x="y"} 4',
    ]
