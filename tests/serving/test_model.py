"""A model's versions step by step, with a loader that needs no TensorFlow model."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tfrec.serving.config import ModelConfig, VersionPolicy
from tfrec.serving.errors import RequestError
from tfrec.serving.model import LoadRetries, Model, State


class Shelf:
    """Loads versions that are nothing but their number; those named in `broken` fail."""

    def __init__(self, folder: Path, policy: VersionPolicy = VersionPolicy(), retries: int = 1) -> None:  # noqa: B008
        self.folder = folder
        self.broken: set[int] = set()
        self.tried: list[int] = []
        self.closed: list[int] = []
        config = ModelConfig("toy", folder, policy)
        self.model = Model(config, LoadRetries(retries, seconds=0.0), self.load)

    def load(self, name: str, number: int, path: Path) -> Any:
        self.tried.append(number)
        if number in self.broken:
            raise ValueError("broken export")
        return SimpleNamespace(name=name, version=number, close=lambda: self.closed.append(number))

    def poll(self, *versions: int) -> dict[int, State]:
        """The states after a poll that finds these versions on disk."""
        for path in self.folder.iterdir():
            path.rmdir()
        for number in versions:
            (self.folder / str(number)).mkdir()
        self.model.scan()
        self.model.advance()
        return self.states()

    def states(self) -> dict[int, State]:
        return {version.number: version.state for version in self.model.versions()}

    def serves(self, number: int | None = None) -> int:
        with self.model.lease(number) as servable:
            return servable.version


def test_the_newest_version_replaces_the_older_one(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    assert shelf.poll(1) == {1: State.AVAILABLE}
    assert shelf.poll(1, 10, 9) == {10: State.AVAILABLE, 1: State.END}
    assert (shelf.serves(), shelf.tried, shelf.closed) == (10, [1, 10], [1])


def test_a_version_is_unloaded_after_its_last_request(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.poll(1)
    with shelf.model.lease(None) as first:
        with shelf.model.lease(1) as second:
            assert shelf.poll(1, 2) == {2: State.AVAILABLE, 1: State.UNLOADING}
            assert (first.version, second.version, shelf.serves()) == (1, 1, 2)
            with pytest.raises(RequestError, match=r"Specific\(toy, 1\)"):
                shelf.serves(1)
        assert shelf.closed == []
    assert shelf.closed == [1]
    assert shelf.states() == {2: State.AVAILABLE, 1: State.END}


def test_a_broken_version_is_tried_again_and_never_disturbs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(tmp_path)
    shelf.broken = {2}
    shelf.poll(1)
    assert shelf.poll(1, 2) == {2: State.LOADING, 1: State.AVAILABLE}
    assert "toy version 2 failed to load" in caplog.text
    assert "broken export" in caplog.text
    assert "Next try in 0 s (retry 1 of 1)" in caplog.text
    assert shelf.poll(1, 2) == {2: State.END, 1: State.AVAILABLE}
    assert "Given up after 2 tries" in caplog.text
    assert shelf.poll(1, 2) == {2: State.END, 1: State.AVAILABLE}
    assert (shelf.serves(), shelf.tried) == (1, [1, 2, 2])
    error = shelf.model.versions()[0].error
    assert error is not None
    assert "broken export" in error.message


def test_a_version_that_recovers_is_served(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.broken = {2}
    shelf.poll(1, 2)
    shelf.broken = set()
    assert shelf.poll(1, 2) == {2: State.AVAILABLE}


def test_a_version_given_up_is_loaded_when_it_comes_anew(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, retries=0)
    shelf.broken = {2}
    assert shelf.poll(2) == {2: State.END}
    shelf.poll()
    shelf.broken = set()
    assert shelf.poll(2) == {2: State.AVAILABLE}


def test_a_broken_version_that_is_removed_is_not_tried_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, retries=9)
    shelf.broken = {2}
    shelf.poll(1, 2)
    assert shelf.poll(1) == {2: State.END, 1: State.AVAILABLE}
    assert shelf.tried == [2, 1]


def test_rolling_back_to_an_older_version(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.poll(1, 2)
    assert shelf.poll(1) == {2: State.END, 1: State.AVAILABLE}
    assert shelf.poll(1, 2) == {2: State.AVAILABLE, 1: State.END}


def test_a_version_that_comes_back_while_it_is_unloaded_is_loaded_again(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.poll(1)
    with shelf.model.lease(1):
        shelf.poll()
        assert shelf.poll(1) == {1: State.UNLOADING}
    assert shelf.poll(1) == {1: State.AVAILABLE}
    assert shelf.tried == [1, 1]


def test_a_model_that_is_taken_away_and_comes_anew(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path, retries=0)
    shelf.broken = {2}
    shelf.poll(1, 2)
    shelf.model.configure(None)
    assert shelf.poll(1, 2) == {2: State.END}
    shelf.broken = set()
    shelf.model.configure(ModelConfig("toy", tmp_path))
    assert shelf.poll(1, 2) == {2: State.AVAILABLE}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (VersionPolicy(), {4}),
        (VersionPolicy(latest=2), {3, 4}),
        (VersionPolicy(latest=None), {1, 3, 4}),
        (VersionPolicy(specific=frozenset({1, 3, 8})), {1, 3}),
    ],
)
def test_policies(tmp_path: Path, policy: VersionPolicy, expected: set[int]) -> None:
    shelf = Shelf(tmp_path, policy)
    assert shelf.poll(1, 3, 4) == dict.fromkeys(expected, State.AVAILABLE)


def test_a_specific_version_that_is_missing_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(tmp_path, VersionPolicy(specific=frozenset({5})))
    assert shelf.poll(4) == {}
    assert "Versions [5] of model toy are to be served and not in" in caplog.text


def test_waiting_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    shelf = Shelf(tmp_path)
    shelf.poll()
    shelf.poll()
    assert caplog.text.count("No version of model toy") == 1
    with pytest.raises(RequestError, match=r"NOT_FOUND: Servable not found for request: Latest\(toy\)"):
        shelf.serves()


def test_a_base_path_that_vanishes_does_not_stop_the_serving(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    shelf = Shelf(tmp_path / "models")
    shelf.folder.mkdir()
    shelf.poll(1)
    shelf.folder.rename(tmp_path / "elsewhere")
    shelf.model.scan()
    shelf.model.advance()
    assert shelf.serves() == 1
    assert "cannot be listed: No such file or directory" in caplog.text


def test_folders_that_are_no_versions_are_skipped(tmp_path: Path) -> None:
    for name in ("3", "writing-4", "4.tmp", "-5", "٦", str(2**63), "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "7").touch()
    assert ModelConfig("toy", tmp_path).versions_on_disk() == {3: tmp_path / "3"}
