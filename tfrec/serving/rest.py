"""The REST API: routes, HTTP, and the JSON that travels over it."""

import json
import logging
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tfrec.serving import rest_json
from tfrec.serving.errors import RequestError, as_request_error, invalid_argument
from tfrec.serving.grpc_services import DEFAULT_SIGNATURE, model_metadata, model_status
from tfrec.serving.manager import Manager
from tfrec.serving.metrics import Metrics

logger = logging.getLogger(__name__)

_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)", re.I | re.A)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?P<metadata>/metadata)?", re.I | re.A)

_LARGEST_BODY = 2**31 - 1
_CHUNK = 2**20


class Answer(NamedTuple):
    """An HTTP status and the JSON that goes with it."""

    status: int
    body: dict[str, Any]


def answer(manager: Manager, metrics: Metrics, method: str, target: str, body: bytes) -> Answer:
    """Answers one REST request; whatever goes wrong is an answer too.

    Args:
        manager: The models.
        metrics: Where the request is counted.
        method: "GET" or "POST".
        target: The request's path.
        body: The request's content.

    Example:
        >>> answer(manager, metrics, "POST", "/v1/models/adder:predict", b'{"instances": [1.0]}')
        Answer(status=200, body={'predictions': [2.0]})
    """
    path = urlsplit(target).path
    match = (_POST if method == "POST" else _GET).fullmatch(path)
    name = unquote(match["name"] or "") if match else ""
    api = match["method"].lower() if match and method == "POST" else ""
    try:
        with metrics.request(name, api, "REST"):
            if match is None:
                raise invalid_argument(f"Malformed request: {method} {path}")
            return Answer(200, _route(manager, method, match, body))
    except Exception as exception:
        error = as_request_error(exception)
        if error.code is grpc.StatusCode.INTERNAL and not isinstance(exception, RequestError):
            logger.exception("A request failed")
    return Answer(error.http_status, {"error": error.message})


def _route(manager: Manager, method: str, match: re.Match[str], body: bytes) -> dict[str, Any]:
    spec = _model_spec(match)
    if method == "POST":
        if match["method"].lower() != "predict":
            message = f"{match['method']} is not served here: use predict, or the official server"
            raise RequestError(grpc.StatusCode.UNIMPLEMENTED, message)
        try:
            return _predict(manager, spec, body)
        except RecursionError as error:
            raise invalid_argument("JSON Parse error: nested too deeply") from error
    if not spec.name:
        raise invalid_argument("Missing model name in request.")
    if match["metadata"]:
        return _metadata(manager, spec)
    return _to_dict(model_status(manager, GetModelStatusRequest(model_spec=spec)))


def _model_spec(match: re.Match[str]) -> ModelSpec:
    spec = ModelSpec(name=unquote(match["name"] or ""))
    if match["version"]:
        if int(match["version"]) >= 2**63:
            raise invalid_argument(f"Failed to convert version: {match['version']} to numeric.")
        spec.version.value = int(match["version"])
    if match["label"]:
        spec.version_label = unquote(match["label"])
    return spec


def _predict(manager: Manager, spec: ModelSpec, content: bytes) -> dict[str, Any]:
    body = rest_json.parse(content)
    key = rest_json.signature_name(body) or DEFAULT_SIGNATURE
    with manager.lease(spec) as servable:
        if key not in servable.signatures:
            raise invalid_argument(f'Serving signature name: "{key}" not found in signature def')
        infos = servable.signatures[key].inputs
        if not infos:
            raise invalid_argument(f"Failed to get input map for signature: {key}")
        outputs = servable.predict(key, rest_json.read_inputs(body, infos))
    return rest_json.write_outputs(body, outputs)


def _metadata(manager: Manager, spec: ModelSpec) -> dict[str, Any]:
    response = model_metadata(manager, GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"]))
    signatures = SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return {"model_spec": _to_dict(response.model_spec), "metadata": {"signature_def": _to_dict(signatures)}}


def _to_dict(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


class RestServer(ThreadingHTTPServer):
    """The HTTP server; a thread a connection, connections are kept alive.

    It takes its port at once, and connections from `start` on.

    Args:
        address: Host and port; port 0 takes a free one.
        manager: The models.
        metrics: Where requests are counted.
        metrics_path: Where the page for Prometheus is; None, nowhere.

    Raises:
        OSError: The address cannot be bound.
    """

    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], manager: Manager, metrics: Metrics, metrics_path: str | None = None
    ) -> None:
        self.manager = manager
        self.metrics = metrics
        self.metrics_path = metrics_path
        self.is_draining = False
        self._in_flight = 0
        self._idle = threading.Condition()
        super().__init__(address, _Handler, bind_and_activate=False)
        try:
            self.server_bind()
        except OSError:
            self.server_close()
            raise

    def server_bind(self) -> None:
        """Binds without the look-up of this machine's name, which takes seconds on some networks."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def start(self) -> None:
        """Begins to answer."""
        self.server_activate()
        threading.Thread(target=self.serve_forever, args=[0.1], name="rest", daemon=True).start()

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """`answer`, counted as in flight until `done`."""
        with self._idle:
            self._in_flight += 1
        if self.is_draining:
            return Answer(503, {"error": "The server is stopping. Ask another one."})
        return answer(self.manager, self.metrics, method, target, body)

    def done(self) -> None:
        """An answer has been written, or its client is gone."""
        with self._idle:
            self._in_flight -= 1
            self._idle.notify_all()

    def refuse(self) -> None:
        """Answers every further request, over a connection that was kept alive too, with 503."""
        self.is_draining = True

    def drain(self, seconds: float) -> None:
        """Takes no further request and waits, at most so long, for those in flight."""
        self.refuse()
        self.shutdown()
        with self._idle:
            self._idle.wait_for(lambda: self._in_flight == 0, seconds)
        # Connections that clients keep alive have threads that would be waited for.
        self.block_on_close = False
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "tfrec"
    timeout = 60
    # Header and body leave in one packet; two would meet Nagle's algorithm and the client's delayed ACK.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: RestServer

    def do_GET(self) -> None:
        if urlsplit(self.path).path == self.server.metrics_path:
            self._write(200, "text/plain", self.server.metrics.page().encode())
        else:
            self._handle("GET", b"")

    def do_POST(self) -> None:
        body = self._read_body()
        if body is not None:
            self._handle("POST", body)

    def _handle(self, method: str, body: bytes) -> None:
        try:
            self._send(*self.server.answer(method, self.path, body))
            self.close_connection |= self.server.is_draining
        finally:
            self.server.done()

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdecimal() and int(length) <= _LARGEST_BODY):
            self.close_connection = True
            message = f"Expected a Content-Length header of 0 to {_LARGEST_BODY} bytes. Received: {length!r}"
            self._send(411 if not length else 400, {"error": message})
            return None
        body = bytearray()
        # In chunks: what a client announces is allocated only as it arrives.
        while len(body) < int(length):
            chunk = self.rfile.read(min(_CHUNK, int(length) - len(body)))
            if not chunk:
                self.close_connection = True
                return None
            body += chunk
        return bytes(body)

    def _send(self, status: int, body: dict[str, Any]) -> None:
        self._write(status, "application/json", json.dumps(body, indent=4, ensure_ascii=False).encode(errors="replace"))

    def _write(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        logger.debug(format, *args)
