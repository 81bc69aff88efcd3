"""The standard health check of gRPC, `grpc.health.v1.Health`, as Kubernetes' probes ask it."""

import threading
from collections.abc import Callable

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

_SERVICES = ("", "ModelService", "PredictionService")
_SERVING, _NOT_SERVING, _SERVICE_UNKNOWN = 1, 2, 3

_SECONDS_BETWEEN_LOOKS = 0.2

Send = Callable[[Int32Value | None], None]
"""Sends a message to one that watches; None ends the call."""


class Health:
    """Answers Check and Watch: NOT_SERVING until the server is ready, SERVING from then on.

    Args:
        is_ready: Whether it is; once it is, it is not asked again.
    """

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        # Whom to tell, and whether the service that they named is known. Calls that end leave it without the lock: the
        # thread of gRPC that tells that is the one that a send waits for.
        self._watchers: dict[Send, bool] = {}
        self._thread = threading.Thread(target=self._wait_until_ready, name="health", daemon=True)

    def handlers(self) -> grpc.GenericRpcHandler:
        """What is to be added to a gRPC server."""
        # HealthCheckRequest has one string and HealthCheckResponse one enum, both numbered 1: on the wire these two
        # messages are the same.
        kinds = {"request_deserializer": StringValue.FromString, "response_serializer": Int32Value.SerializeToString}

        def watch(request: StringValue, context: grpc.ServicerContext, send: Send) -> None:
            self._watch(request, context, send)

        # As gRPC's own health service does: else each that watches would occupy a thread.
        watch.experimental_non_blocking = True  # type: ignore[attr-defined]
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, **kinds),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **kinds),
        }
        return grpc.method_handlers_generic_handler("grpc.health.v1.Health", methods)

    def start(self) -> None:
        """Begins to look whether the server is ready, to tell those that watch."""
        self._thread.start()

    def stop(self) -> None:
        """Tells those that watch that the server stops, and ends their calls."""
        with self._lock:
            self._stopping.set()
            for send, is_known in self._watchers.copy().items():
                if is_known:
                    send(Int32Value(value=_NOT_SERVING))
                send(None)

    def _status(self) -> int:
        return _SERVING if not self._stopping.is_set() and self._is_ready() else _NOT_SERVING

    def _check(self, request: StringValue, context: grpc.ServicerContext) -> Int32Value:
        if request.value not in _SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return Int32Value(value=self._status())

    def _watch(self, request: StringValue, context: grpc.ServicerContext, send: Send) -> None:
        with self._lock:
            is_known = request.value in _SERVICES
            self._watchers[send] = is_known
            if not context.add_callback(lambda: self._watchers.pop(send, None)):
                self._watchers.pop(send)
            send(Int32Value(value=self._status() if is_known else _SERVICE_UNKNOWN))
            if self._stopping.is_set():
                send(None)

    def _wait_until_ready(self) -> None:
        while not self._is_ready():
            if self._stopping.wait(_SECONDS_BETWEEN_LOOKS):
                return
        with self._lock:
            for send, is_known in self._watchers.copy().items():
                if is_known and not self._stopping.is_set():
                    send(Int32Value(value=_SERVING))
