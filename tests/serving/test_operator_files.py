"""What an operator deploys: the configuration parses, the stand-alone client runs."""

import re
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

from tfrec.serving.batching import BatchingParameters
from tfrec.serving.client import Client
from tfrec.serving.config import VersionPolicy, read_model_config_file
from tfrec.serving.metrics import DEFAULT_PATH, read_monitoring_config_file

FOLDER = Path(__file__).parents[2] / "serving"


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
    assert names == {"models.config", "monitoring.config", "batching.config"}
    assert all((FOLDER / name).is_file() for name in names)
    assert ".:/config:ro" in text


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
