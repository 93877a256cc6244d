"""An HTTP server that records each request and calls a Python function for each response."""

import json
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class StubRequest:
    """One request. ``path`` includes the query, the names in ``headers`` are in lower case, ``body`` is parsed."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class StubResponse:
    """One response; a body other than None is sent as JSON."""

    status: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


Respond = Callable[[StubRequest], StubResponse]


class HTTPStub(ThreadingHTTPServer):
    """The server, on a loopback port, with TLS if there is a context; ``requests`` contains the received requests."""

    daemon_threads = True

    def __init__(self, respond: Respond, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.respond = respond
        self.requests: list[StubRequest] = []
        self.authority = f"127.0.0.1:{self.server_address[1]}"
        self.url = f"http://{self.authority}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def server_close(self) -> None:
        """Stop the server. The end of the context calls this method."""
        self.shutdown()
        super().server_close()

    def handle_error(self, *_: object) -> None:
        """Ignore a client that closes the connection early."""


class _Handler(BaseHTTPRequestHandler):
    server: HTTPStub

    def do_GET(self) -> None:
        """Record one request and send the response."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = StubRequest(self.command, self.path, headers, json.loads(data) if data else None)
        self.server.requests.append(request)
        response = self.server.respond(request)
        body = b"" if response.body is None else json.dumps(response.body).encode()
        self.send_response(response.status)
        for name, value in (("Content-Length", str(len(body))), *response.headers):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        """Handle the request like GET."""
        self.do_GET()

    def do_PATCH(self) -> None:
        """Handle the request like GET."""
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Write no log."""
