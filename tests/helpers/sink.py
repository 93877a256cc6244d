"""A sink for CloudEvents: a real HTTP server on a loopback port."""

import json
import threading
from typing import Any

from helpers.loopback_server import LoopbackServer, QuietHandler


class Sink(LoopbackServer):
    """Records each CloudEvent and responds with ``status`` and ``body``. If ``status`` is 0, it sends no response.

    ``received`` has the headers, with names in lower case, and the JSON body of each request.
    """

    def __init__(self) -> None:
        super().__init__(_SinkHandler)
        self.status = 202
        self.body = b""
        self.received: list[tuple[dict[str, str], Any]] = []
        self.closing = threading.Event()

    def server_close(self) -> None:
        """End the handlers that send no response, and stop serving."""
        self.closing.set()
        super().server_close()

    @property
    def url(self) -> str:
        """The URL for ``K_SINK``."""
        return f"{super().url}/inbox"


class _SinkHandler(QuietHandler):
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
