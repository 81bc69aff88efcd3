"""What a client asks and how it reads the answers, without the connection: `Client` and `AsyncClient` share it."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import Message
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from tfrec.serving.inputs import rank_inputs, recommend_inputs
from tfrec.serving.rows import Recommendations, ranking, text_array
from tfrec.serving.signatures import Signature, Values
from tfrec.serving.tensors import decode, encode

Version = int | str | None
"""A version's number or its label; None is the newest."""

Result = TypeVar("Result")

CHANNEL_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # While a server starts, look again every second, not at gRPC's growing intervals.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Every call only reads, so that asking twice is safe. gRPC itself keeps to the deadline.
    (
        "grpc.service_config",
        """{"methodConfig": [{"name": [{}], "retryPolicy": {
            "maxAttempts": 4, "initialBackoff": "0.1s", "maxBackoff": "1s", "backoffMultiplier": 2,
            "retryableStatusCodes": ["UNAVAILABLE"]}}]}""",
    ),
]

_ADVICE = {
    grpc.StatusCode.UNAVAILABLE: "Is a server listening there? Start one with python -m tfrec.serve.",
    grpc.StatusCode.NOT_FOUND: "Check the model's name and version. If it still loads, wait: "
    "wait_until_available(), or --wait 60 on the command line.",
    grpc.StatusCode.DEADLINE_EXCEEDED: "Does the server still run? Raise the client's timeout, or export the model "
    "with warm-up records.",
    grpc.StatusCode.INVALID_ARGUMENT: "Compare the request with metadata().",
    grpc.StatusCode.FAILED_PRECONDITION: "See metadata() for the signatures that there are.",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "Send fewer rows at once.",
    grpc.StatusCode.UNIMPLEMENTED: "Is it a TensorFlow Serving port? The REST port, usually 8501, is another one.",
}

_FAULT_OF_THE_REQUEST = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION)

_SECONDS_BETWEEN_LOOKS = 0.2


class ServingError(Exception):
    """The server did not answer, or answered with an error.

    Attributes:
        code: The gRPC status code.
        message: The server's own words, or gRPC's.
    """

    def __init__(self, code: grpc.StatusCode, message: str, advice: str) -> None:
        super().__init__(f"{code.name}: {message.rstrip('.')}. {advice}")
        self.code = code
        self.message = message


class Call(NamedTuple):
    """A request to be sent.

    Attributes:
        method: "Predict", "GetModelMetadata" or "GetModelStatus".
        request: Its message.
        timeout: Seconds that it may take.
    """

    method: str
    request: Message
    timeout: float


Steps = Generator[Call | float, Any, Result]
"""Yields a call and is sent its response or thrown its `ServingError`, or yields seconds to wait; returns a result."""


