"""An HTTP server that records each request and calls a Python function for each response."""

import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from testing.loopback_server import LoopbackServer, QuietHandler


@dataclass(frozen=True)
class StubRequest:
    """One request. ``path`` includes the query, the names in ``headers`` are in lower case, ``body`` is parsed."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class StubResponse:
    """One response. A body of bytes is sent unchanged, any other body than None as JSON."""

    status: int
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()


Respond = Callable[[StubRequest], StubResponse | None]
"""Returns the response, or None to close the connection without one."""


class HTTPStub(LoopbackServer):
    """The server. It uses TLS if a context is given. ``requests`` contains the received requests."""

    def __init__(self, respond: Respond, context: ssl.SSLContext | None = None) -> None:
        super().__init__(_Handler)
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.respond = respond
        self.requests: list[StubRequest] = []
        self.authority = f"127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Ignore a client that closes the connection early."""


class _Handler(QuietHandler):
    server: HTTPStub

    def do_GET(self) -> None:
        """Record one request and send the response."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = StubRequest(self.command, self.path, headers, json.loads(data) if data else None)
        self.server.requests.append(request)
        response = self.server.respond(request)
        if response is None:
            return
        body = b"" if response.body is None else response.body
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(response.status)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(data))} | dict(response.headers)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names that http.server requires
