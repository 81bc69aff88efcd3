"""The REST API: routes, and the JSON that travels over it."""

import logging
import re
import time
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import grpc
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec

from tfrec.serving import rest_examples, rest_json
from tfrec.serving.errors import RequestError, as_request_error, invalid_argument
from tfrec.serving.grpc_services import model_metadata, model_status
from tfrec.serving.inference import classify, regress
from tfrec.serving.manager import Manager
from tfrec.serving.metrics import Metrics
from tfrec.serving.servable import DEFAULT_SIGNATURE

logger = logging.getLogger(__name__)

_WHICH = r"(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_POST = re.compile(rf"/v1/models/(?P<name>[^/:]+){_WHICH}:(?P<method>classify|regress|predict)", re.I | re.A)
_GET = re.compile(rf"/v1/models(?:/(?P<name>[^/:]+))?{_WHICH}(?P<metadata>/metadata)?", re.I | re.A)


class Answer(NamedTuple):
    """An HTTP status and the JSON that goes with it."""

    status: int
    body: dict[str, Any]


class Deadline:
    """When the answer of a request is to be there. It is asked what a gRPC call is asked, and never ends by itself.

    Args:
        seconds: From now on.
    """

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def time_remaining(self) -> float:
        return max(0.0, self._end - time.monotonic())

    def add_callback(self, callback: Callable[[], object]) -> bool:
        return True


def answer(manager: Manager, metrics: Metrics, method: str, target: str, body: bytes, deadline: Deadline) -> Answer:
    """Answers one REST request; whatever goes wrong is an answer too.

    Args:
        manager: The models.
        metrics: Where the request is counted.
        method: "GET" or "POST".
        target: The request's path.
        body: The request's content.
        deadline: A request that still waits for its batch then is given up.

    Example:
        >>> answer(manager, metrics, "POST", "/v1/models/adder:predict", b'{"instances": [1.0]}', Deadline(30))
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
            return Answer(200, _route(manager, method, match, body, deadline))
    except Exception as exception:
        error = as_request_error(exception)
        if error.code is grpc.StatusCode.INTERNAL and not isinstance(exception, RequestError):
            logger.exception("A request failed")
    return Answer(error.http_status, {"error": error.message})


def _route(manager: Manager, method: str, match: re.Match[str], body: bytes, deadline: Deadline) -> dict[str, Any]:
    spec = _model_spec(match)
    if method == "POST":
        method_name = match["method"].lower()
        try:
            if method_name == "predict":
                return _predict(manager, spec, body, deadline)
            return _infer(manager, spec, method_name, body, deadline)
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


def _predict(manager: Manager, spec: ModelSpec, content: bytes, deadline: Deadline) -> dict[str, Any]:
    body = rest_json.parse(content)
    key = rest_json.signature_name(body) or DEFAULT_SIGNATURE
    with manager.lease(spec) as servable:
        if key not in servable.signatures:
            raise invalid_argument(f'Serving signature name: "{key}" not found in signature def')
        infos = servable.signatures[key].inputs
        if not infos:
            raise invalid_argument(f"Failed to get input map for signature: {key}")
        outputs = servable.predict(key, rest_json.read_inputs(body, infos), call=deadline)
    return rest_json.write_outputs(body, outputs)


def _infer(manager: Manager, spec: ModelSpec, method: str, content: bytes, deadline: Deadline) -> dict[str, Any]:
    body = rest_json.parse(content)
    key = rest_json.signature_name(body)
    given = rest_examples.read_examples(body)
    with manager.lease(spec) as servable:
        run = classify if method == "classify" else regress
        return rest_examples.write_result(run(servable, key, given, deadline))


def _metadata(manager: Manager, spec: ModelSpec) -> dict[str, Any]:
    response = model_metadata(manager, GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"]))
    signatures = SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    return {"model_spec": _to_dict(response.model_spec), "metadata": {"signature_def": _to_dict(signatures)}}


def _to_dict(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
