"""The embedded server: models, gRPC and REST put together."""

import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import grpc
from tensorflow_serving.apis.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from tensorflow_serving.apis.prediction_service_pb2_grpc import add_PredictionServiceServicer_to_server

from tfrec.serving.batching import Batcher
from tfrec.serving.batching_parameters import BatchingParameters
from tfrec.serving.config import ModelConfig
from tfrec.serving.errors import RequestError, StartError
from tfrec.serving.grpc_services import ArrivalTimes, ModelService, PredictionService
from tfrec.serving.health import Health
from tfrec.serving.manager import Manager
from tfrec.serving.metrics import Metrics
from tfrec.serving.model import DEFAULT_RETRIES, LoadRetries
from tfrec.serving.ports import check_credentials, port_taken, reserve
from tfrec.serving.reload import ConfigFileWatcher
from tfrec.serving.rest_server import RestServer

logger = logging.getLogger(__name__)

DEFAULT_THREADS = 4 * (os.cpu_count() or 1)
"""TensorFlow Serving's."""

_OPTIONS = [
    ("grpc.max_receive_message_length", 2**31 - 1),
    ("grpc.max_send_message_length", 2**31 - 1),
    ("grpc.so_reuseport", 0),  # Otherwise a second server would share the port in silence.
]


class Server:
    """Serves models over gRPC and REST, as TensorFlow Serving does, for laptops and tests.

    As there, the ports open when the first versions have loaded: until then clients are refused, and ask again. Unlike
    there, a model without a version, or whose first load failed, does not keep them closed: it is NOT_FOUND.

    Args:
        models: What to serve.
        host: The address to listen on.
        grpc_port: 0 takes a free one.
        rest_api_port: 0 takes a free one; None serves no REST.
        poll_seconds: Time between two looks for new versions; 0 looks once.
        retries: What to do with a version that fails to load.
        batching: Runs requests in batches; None runs each by itself.
        per_model_batching: Whether each version is batched by its own `batching_params.pbtxt`, if it has one.
        model_config_file: Where the models come from, to be read again.
        model_config_poll_seconds: Time between two looks at that file; 0 does not look again.
        allow_labels_for_unavailable: Whether a new label may be given to a version that is not available: at the start
            none is.
        metrics_path: Where on the REST port the page for Prometheus is; None, nowhere.
        credentials: Encrypt the gRPC port; None leaves it open.
        health_check: Whether the gRPC port answers gRPC's health check.
        grpc_max_threads: How many gRPC requests are answered, or wait for their batch, at the same time.
        rest_threads: The same of REST requests.
        rest_timeout_seconds: How long a REST request may take: half of it for a thread, what remains for its batch.

    Raises:
        StartError: A label is given to a version that is not available; a port is taken (from `start`).

    Example:
        >>> with Server([ModelConfig("movies", Path("/models/movies"))], grpc_port=0) as server:
        ...     client = Client(f"127.0.0.1:{server.grpc_port}", "movies")
        ...     client.wait_until_available(timeout=60)
        ...     client.recommend([["50", "181"]])
    """

    def __init__(
        self,
        models: Sequence[ModelConfig],
        *,
        host: str = "127.0.0.1",
        grpc_port: int = 8500,
        rest_api_port: int | None = None,
        poll_seconds: float = 1.0,
        retries: LoadRetries = DEFAULT_RETRIES,
        batching: BatchingParameters | None = None,
        per_model_batching: bool = False,
        model_config_file: Path | None = None,
        model_config_poll_seconds: float = 0.0,
        allow_labels_for_unavailable: bool = False,
        metrics_path: str | None = None,
        credentials: grpc.ServerCredentials | None = None,
        health_check: bool = False,
        grpc_max_threads: int = DEFAULT_THREADS,
        rest_threads: int = DEFAULT_THREADS,
        rest_timeout_seconds: float = 30.0,
    ) -> None:
        self.host = host
        self.grpc_port = grpc_port
        self.rest_api_port = rest_api_port
        self.metrics = Metrics()
        self._metrics_path = metrics_path
        self._rest_threads = rest_threads
        self._rest_timeout_seconds = rest_timeout_seconds
        self._credentials = credentials
        self._batcher = Batcher(batching, per_model_batching, self.metrics) if batching else None
        try:
            self._manager = Manager(
                models, poll_seconds, retries, self._batcher, allow_labels_for_unavailable, self.metrics
            )
        except RequestError as error:
            raise StartError(
                f"{error.message}. At the start no version is: pass --allow_version_labels_for_unavailable_models, or "
                "give the label once the version is available."
            ) from error
        self._config_watcher: ConfigFileWatcher | None = None
        if model_config_file is not None and model_config_poll_seconds > 0:
            self._config_watcher = ConfigFileWatcher(self._manager, model_config_file, model_config_poll_seconds)
        self._grpc_threads = ThreadPoolExecutor(grpc_max_threads, "grpc")
        self._grpc = grpc.server(self._grpc_threads, interceptors=[ArrivalTimes()], options=_OPTIONS)
        add_PredictionServiceServicer_to_server(PredictionService(self._manager, self.metrics), self._grpc)
        add_ModelServiceServicer_to_server(ModelService(self._manager), self._grpc)
        self._health = Health(self._manager.is_ready) if health_check else None
        if self._health:
            self._grpc.add_generic_rpc_handlers([self._health.handlers()])
        self._rest: RestServer | None = None

    def start(self) -> None:
        """Takes the ports, loads, and opens them.

        Raises:
            StartError: A port is taken, the host is no address of this machine, or the credentials are wrong.
        """
        if self._credentials:
            check_credentials(self._credentials)
        try:
            reserved = reserve(self.host, self.grpc_port)
        except OSError as error:
            raise port_taken("gRPC", self.host, self.grpc_port, "--port") from error
        with reserved:
            self.grpc_port = reserved.getsockname()[1]
            if self.rest_api_port is not None:
                self._rest = self._bind_rest(self.rest_api_port)
                self.rest_api_port = self._rest.server_port
            if self._batcher:
                self._batcher.start()
            logger.info("The ports open once each version that is there has loaded, or failed to")
            self._manager.start()
            self._manager.wait_for_first_loads()
        if self._rest:
            self._rest.start()
        self._open_grpc()
        logger.info("Listening for gRPC on %s:%d", self.host, self.grpc_port)
        if self._rest:
            logger.info("Listening for REST on http://%s:%d", self.host, self.rest_api_port)
        if self._health:
            self._health.start()
        if self._config_watcher:
            self._config_watcher.start()

    def _bind_rest(self, port: int) -> RestServer:
        try:
            return RestServer(
                (self.host, port),
                self._manager,
                self.metrics,
                self._rest_threads,
                self._rest_timeout_seconds,
                self._metrics_path,
            )
        except OSError as error:
            raise port_taken("REST", self.host, port, "--rest_api_port") from error

    def _open_grpc(self) -> None:
        address = f"{self.host}:{self.grpc_port}"
        try:
            if self._credentials:
                is_open = self._grpc.add_secure_port(address, self._credentials)
            else:
                is_open = self._grpc.add_insecure_port(address)
        except RuntimeError:
            is_open = 0
        if not is_open:
            self.stop(0)
            raise port_taken("gRPC", self.host, self.grpc_port, "--port")
        self._grpc.start()

    def stop(self, grace_seconds: float = 30.0) -> None:
        """Takes no new request, lets those in flight end for at most `grace_seconds`, and unloads."""
        if self._config_watcher:
            self._config_watcher.stop()
        if self._health:
            self._health.stop()
        if self._rest:
            self._rest.refuse()  # Before gRPC does: its refusal tells clients that the whole server stops.
        grpc_stopped = self._grpc.stop(grace_seconds)
        if self._batcher:
            self._batcher.drain()
        if self._rest:
            self._rest.drain(grace_seconds)
        grpc_stopped.wait()
        self._manager.stop(grace_seconds)
        if self._batcher:
            self._batcher.close()
        self._grpc_threads.shutdown(wait=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()
