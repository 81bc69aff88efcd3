"""Requests that are no protobuf: one line now and then, where gRPC logs a traceback each."""

import logging
import time

from google.protobuf.message import DecodeError

_SECONDS_BETWEEN_LINES = 60.0


class MalformedRequests(logging.Filter):
    """Makes a line a minute of gRPC's tracebacks about messages that cannot be read; leaves all else as it is.

    Example:
        >>> logging.getLogger("grpc._common").addFilter(MalformedRequests())
    """

    def __init__(self) -> None:
        super().__init__()
        self._count = 0
        self._next_line = 0.0

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is logged."""
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, DecodeError):
            return True
        self._count += 1
        if time.monotonic() < self._next_line:
            return False
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        record.msg = "Requests refused because they are no message of their method: %d so far. The last one: %s"
        record.args = self._count, error
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.exc_info = record.exc_text = None
        return True
