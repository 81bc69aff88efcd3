"""All models of a server: polling their base paths, finding the version that a request asks for."""

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
from tfrec.serving.model import DEFAULT_RETRIES, LoadRetries, Model, Version, load_and_warm_up, servable_not_found
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
    """

    def __init__(
        self,
        configs: Sequence[ModelConfig],
        poll_seconds: float = 1.0,
        retries: LoadRetries = DEFAULT_RETRIES,
        batcher: Batcher | None = None,
    ) -> None:
        load = partial(load_and_warm_up, batcher=batcher)
        self._models = {config.name: Model(config, retries, load) for config in configs}
        self._poll_seconds = poll_seconds
        self._stopping = threading.Event()
        self._watchers = {
            name: threading.Thread(target=self._watch, args=[model], name=f"watch {name}", daemon=True)
            for name, model in self._models.items()
        }

    def start(self) -> None:
        """Begins to load."""
        for watcher in self._watchers.values():
            watcher.start()

    def _watch(self, model: Model) -> None:
        model.scan()
        while not self._stopping.is_set():
            try:
                model.advance()
                self._stopping.wait(self._poll_seconds or _SECONDS_WITHOUT_POLLING)
                if self._poll_seconds:
                    model.scan()
            except Exception:  # This thread is all that ever loads the model's next version: it must not end.
                logger.exception("Watching model %s failed; trying again", model.config.name)
                self._stopping.wait(_SECONDS_WITHOUT_POLLING)

    def stop(self, timeout: float) -> None:
        """Stops watching, waits at most `timeout` seconds for a load that is under way, and unloads."""
        self._stopping.set()
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
        if spec.version_label:
            raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        number = spec.version.value if spec.HasField("version") else None
        model = self._models.get(spec.name)
        if model is None:
            raise servable_not_found(spec.name, number)
        with model.lease(number) as servable:
            yield servable

    def versions(self, spec: ModelSpec) -> list[Version]:
        """The states of the version that a request names, or of all versions of its model.

        Raises:
            RequestError: There is none.
        """
        if spec.version_label:
            raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        model = self._models.get(spec.name)
        versions = model.versions() if model else []
        if spec.HasField("version"):
            number = spec.version.value
            versions = [version for version in versions if version.number == number]
            if not versions:
                message = f"Could not find version {number} of model {spec.name}"
                raise RequestError(grpc.StatusCode.NOT_FOUND, message)
        if not versions:
            raise RequestError(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
        return versions
