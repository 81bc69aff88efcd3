"""The standard health check of gRPC, `grpc.health.v1.Health`, as Kubernetes' probes ask it."""

from collections.abc import Callable

import grpc
from google.protobuf.wrappers_pb2 import Int32Value, StringValue

_SERVICES = ("", "ModelService", "PredictionService")
_SERVING, _NOT_SERVING = 1, 2


def health_service(is_ready: Callable[[], bool]) -> grpc.GenericRpcHandler:
    """Answers Check: SERVING, or NOT_SERVING until `is_ready`. Watch is not implemented: it would occupy a thread."""

    def check(request: StringValue, context: grpc.ServicerContext) -> Int32Value:
        if request.value not in _SERVICES:
            context.abort(grpc.StatusCode.NOT_FOUND, "service name unknown")
        return Int32Value(value=_SERVING if is_ready() else _NOT_SERVING)

    # HealthCheckRequest has one string and HealthCheckResponse one enum, both numbered 1: on the wire these two
    # messages are the same.
    handler = grpc.unary_unary_rpc_method_handler(
        check, request_deserializer=StringValue.FromString, response_serializer=Int32Value.SerializeToString
    )
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler})
