"""What goes wrong in the server, and how it is told: as a gRPC status, as an HTTP status, as a start-up message."""

import grpc
import tensorflow as tf

_CODES = {code.value[0]: code for code in grpc.StatusCode}

_HTTP_STATUSES = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}

# A gRPC status travels in a header of at most 8 KiB; a longer one would reach the client as a transport error.
_LONGEST_MESSAGE = 4000


class StartError(ValueError):
    """The server cannot start: a setting is wrong or a port is taken. The message says what to do."""


class RequestError(Exception):
    """A request, or the load of a version, that failed. Code and message are TensorFlow Serving's.

    Attributes:
        code: The gRPC status code.
        message: What happened.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(f"{code.name}: {message}")
        self.code = code
        self.message = message[:_LONGEST_MESSAGE]

    @property
    def http_status(self) -> int:
        """The HTTP status that TensorFlow Serving's REST API gives this code; 500 where it has no closer one."""
        return _HTTP_STATUSES.get(self.code, 500)


def invalid_argument(message: str) -> RequestError:
    """The most common error: the request is at fault."""
    return RequestError(grpc.StatusCode.INVALID_ARGUMENT, message)


def as_request_error(error: Exception) -> RequestError:
    """Any exception of the server as a status; TensorFlow's own errors keep their code."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, tf.errors.OpError):
        return RequestError(_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN), error.message)
    return RequestError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
