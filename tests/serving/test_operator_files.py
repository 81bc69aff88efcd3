"""What an operator deploys: the configuration parses, the stand-alone client runs."""

import subprocess
import sys
from pathlib import Path

from tfrec.serving.client import Client
from tfrec.serving.config import VersionPolicy, read_model_config_file

FOLDER = Path(__file__).parents[2] / "serving"


def run_client(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(FOLDER / "client.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=FOLDER)


def test_models_config_names_the_recommender() -> None:
    (model,) = read_model_config_file(FOLDER / "models.config")
    assert (model.name, model.base_path) == ("recommender", Path("/models/recommender"))
    assert model.policy == VersionPolicy(latest=2)


def test_the_compose_file_mounts_what_its_flags_name() -> None:
    text = (FOLDER / "docker-compose.yml").read_text()
    names = {part.split('"')[0].split("\n")[0] for part in text.split("=/config/")[1:]}
    assert names == {"models.config", "monitoring.config", "batching.config"}
    assert all((FOLDER / name).is_file() for name in names)
    assert ".:/config:ro" in text


def test_the_stand_alone_client_recommends(movies: Client) -> None:
    result = run_client("--target", movies.target, "--model", "movies", "a", "b", "c", "d", "e")
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["4.0000", "b"],
        ["3.0000", "c"],
        ["2.0000", "d"],
        ["1.0000", "e"],
    ], result.stderr


def test_the_stand_alone_client_tells_errors_in_a_line(movies: Client) -> None:
    result = run_client("--target", movies.target, "--model", "zzz", "a")
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        f"{movies.target} answered NOT_FOUND: Servable not found for request: Latest(zzz)"
    )
