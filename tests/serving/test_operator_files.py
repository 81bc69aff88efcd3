"""What an operator deploys: the configuration parses, the stand-alone client runs."""

import json
import re
import runpy
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig, VersionPolicy, read_model_config_file
from tfrec.serving.metrics import DEFAULT_PATH, read_monitoring_config_file
from tfrec.serving.server import Server

FOLDER = Path(__file__).parents[2] / "serving"
METRIC = re.compile(r":tensorflow:[\w:]+")


def read_yaml(name: str) -> list[Any]:
    """The documents of a file."""
    yaml = pytest.importorskip("yaml", reason="PyYAML reads the file")
    return list(yaml.safe_load_all((FOLDER / name).read_text()))


@pytest.fixture
def run_client(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def run(*arguments: str) -> None:
        monkeypatch.setattr("sys.argv", ["client.py", *arguments])
        runpy.run_path(str(FOLDER / "client.py"), run_name="__main__")

    return run


def test_models_config_names_the_recommender() -> None:
    (model,) = read_model_config_file(FOLDER / "models.config")
    assert (model.name, model.base_path) == ("movies", Path("/models/movies"))
    assert model.policy == VersionPolicy(latest=2)


def test_batching_config_goes_with_the_warm_up_of_its_sizes() -> None:
    parameters = BatchingParameters.read(FOLDER / "batching.config")
    assert (parameters.max_batch_size, parameters.allowed_batch_sizes) == (32, (1, 8, 32))


def test_monitoring_config_serves_the_page() -> None:
    assert read_monitoring_config_file(FOLDER / "monitoring.config") == DEFAULT_PATH


def test_the_compose_file_mounts_what_its_flags_name() -> None:
    text = (FOLDER / "docker-compose.yml").read_text()
    names = {part.split('"')[0].split("\n")[0] for part in text.split("=/config/")[1:]}
    assert names == {"models.config", "monitoring.config"}
    assert all((FOLDER / name).is_file() for name in names)
    assert ".:/config:ro" in text


def test_the_compose_file_pins_versions_opens_no_port_to_others_and_mounts_what_is_there() -> None:
    [compose] = read_yaml("docker-compose.yml")
    assert set(compose["services"]) == {"serving", "prometheus", "grafana"}
    for service in compose["services"].values():
        assert re.fullmatch(r"[\w/]+:\$\{\w+:-v?\d+\.\d+\.\d+\}", service["image"])
        assert all(re.match(r"\$\{\w+:-127\.0\.0\.1\}:", port) for port in service["ports"])
        for source in (volume.split(":")[0] for volume in service["volumes"]):
            assert (FOLDER / source).is_dir() if source.startswith(".") else source in compose["volumes"]


def test_prometheus_scrapes_where_the_metrics_are() -> None:
    [scraped] = read_yaml("prometheus/prometheus.yml")
    [job] = scraped["scrape_configs"]
    assert job["metrics_path"] == read_monitoring_config_file(FOLDER / "monitoring.config")
    assert job["static_configs"] == [{"targets": ["serving:8501"]}]
    assert all((FOLDER / "prometheus" / name).is_file() for name in scraped["rule_files"])


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    [compose] = read_yaml("docker-compose.yml")
    mounts = [volume.split(":") for volume in compose["services"]["grafana"]["volumes"]]
    inside = {target: source for source, target, *_ in mounts}
    [dashboards] = read_yaml("grafana/provisioning/dashboards/serving.yml")
    [provider] = dashboards["providers"]
    assert (FOLDER / inside[provider["options"]["path"]] / "serving.json").is_file()
    [sources] = read_yaml("grafana/provisioning/datasources/prometheus.yml")
    [source] = sources["datasources"]
    assert source["url"] == "http://prometheus:9090"
    dashboard = json.loads((FOLDER / "grafana" / "dashboards" / "serving.json").read_text())
    assert {panel["datasource"]["uid"] for panel in dashboard["panels"]} == {source["uid"]}


def test_dashboard_and_alerts_ask_for_metrics_that_a_server_has(exports: Path) -> None:
    dashboard = json.loads((FOLDER / "grafana" / "dashboards" / "serving.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [variable["query"]["query"] for variable in dashboard["templating"]["list"]]
    alerts = (FOLDER / "prometheus" / "alerts.yml").read_text()
    asked = {metric for text in (*queries, alerts) for metric in METRIC.findall(text)}
    assert len(asked) == 7

    models = [ModelConfig("crowd", exports / "crowd")]
    batching = BatchingParameters()
    with (
        Server(models, grpc_port=0, rest_api_port=0, batching=batching, metrics_path=DEFAULT_PATH) as server,
        Client(f"127.0.0.1:{server.grpc_port}", "crowd") as client,
    ):
        client.wait_until_available(20)
        client.predict("serving_default", {"x": [[1.0]]})
        client.predict("serving_default", {"x": [[1.0]]})  # The first is counted by the time that this is answered.
        with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_api_port}{DEFAULT_PATH}") as page:
            lines = page.read().decode().splitlines()
    there = {metric[0] for line in lines if (metric := METRIC.match(line))}
    assert asked - there == set()


def test_kubernetes_config_files_parse_and_are_those_of_the_flags(tmp_path: Path) -> None:
    config, deployment, *_ = read_yaml("kubernetes.yaml")
    for name, text in config["data"].items():
        (tmp_path / name).write_text(text)
    [model] = read_model_config_file(tmp_path / "models.config")
    assert [model] == read_model_config_file(FOLDER / "models.config")
    assert read_monitoring_config_file(tmp_path / "monitoring.config") == DEFAULT_PATH
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    flags = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert flags["model_config_file"] == f"{mounts['config']}/models.config"
    assert flags["monitoring_config_file"] == f"{mounts['config']}/monitoring.config"
    assert model.base_path.parent == Path(mounts["models"])


def test_kubernetes_objects_select_the_pods_and_lose_no_request() -> None:
    _, deployment, service, budget = read_yaml("kubernetes.yaml")
    assert (service["kind"], budget["kind"]) == ("Service", "PodDisruptionBudget")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    for selector in (deployment["spec"]["selector"], budget["spec"]["selector"]):
        assert selector["matchLabels"] == labels
    assert service["spec"]["selector"] == labels
    [container] = template["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == ports
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    # Connections end, with gRPC's jitter of a tenth, before the container may, and that before it is killed.
    age = next(argument for argument in container["args"] if "grpc.max_connection_age_ms=" in argument)
    sleep = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert int(age.split("=")[-1]) * 1.1 / 1000 < sleep < template["spec"]["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_kubernetes_probes_are_answered(probe: str, server: Server) -> None:
    _, deployment, *_ = read_yaml("kubernetes.yaml")
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    asked = container[probe]["httpGet"]
    assert asked["port"] == "rest"
    with urllib.request.urlopen(f"http://127.0.0.1:{server.rest_api_port}{asked['path']}") as answer:
        assert answer.status == 200


def test_the_canary_of_the_runbook_is_a_configuration(tmp_path: Path) -> None:
    [text] = re.findall(r"```\n(.*?)```", (FOLDER / "README.md").read_text(encoding="utf-8"), re.S)
    (tmp_path / "models.config").write_text(text)
    [model] = read_model_config_file(tmp_path / "models.config")
    assert model.version_labels == {"stable": 1, "canary": 2}
    assert set(model.version_labels.values()) == set(model.policy.specific)


def test_the_stand_alone_client_recommends(
    movies: Client, run_client: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    run_client("--target", movies.target, "--model", "movies", "a", "b", "c", "d", "e")
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["4.0000", "b"],
        ["3.0000", "c"],
        ["2.0000", "d"],
        ["1.0000", "e"],
    ]


def test_the_stand_alone_client_tells_errors_in_a_line(movies: Client, run_client: Callable[..., None]) -> None:
    message = f"{movies.target} answered NOT_FOUND: Servable not found for request: Latest(zzz)"
    with pytest.raises(SystemExit, match=re.escape(message)):
        run_client("--target", movies.target, "--model", "zzz", "a")


def test_the_stand_alone_client_needs_nothing_of_tfrec() -> None:
    assert "import tfrec" not in (FOLDER / "client.py").read_text()
    assert "from tfrec" not in (FOLDER / "client.py").read_text()