class BaseClient:
    """What both clients are: `Calls`, and a channel of their kind.

    Attributes:
        timeout: Seconds that a call may take.
    """

    transport: Any
    """What opens channels: `grpc`, or `grpc.aio`."""

    def __init__(
        self,
        target: str,
        model_name: str,
        timeout: float = 10.0,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        self.target = target
        self.model_name = model_name
        self._calls = Calls(target, model_name, timeout)
        if credentials is None:
            self._channel = self.transport.insecure_channel(target, options=CHANNEL_OPTIONS)
        else:
            self._channel = self.transport.secure_channel(target, credentials, options=CHANNEL_OPTIONS)
        predictions, models = PredictionServiceStub(self._channel), ModelServiceStub(self._channel)
        self._methods: dict[str, Callable[..., Any]] = {
            "Predict": predictions.Predict,
            "GetModelMetadata": predictions.GetModelMetadata,
            "GetModelStatus": models.GetModelStatus,
        }

    @property
    def timeout(self) -> float:
        return self._calls.timeout

    @timeout.setter
    def timeout(self, seconds: float) -> None:
        self._calls.timeout = seconds


class _Metadata(NamedTuple):
    version: int
    signatures: dict[str, Signature]


class Calls:
    """The steps of each method of a client. What they take, return and raise is told at `Client`.

    Attributes:
        has_answered: Whether the server was ever there: one that was comes back, and is waited for until the deadline;
            an address where nobody listens is told at once.
    """

    def __init__(self, target: str, model_name: str, timeout: float) -> None:
        self.target = target
        self.model_name = model_name
        self.timeout = timeout
        self.has_answered = False
        self._metadata: dict[Version, _Metadata] = {}

    def error(self, error: grpc.RpcError) -> ServingError:
        """What gRPC raised, with advice."""
        code = error.code()
        return ServingError(code, f"{self.target}: {error.details()}", _ADVICE.get(code, "Read the server's log."))

    def wait_until_available(self, timeout: float) -> Steps[int]:
        """Asks for the status until a version serves."""
        deadline = time.monotonic() + timeout
        request = GetModelStatusRequest(model_spec=ModelSpec(name=self.model_name))
        last_seen = "nothing"
        while (remaining := deadline - time.monotonic()) > 0:
            try:
                status = yield Call("GetModelStatus", request, min(remaining, self.timeout))
            except ServingError as error:
                last_seen = error.message
            else:
                versions = status.model_version_status
                available = [each.version for each in versions if each.state == ModelVersionStatus.AVAILABLE]
                if available:
                    return int(max(available))
                last_seen = "; ".join(
                    f"version {each.version} {ModelVersionStatus.State.Name(each.state)} {each.status.error_message}"
                    for each in versions
                )
            yield max(0.0, min(_SECONDS_BETWEEN_LOOKS, deadline - time.monotonic()))
        message = f"No version of {self.model_name} at {self.target} is available after {timeout:g} s"
        raise ServingError(
            grpc.StatusCode.DEADLINE_EXCEEDED, message, f"Last seen: {last_seen}. Read the server's log."
        )

    def metadata(self, version: Version) -> Steps[dict[str, Signature]]:
        """Asks for the signatures, once."""
        known = self._metadata.get(version)
        if known is None:
            request = GetModelMetadataRequest(model_spec=self._spec(version), metadata_field=["signature_def"])
            response = yield Call("GetModelMetadata", request, self.timeout)
            protos = SignatureDefMap()
            response.metadata["signature_def"].Unpack(protos)
            signatures = {
                name: Signature.from_proto(proto)
                for name, proto in sorted(protos.signature_def.items())
                if proto.method_name == tf.saved_model.PREDICT_METHOD_NAME
            }
            known = self._metadata[version] = _Metadata(response.model_spec.version.value, signatures)
        return known.signatures

    def predict(self, signature: str, inputs: Mapping[str, Values], version: Version) -> Steps[dict[str, np.ndarray]]:
        """Checks and sends the inputs."""
        return self._run(signature, lambda _: inputs, version)

    def recommend(
        self,
        histories: Sequence[Sequence[str]],
        exclude: Sequence[Sequence[str]] | None = None,
        count: int | None = None,
        version: Version = None,
        attributes: Mapping[str, Sequence[Any]] | None = None,
        events: Sequence[Sequence[str | None]] | None = None,
        timestamps: Sequence[Sequence[int | None]] | None = None,
        filters: Mapping[str, Sequence[Any]] | None = None,
    ) -> Steps[Recommendations]:
        """Pads the histories and reads the ranking."""
        if exclude is not None and len(exclude) != len(histories):
            raise ValueError(f"Expected {len(histories)} lists in exclude, one a history. Received: {len(exclude)}.")

        def build(signature: Signature) -> dict[str, Values]:
            return recommend_inputs(signature, histories, exclude, attributes, events, timestamps, filters)

        outputs = yield from self._run("serving_default", build, version)
        return ranking(outputs, count)

    def rank(
        self,
        histories: Sequence[Sequence[str]],
        candidates: Sequence[Sequence[str]],
        version: Version = None,
        attributes: Mapping[str, Sequence[Any]] | None = None,
        events: Sequence[Sequence[str | None]] | None = None,
        timestamps: Sequence[Sequence[int | None]] | None = None,
        labels: Sequence[Sequence[float]] | None = None,
        outcome: str | None = None,
    ) -> Steps[Recommendations]:
        """Pads histories and candidates, and orders the candidates by the answer."""
        if len(candidates) != len(histories):
            raise ValueError(
                f"Expected {len(histories)} lists in candidates, one a history. Received: {len(candidates)}."
            )

        def build(signature: Signature) -> dict[str, Values]:
            return rank_inputs(signature, histories, candidates, attributes, events, timestamps, labels)

        outputs = yield from self._run("rank", build, version)
        name = "probabilities" if outcome is None else f"{outcome}_probabilities"
        if outcome is None and name not in outputs:
            name = "expected_values"
        if name not in outputs:
            ending = "_probabilities"
            known = [each.removesuffix(ending) for each in sorted(outputs) if each.endswith(ending)]
            told = f"of {known}" if known else "and this one predicts none: leave it out"
            raise ValueError(f"Expected an outcome that the model predicts, {told}. Received: {outcome!r}.")
        pairs = [
            list(zip(row, map(float, answers), strict=False))  # Behind the row there is padding.
            for row, answers in zip(candidates, outputs[name], strict=True)
        ]
        return [sorted(row, key=lambda pair: -pair[1]) for row in pairs]

    def similar_items(self, item_ids: Sequence[str], count: int | None, version: Version) -> Steps[Recommendations]:
        """Reads the ranking of `similar_items`."""
        outputs = yield from self.predict("similar_items", {"item_ids": text_array("item_ids", item_ids)}, version)
        return ranking(outputs, count)

    def search(self, texts: Sequence[str], count: int | None, version: Version) -> Steps[Recommendations]:
        """Reads the ranking of `search`."""
        return ranking((yield from self.predict("search", {"text": text_array("texts", texts)}, version)), count)

    def embed_item(self, texts: Sequence[str], version: Version) -> Steps[np.ndarray]:
        """Reads the vectors of `embed_item`."""
        return (yield from self.predict("embed_item", {"text": text_array("texts", texts)}, version))["embedding"]

    def _run(
        self, name: str, build: Callable[[Signature], Mapping[str, Values]], version: Version
    ) -> Steps[dict[str, np.ndarray]]:
        """Builds the inputs for a signature, checks and sends them; anew if the server's signature has changed."""
        known = self._metadata.get(version)
        try:
            signature = yield from self._signature(name, version)
            outputs, served = yield from self._send(name, signature.check(build(signature)), version)
        except (ValueError, ServingError) as error:
            is_telling = isinstance(error, ValueError) or error.code in _FAULT_OF_THE_REQUEST
            if known is None or not is_telling or not (yield from self._has_changed(name, known, version)):
                raise
        else:
            if known is None or served == known.version or not (yield from self._has_changed(name, known, version)):
                return outputs
        return (yield from self._run(name, build, version))

    def _send(
        self, name: str, arrays: dict[str, np.ndarray], version: Version
    ) -> Steps[tuple[dict[str, np.ndarray], int]]:
        request = PredictRequest(model_spec=self._spec(version, name))
        for alias, array in arrays.items():
            request.inputs[alias].CopyFrom(encode(array))
        response = yield Call("Predict", request, self.timeout)
        outputs = {alias: decode(proto) for alias, proto in response.outputs.items()}
        return outputs, response.model_spec.version.value

    def _has_changed(self, name: str, known: _Metadata, version: Version) -> Steps[bool]:
        """Whether a signature is another one than when its metadata was asked; asks again."""
        self._metadata.pop(version, None)
        return (yield from self.metadata(version)).get(name) != known.signatures.get(name)

    def _signature(self, name: str, version: Version) -> Steps[Signature]:
        signatures = yield from self.metadata(version)
        if name not in signatures:
            raise ValueError(f"Expected a signature among {list(signatures)}. Received: {name!r}.")
        return signatures[name]

    def _spec(self, version: Version, signature: str = "") -> ModelSpec:
        spec = ModelSpec(name=self.model_name, signature_name=signature)
        if isinstance(version, str):
            spec.version_label = version
        elif version is not None:
            spec.version.value = version
        return spec
