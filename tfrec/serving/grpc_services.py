"""PredictionService and ModelService over gRPC."""

# The methods are named by the protocol, which documents them.
# ruff: noqa: N802

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import grpc
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResponse
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    SignatureDefMap,
)
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceServicer
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceServicer
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse

from tfrec.serving.errors import RequestError, as_request_error, invalid_argument
from tfrec.serving.inference import classify, infer, regress
from tfrec.serving.manager import Manager
from tfrec.serving.metrics import Metrics
from tfrec.serving.reload import reload_config
from tfrec.serving.servable import DEFAULT_SIGNATURE, Servable
from tfrec.serving.tensors import encode

logger = logging.getLogger(__name__)

_arrival: ContextVar[float] = ContextVar("arrival")


class ArrivalTimes(grpc.ServerInterceptor):
    """Notes when a request came: it may wait for a thread from then on."""

    def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Any], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        _arrival.set(time.monotonic())
        return continuation(handler_call_details)


def model_metadata(manager: Manager, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
    """The signatures of a version.

    Raises:
        RequestError: No or an unknown metadata field; no such model or version.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for field in request.metadata_field:
        if field != "signature_def":
            raise invalid_argument(f"Metadata field {field} is not supported")
    response = GetModelMetadataResponse()
    with manager.lease(request.model_spec) as servable:
        response.model_spec.name = servable.name
        response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(SignatureDefMap(signature_def=servable.signatures))
    return response


def model_status(manager: Manager, request: GetModelStatusRequest) -> GetModelStatusResponse:
    """The states of a model's versions.

    Raises:
        RequestError: No such model or version.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    response = GetModelStatusResponse()
    for version in manager.versions(request.model_spec):
        status = response.model_version_status.add(version=version.number, state=version.state.value)
        status.status.error_code = version.error.code.value[0] if version.error else 0
        status.status.error_message = version.error.message if version.error else ""
    return response


class PredictionService(PredictionServiceServicer):
    """Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, manager: Manager, metrics: Metrics) -> None:
        self._manager = manager
        self._metrics = metrics

    def Predict(self, request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        response = PredictResponse()
        spec = request.model_spec
        with self._leasing(spec, "Predict", context) as servable:
            outputs = servable.predict_protos(spec.signature_name, request.inputs, request.output_filter, context)
            response.model_spec.CopyFrom(_answered(spec, servable))
            for alias, array in outputs.items():
                response.outputs[alias].CopyFrom(encode(array))
        return response

    def Classify(self, request: ClassificationRequest, context: grpc.ServicerContext) -> ClassificationResponse:
        spec = request.model_spec
        with self._leasing(spec, "Classify", context, request.HasField("model_spec")) as servable:
            result = classify(servable, spec.signature_name, request.input, context)
            return ClassificationResponse(model_spec=_answered(spec, servable), result=result)

    def Regress(self, request: RegressionRequest, context: grpc.ServicerContext) -> RegressionResponse:
        spec = request.model_spec
        with self._leasing(spec, "Regress", context, request.HasField("model_spec")) as servable:
            result = regress(servable, spec.signature_name, request.input, context)
            return RegressionResponse(model_spec=_answered(spec, servable), result=result)

    def MultiInference(self, request: MultiInferenceRequest, context: grpc.ServicerContext) -> MultiInferenceResponse:
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        with self._leasing(spec, "MultiInference", context) as servable:
            return infer(servable, request.tasks, request.input, context)

    @contextmanager
    def _leasing(
        self, spec: ModelSpec, api: str, context: grpc.ServicerContext, has_spec: bool = True
    ) -> Iterator[Servable]:
        """The version that is asked for; what goes wrong inside is the call's status, and is counted."""
        with _answering(context), self._metrics.request(spec.name, api, "GRPC"):
            if not has_spec:
                raise invalid_argument("Missing ModelSpec")
            _refuse_if_late(context)
            with self._manager.lease(spec) as servable:
                yield servable

    def GetModelMetadata(
        self, request: GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> GetModelMetadataResponse:
        with _answering(context):
            return model_metadata(self._manager, request)


class ModelService(ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def GetModelStatus(self, request: GetModelStatusRequest, context: grpc.ServicerContext) -> GetModelStatusResponse:
        with _answering(context):
            return model_status(self._manager, request)

    def HandleReloadConfigRequest(
        self, request: ReloadConfigRequest, context: grpc.ServicerContext
    ) -> ReloadConfigResponse:
        with _answering(context):
            return reload_config(self._manager, request, context)


def _answered(spec: ModelSpec, servable: Servable) -> ModelSpec:
    """Whom a request was answered by; a label is not told."""
    answered = ModelSpec(name=spec.name, signature_name=spec.signature_name or DEFAULT_SIGNATURE)
    answered.version.value = servable.version
    return answered


def _refuse_if_late(context: grpc.ServicerContext) -> None:
    """Refuses a request that waited for more than half of its time.

    Else a server that is asked for more than it can do would always run the requests whose time is all but over, and
    answer most of them too late.
    """
    remaining = context.time_remaining()
    if remaining is not None and time.monotonic() - _arrival.get() > remaining:
        message = "The server is overloaded: the request waited for more than half of the time that it may take"
        raise RequestError(grpc.StatusCode.UNAVAILABLE, message)


@contextmanager
def _answering(context: grpc.ServicerContext) -> Iterator[None]:
    """Turns what a request raises into its status; an error that is the server's own fault is logged too."""
    try:
        yield
    except Exception as error:
        status = as_request_error(error)
        if status.code is grpc.StatusCode.INTERNAL and not isinstance(error, RequestError):
            logger.exception("A request failed")
        context.abort(status.code, status.message)
