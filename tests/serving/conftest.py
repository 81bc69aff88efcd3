"""A server with two models for all tests, and a folder to put versions into for those that watch it change."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from tfrec.serving.client import Client
from tfrec.serving.config import ModelConfig, VersionPolicy
from tfrec.serving.server import Server

from .models import Arithmetic, Crowd, Diary, Judge, Recommender, Shop

Result = TypeVar("Result")


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`adder/1` adds 1, `adder/2` adds 2; `movies/7` is the recommender, `movies-6/8` takes 6 ids; `shop/1` excludes
    any number of ids, `narrow-shop/1` three; `diary/1` reads events and times; `crowd/1` tells its batch sizes;
    `judge/1` classifies and regresses examples."""
    folder = tmp_path_factory.mktemp("exports")
    Arithmetic(1.0).save(folder / "adder" / "1")
    Arithmetic(2.0).save(folder / "adder" / "2")
    Recommender().save(folder / "movies" / "7")
    Recommender(history_length=6).save(folder / "movies-6" / "8")
    Shop().save(folder / "shop" / "1")
    Shop(exclude_length=3).save(folder / "narrow-shop" / "1")
    Diary().save(folder / "diary" / "1")
    Crowd().save(folder / "crowd" / "1")
    Judge().save(folder / "judge" / "1")
    return folder


@pytest.fixture(scope="session")
def server(exports: Path) -> Iterator[Server]:
    """Serves `adder` in both versions, and the recommenders."""
    models = [
        ModelConfig("adder", exports / "adder", VersionPolicy(latest=None)),
        *(ModelConfig(name, exports / name) for name in ("movies", "shop", "narrow-shop", "diary", "judge")),
    ]
    with Server(models, grpc_port=0, rest_api_port=0) as running:
        for model in models:
            with Client(f"127.0.0.1:{running.grpc_port}", model.name) as client:
                client.wait_until_available(30)
        with Client(f"127.0.0.1:{running.grpc_port}", "adder") as client:
            wait_for(lambda: client.predict("serving_default", {"x": [[0, 0, 0]]}, version=1))
        yield running


@pytest.fixture(scope="session")
def adder(server: Server) -> Iterator[Client]:
    with Client(f"127.0.0.1:{server.grpc_port}", "adder") as client:
        yield client


@pytest.fixture(scope="session")
def movies(server: Server) -> Iterator[Client]:
    with Client(f"127.0.0.1:{server.grpc_port}", "movies") as client:
        yield client


def publish(source: Path, target: Path) -> None:
    """Puts a version in place as an exporter does: written under another name, then renamed."""
    unfinished = target.with_name(f"writing-{target.name}")
    shutil.copytree(source, unfinished)
    unfinished.rename(target)


def wait_for(attempt: Callable[[], Result], timeout: float = 20.0) -> Result:
    """The first true result of `attempt`, which may fail until then."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            result = attempt()
            assert result
            return result
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
