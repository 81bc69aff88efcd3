"""The versions of one model: loading, serving, retiring."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import grpc

from tfrec.serving.batching import Batcher
from tfrec.serving.config import ModelConfig
from tfrec.serving.errors import RequestError, as_request_error
from tfrec.serving.metrics import Metrics
from tfrec.serving.servable import Servable
from tfrec.serving.warmup import warm_up

logger = logging.getLogger(__name__)

Loader = Callable[[str, int, Path], Servable]


class State(IntEnum):
    """Where a version is in its life; the numbers of GetModelStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclass(frozen=True)
class LoadRetries:
    """What happens after a version failed to load: `count` more tries, `seconds` apart."""

    count: int = 5
    seconds: float = 60.0


DEFAULT_RETRIES = LoadRetries()
"""TensorFlow Serving's."""


@dataclass
class Version:
    """One version of a model, in whatever state.

    Attributes:
        error: Why it was given up; None while all is well.
        in_flight: Requests that run on it now.
        failures: Loads that failed since it was last wanted anew.
        next_load: Monotonic time before which it is not loaded again.
    """

    number: int
    path: Path
    state: State = State.START
    error: RequestError | None = None
    servable: Servable | None = None
    in_flight: int = 0
    failures: int = 0
    next_load: float = 0.0


def load_and_warm_up(
    name: str, number: int, path: Path, batcher: Batcher | None = None, metrics: Metrics | None = None
) -> Servable:
    """A version, ready to serve. Raises whatever keeps it from loading or from answering its warm-up records."""
    servable = Servable(name, number, path, batcher, metrics)
    try:
        warm_up(servable)
    except BaseException:
        servable.close()
        raise
    return servable


class Model:
    """The versions of one model.

    One thread calls `scan` and `advance`; any number lease versions at the same time. A new version is loaded beside
    the serving ones; those are retired once it is available, and unloaded once their last request has ended.

    Attributes:
        changed: Set when the next `scan` is to come at once.
    """

    def __init__(self, config: ModelConfig, retries: LoadRetries, load: Loader = load_and_warm_up) -> None:
        self.name = config.name
        self._config: ModelConfig | None = config
        self.changed = threading.Event()
        self._retries = retries
        self._load_servable = load
        self._lock = threading.Lock()
        self._versions: dict[int, Version] = {}
        self._wanted: set[int] = set()
        self._complaint = ""

    def configure(self, config: ModelConfig | None) -> None:
        """What is to be served from the next `scan` on; None takes every version out of service."""
        with self._lock:
            if self._config is None:  # It comes anew: what it was like before does not count.
                self._versions = {each.number: each for each in self._versions.values() if each.state is not State.END}
            self._config = config
        self.changed.set()

    def scan(self) -> None:
        """Looks which versions are on disk. An unreadable base path changes nothing: what serves goes on serving."""
        config = self._config
        if config is None:
            with self._lock:
                self._wanted = set()
            return
        name, base_path = config.name, config.base_path
        try:
            found = config.versions_on_disk()
        except OSError as error:
            self._complain(f"The base path {base_path} of model {name} cannot be listed: {error.strerror}. Waiting.")
            return
        wanted = config.policy.choose(found)
        missing = sorted(config.policy.specific - wanted)
        if missing:
            self._complain(f"Versions {missing} of model {name} are to be served and not in {base_path}. Waiting.")
        elif not found:
            self._complain(f"No version of model {name} in {base_path} yet. Waiting for a folder named by a number.")
        else:
            self._complaint = ""
        with self._lock:
            for number in wanted:
                version = self._versions.get(number)
                is_given_up = version is not None and version.error is not None and number in self._wanted
                if version is None or (version.state is State.END and not is_given_up):
                    self._versions[number] = Version(number, found[number])
            self._wanted = wanted

    def _complain(self, message: str) -> None:
        """Logs a condition once, not at every poll."""
        if message != self._complaint:
            logger.warning(message)
        self._complaint = message

    def advance(self) -> None:
        """Loads what is wanted and due, newest first; retires what is no longer wanted."""
        for version in sorted(self._snapshot(), key=lambda each: -each.number):
            is_pending = version.state in (State.START, State.LOADING)
            if is_pending and version.number not in self._wanted:
                self._end(version, None)
            elif is_pending and time.monotonic() >= version.next_load:
                self._load(version)
                self._retire_unwanted()
        self._retire_unwanted()

    def _load(self, version: Version) -> None:
        name = self.name
        logger.info("Loading %s version %d from %s", name, version.number, version.path)
        version.state = State.LOADING
        start = time.perf_counter()
        try:
            servable = self._load_servable(name, version.number, version.path)
        except Exception as error:  # Whatever a broken export raises, the other versions go on serving.
            self._load_failed(version, as_request_error(error))
            return
        with self._lock:
            version.servable = servable
            version.state = State.AVAILABLE
        seconds = time.perf_counter() - start
        logger.info("%s version %d is available (loaded in %.1f s)", name, version.number, seconds)

    def _load_failed(self, version: Version, error: RequestError) -> None:
        version.failures += 1
        what = f"{self.name} version {version.number} failed to load from {version.path}: {error}"
        if version.failures <= self._retries.count:
            version.next_load = time.monotonic() + self._retries.seconds
            tries = f"retry {version.failures} of {self._retries.count}"
            logger.error("%s. Next try in %g s (%s).", what, self._retries.seconds, tries)
        else:
            self._end(version, error)
            logger.error("%s. Given up after %d tries: remove the folder or export it anew.", what, version.failures)

    def _retire_unwanted(self) -> None:
        """Takes versions out of service, but never the last one that serves while a wanted one is still to come."""
        with self._lock:
            available = {each.number for each in self._versions.values() if each.state is State.AVAILABLE}
            if self._wanted and not available & self._wanted:
                return
            retired = [self._versions[number] for number in available - self._wanted]
            for version in retired:
                version.state = State.UNLOADING
            idle = [version for version in retired if version.in_flight == 0]
        for version in idle:
            self._unload(version)

    def _unload(self, version: Version) -> None:
        if version.servable is not None:
            version.servable.close()
        self._end(version, None)
        logger.info("%s version %d is unloaded", self.name, version.number)

    def _end(self, version: Version, error: RequestError | None) -> None:
        with self._lock:
            version.servable = None
            version.error = error
            version.state = State.END

    @contextmanager
    def lease(self, number: int | None) -> Iterator[Servable]:
        """A version to run one request on; it stays loaded until the block ends.

        Args:
            number: The version; None is the highest that serves.

        Raises:
            RequestError: NOT_FOUND, no such version serves.
        """
        with self._lock:
            serving = {each.number: each for each in self._versions.values() if each.state is State.AVAILABLE}
            version = serving.get(max(serving, default=0) if number is None else number)
            if version is None or version.servable is None:
                raise servable_not_found(self.name, number)
            version.in_flight += 1
            servable = version.servable
        try:
            yield servable
        finally:
            with self._lock:
                version.in_flight -= 1
                is_last = version.state is State.UNLOADING and version.in_flight == 0
            if is_last:
                self._unload(version)

    def versions(self) -> list[Version]:
        """Every version known so far, the unloaded ones too, newest first."""
        return sorted(self._snapshot(), key=lambda each: -each.number)

    def _snapshot(self) -> list[Version]:
        with self._lock:
            return list(self._versions.values())

    def close(self) -> None:
        """Takes every version out of service."""
        with self._lock:
            self._wanted = set()
        self.advance()


def servable_not_found(name: str, number: int | None) -> RequestError:
    """What TensorFlow Serving answers when no such version serves."""
    request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
    return RequestError(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}")
