"""A sink for CloudEvents: a real HTTP server on a loopback port."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Sink(ThreadingHTTPServer):
    """Records each CloudEvent and responds with ``status`` and ``body``. If ``status`` is 0, it sends no response.

    ``received`` has the headers, with names in lower case, and the JSON body of each request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SinkHandler)
        self.status = 202
        self.body = b""
        self.received: list[tuple[dict[str, str], Any]] = []
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        """The URL for ``K_SINK``."""
        return f"http://127.0.0.1:{self.server_address[1]}/inbox"


class _SinkHandler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        """Record the request and send the response."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.received.append((headers, json.loads(body)))
        if self.server.status == 0:
            self.server.closing.wait(10)
            return
        self.send_response(self.server.status)
        self.send_header("Location", self.server.url)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@contextmanager
def serve_sink() -> Iterator[Sink]:
    """Serve a sink until the context ends."""
    with Sink() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()
