"""All models of a server: polling their base paths, changing which they are, finding what a request asks for."""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import grpc
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tfrec.serving.batching import Batcher
from tfrec.serving.config import ModelConfig
from tfrec.serving.errors import RequestError, invalid_argument
from tfrec.serving.metrics import Metrics
from tfrec.serving.model import (
    DEFAULT_RETRIES,
    LoadRetries,
    Model,
    State,
    Version,
    load_and_warm_up,
    servable_not_found,
)
from tfrec.serving.servable import Servable

logger = logging.getLogger(__name__)

_SECONDS_WITHOUT_POLLING = 1.0


class Manager:
    """The models of a server by name, each watched by a thread of its own.

    Args:
        configs: The models.
        poll_seconds: Time between two looks at a base path; 0 looks once.
        retries: What to do with a version that fails to load.
        batcher: Runs requests in batches; None runs each by itself.
        allow_labels_for_unavailable: Whether a new label may be given to a version that is not available.
        metrics: Where the time that graphs take is counted.

    Raises:
        RequestError: A label is given to a version, and none is available yet.
    """

    def __init__(
        self,
        configs: Sequence[ModelConfig],
        poll_seconds: float = 1.0,
        retries: LoadRetries = DEFAULT_RETRIES,
        batcher: Batcher | None = None,
        allow_labels_for_unavailable: bool = False,
        metrics: Metrics | None = None,
    ) -> None:
        self._poll_seconds = poll_seconds
        self._retries = retries
        self._load = partial(load_and_warm_up, batcher=batcher, metrics=metrics)
        self._allow_labels_for_unavailable = allow_labels_for_unavailable
        self._stopping = threading.Event()
        self._reloading = threading.Lock()
        self._watchers: dict[str, threading.Thread] = {}
        self._first_looks: list[threading.Event] = []
        # Requests read these two without a lock: they are replaced, never changed.
        self._models: dict[str, Model] = {}
        self._labels: dict[str, dict[str, int]] = {}
        self._configs: Sequence[ModelConfig] = configs
        self._are_to_come = {config.name for config in configs}
        self._labels = self._checked_labels(configs)

    def start(self) -> None:
        """Begins to load."""
        with self._reloading:
            self._take_over(self._configs)

    def wait_for_first_loads(self) -> None:
        """Waits until each version that there was at the start has loaded, or failed to once.

        A model without a version is not waited for.
        """
        for first_look in self._first_looks:
            first_look.wait()

    def reload(self, configs: Sequence[ModelConfig]) -> set[str]:
        """Serves these models from now on; their versions load, and those of others end, in the background.

        Returns:
            The names of those that were not served before.

        Raises:
            RequestError: FAILED_PRECONDITION, a label is given to a version that is not available; nothing is changed.
        """
        with self._reloading:
            if self._stopping.is_set():
                return set()
            self._labels = self._checked_labels(configs)
            if list(configs) != list(self._configs):
                logger.info("Serving models %s from now on", sorted(config.name for config in configs))
            before = {config.name for config in self._configs}
            self._take_over(configs)
            return {config.name for config in configs} - before

    def _checked_labels(self, configs: Sequence[ModelConfig]) -> dict[str, dict[str, int]]:
        for config in configs:
            available = {each.number for each in self.versions_of(config.name) if each.state is State.AVAILABLE}
            known = self._labels.get(config.name, {})
            for label, number in config.version_labels.items():
                is_new = known.get(label, number) == number
                if number not in available and not (self._allow_labels_for_unavailable and is_new):
                    raise RequestError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {config.name}, which is not currently "
                        "available for inference",
                    )
        return {config.name: dict(config.version_labels) for config in configs}

    def _take_over(self, configs: Sequence[ModelConfig]) -> None:
        self._configs = configs
        wanted = {config.name: config for config in configs}
        self._are_to_come.intersection_update(wanted)
        new = {name: Model(config, self._retries, self._load) for name, config in wanted.items()}
        models = new | self._models  # A model that was served once stays known, with the states of its versions.
        for name, model in models.items():
            model.configure(wanted.get(name))
        self._models = models
        for name in sorted(models.keys() - self._watchers.keys()):
            first_look = threading.Event()
            self._first_looks.append(first_look)
            arguments = models[name], first_look
            watcher = threading.Thread(target=self._watch, args=arguments, name=f"watch {name}", daemon=True)
            self._watchers[name] = watcher
            watcher.start()

    def is_ready(self) -> bool:
        """Whether each model of the start, unless it was taken away since, has had a version that serves."""
        for name in list(self._are_to_come):
            if any(version.state is State.AVAILABLE for version in self.versions_of(name)):
                self._are_to_come.discard(name)
        return not self._are_to_come

    def _watch(self, model: Model, first_look: threading.Event) -> None:
        while not self._stopping.is_set():
            try:
                is_changed = model.changed.wait(self._poll_seconds or _SECONDS_WITHOUT_POLLING)
                model.changed.clear()
                if is_changed or self._poll_seconds:
                    model.scan()
                if not self._stopping.is_set():
                    model.advance()
            except Exception:  # This thread is all that ever loads the model's next version: it must not end.
                logger.exception("Watching model %s failed; trying again", model.name)
                self._stopping.wait(_SECONDS_WITHOUT_POLLING)
            finally:
                first_look.set()

    def stop(self, timeout: float) -> None:
        """Stops watching, waits at most `timeout` seconds for a load that is under way, and unloads."""
        with self._reloading:
            self._stopping.set()
        for model in self._models.values():
            model.changed.set()
        for name, watcher in self._watchers.items():
            watcher.join(timeout)
            if not watcher.is_alive():
                self._models[name].close()

    @contextmanager
    def lease(self, spec: ModelSpec) -> Iterator[Servable]:
        """The version that a request asks for; it stays loaded until the block ends.

        Raises:
            RequestError: There is no such model or version, or the request names none.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        number = spec.version.value if spec.HasField("version") else None
        if spec.version_label:
            number = self._labels.get(spec.name, {}).get(spec.version_label)
            if number is None:
                raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        model = self._models.get(spec.name)
        if model is None:
            raise servable_not_found(spec.name, number)
        with model.lease(number) as servable:
            yield servable

    def versions_of(self, name: str) -> list[Version]:
        """The states of all versions of a model, newest first; none if there is no such model."""
        model = self._models.get(name)
        return model.versions() if model else []

    def versions(self, spec: ModelSpec) -> list[Version]:
        """The states of the version that a request numbers, or of all versions of its model; a label does not count.

        Raises:
            RequestError: There is none.
        """
        versions = self.versions_of(spec.name)
        if spec.HasField("version"):
            number = spec.version.value
            versions = [version for version in versions if version.number == number]
            if not versions:
                message = f"Could not find version {number} of model {spec.name}"
                raise RequestError(grpc.StatusCode.NOT_FOUND, message)
        if not versions:
            raise RequestError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        return versions
