"""The REST API over HTTP: connections, threads, and what it refuses when it is asked for too much."""

import json
import logging
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any
from urllib.parse import urlsplit

from tfrec.serving.manager import Manager
from tfrec.serving.metrics import Metrics
from tfrec.serving.rest import Answer, Deadline, answer

logger = logging.getLogger(__name__)

MOST_CONNECTIONS = 512

_LARGEST_BODY = 2**31 - 1
_CHUNK = 2**20

_TOO_MANY = json.dumps({"error": f"The server is overloaded: it has {MOST_CONNECTIONS} connections"}).encode()
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TOO_MANY), _TOO_MANY)
)


class RestServer(ThreadingHTTPServer):
    """The HTTP server; a thread a connection, connections are kept alive.

    It takes its port at once, and connections from `start` on. What it cannot take is answered with 503: a request that
    would wait for half of its time until another one has ended, and a connection above `MOST_CONNECTIONS`.

    Args:
        address: Host and port; port 0 takes a free one.
        manager: The models.
        metrics: Where requests are counted.
        threads: How many requests are answered, or wait for their batch, at the same time.
        timeout: Seconds that a request may take.
        metrics_path: Where the page for Prometheus is; None, nowhere.

    Raises:
        OSError: The address cannot be bound.
    """

    request_queue_size = 128

    def __init__(
        self,
        address: tuple[str, int],
        manager: Manager,
        metrics: Metrics,
        threads: int,
        timeout: float,
        metrics_path: str | None = None,
    ) -> None:
        self.manager = manager
        self.metrics = metrics
        self.metrics_path = metrics_path
        self.is_draining = False
        self._request_seconds = timeout
        self._free_threads = threading.Semaphore(threads)
        self._free_connections = threading.Semaphore(MOST_CONNECTIONS)
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
        deadline = Deadline(self._request_seconds)
        if not self._free_threads.acquire(timeout=self._request_seconds / 2):
            message = "The server is overloaded: the request waited for more than half of the time that it may take"
            return Answer(503, {"error": message})
        try:
            return answer(self.manager, self.metrics, method, target, body, deadline)
        finally:
            self._free_threads.release()

    def done(self) -> None:
        """An answer has been written, or its client is gone."""
        with self._idle:
            self._in_flight -= 1
            self._idle.notify_all()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Starts the thread of a connection, or refuses it."""
        if self._free_connections.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        with suppress(OSError):
            request.sendall(_REFUSAL)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Answers what comes over a connection until its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free_connections.release()

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
