"""--model_config_file, and the settings of a model."""

from pathlib import Path

import pytest

from tfrec.serving.config import ModelConfig, VersionPolicy, read_model_config_file
from tfrec.serving.errors import StartError


def write(folder: Path, *models: str) -> Path:
    path = folder / "models.config"
    listed = "".join(f"config {{ {model} }}\n" for model in models)
    path.write_text(f"model_config_list {{\n{listed}}}\n")
    return path


MOVIES = 'name: "movies" base_path: "/models/movies" model_platform: "tensorflow"'


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("", VersionPolicy(latest=1)),
        ("model_version_policy { latest { num_versions: 3 } }", VersionPolicy(latest=3)),
        ("model_version_policy { latest {} }", VersionPolicy(latest=1)),
        ("model_version_policy { all {} }", VersionPolicy(latest=None)),
        (
            "model_version_policy { specific { versions: 4 versions: 7 } }",
            VersionPolicy(specific=frozenset({4, 7})),
        ),
    ],
)
def test_policies(tmp_path: Path, policy: str, expected: VersionPolicy) -> None:
    assert read_model_config_file(write(tmp_path, f"{MOVIES} {policy}")) == [
        ModelConfig("movies", Path("/models/movies"), expected)
    ]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "Expected a model_config_list of one or more models"),
        ([MOVIES, MOVIES], r"with different names in .*\['movies', 'movies'\]"),
        (["nonsense: 1"], "Expected a ModelServerConfig in text format"),
        (['name: "movies" base_path: "/models/movies"'], "Expected model_platform: 'tensorflow'"),
        (['name: "movies" base_path: "movies" model_platform: "tensorflow"'], "to have an absolute base path"),
        (['base_path: "/movies" model_platform: "tensorflow"'], "Expected a model name"),
        ([f"{MOVIES} model_version_policy {{ specific {{ }} }}"], "Expected versions in the specific policy"),
    ],
)
def test_errors(tmp_path: Path, models: list[str], message: str) -> None:
    with pytest.raises(StartError, match=message):
        read_model_config_file(write(tmp_path, *models))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"nothing\.config"):
        read_model_config_file(tmp_path / "nothing.config")


def test_labels(tmp_path: Path) -> None:
    (model,) = read_model_config_file(write(tmp_path, f'{MOVIES} version_labels {{ key: "stable" value: 1 }}'))
    assert model.version_labels == {"stable": 1}
