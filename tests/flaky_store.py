"""A proxy before an S3 server that does to requests what networks and busy stores do."""

import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

Fault = str
"""What becomes of a request.

`503`: it is told to come back; `cut`: the line is dead before an answer; `hang`: the line stays open, and no answer
comes; `half`: half of what is sent arrives, then the line is dead.
"""


class FlakyStore:
    """Forwards to a server on this machine; what happens to the n-th request is decided by `plan`."""

    def __init__(self, upstream: str, plan: Callable[[int, str, str], Fault | None]) -> None:
        """`plan` is given the number of the request from 0, its method and its path."""
        self.upstream = urlsplit(upstream).netloc
        self.plan = plan
        self.faults: list[tuple[str, str, Fault]] = []
        """Method, path and fault of all that was disturbed."""
        self._count = 0
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_down(self) -> bool:
        return self._server is None

    def start(self) -> None:
        """Listen; after a `stop` again on the same port."""
        store = self

        class Handler(_Handler):
            flaky = store

        server = ThreadingHTTPServer(("127.0.0.1", self._port), Handler)
        server.daemon_threads = True
        self._port = server.server_address[1]
        self._server = server
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        """From now on nobody listens, and connections that are open are dead."""
        if self._server is not None:
            server, self._server = self._server, None
            server.shutdown()
            server.server_close()

    def next_fault(self, method: str, path: str) -> Fault | None:
        with self._lock:
            fault = self.plan(self._count, method, path)
            self._count += 1
            if fault is not None:
                self.faults.append((method, path, fault))
            return fault


class _Handler(BaseHTTPRequestHandler):
    flaky: FlakyStore
    protocol_version = "HTTP/1.1"

    def _forward(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        if self.flaky.is_down:
            self._hang_up()
            return
        fault = self.flaky.next_fault(self.command, self.path)
        if fault == "503":
            self._answer(503, {"Content-Type": "application/xml"}, SLOW_DOWN)
        elif fault in ("cut", "hang"):
            if fault == "hang":
                self.flaky.ended.wait()
            self._hang_up()
        elif fault == "half":
            self._send_half(body)
            self._hang_up()
        else:
            connection = http.client.HTTPConnection(self.flaky.upstream, timeout=60)
            connection.request(self.command, self.path, body, dict(self.headers))
            answer = connection.getresponse()
            self._answer(answer.status, dict(answer.getheaders()), answer.read())
            connection.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward  # noqa: N815 - the names that http.server looks for

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                self.send_header(name, value)
        length = headers.get("Content-Length", len(body)) if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _send_half(self, body: bytes) -> None:
        """To the server itself: the head of the request with its full length, and half of the bytes."""
        host, _, port = self.flaky.upstream.partition(":")
        with socket.create_connection((host, int(port)), timeout=10) as line:
            head = f"{self.command} {self.path} HTTP/1.1\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
            line.sendall(head.encode() + b"\r\n" + body[: len(body) // 2])

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def flaky_store(upstream: str, plan: Callable[[int, str, str], Fault | None]) -> Iterator[FlakyStore]:
    store = FlakyStore(upstream, plan)
    store.start()
    try:
        yield store
    finally:
        store.ended.set()
        store.stop()
