"""A server that replaces the function. It sends invalid responses, or redirects."""

import json
from typing import Final

from helpers.loopback_server import LoopbackServer, QuietHandler

INVALID_RESPONSES: Final = {
    "empty": b"",
    "html": b"<html>can_proceed true</html>",
    "incomplete": b'{"can_proceed": true',
    "null": b"null",
    "string": b'"true"',
    "list": b'[{"verdict": "PASS", "can_proceed": true, "message": ""}]',
    "empty object": b"{}",
    "number": b'{"verdict": "PASS", "can_proceed": 1, "message": ""}',
    "true as a string": b'{"verdict": "PASS", "can_proceed": "true", "message": ""}',
    "true in a list": b'{"verdict": "PASS", "can_proceed": [true], "message": ""}',
    "name in another case": b'{"verdict": "PASS", "Can_Proceed": true, "message": ""}',
    "warning without issues": b'{"verdict": "WARN", "can_proceed": false, "retryable": false, "message": ""}',
}
"""Bodies that another server may send with the status 200. `FakeFunction` sends them by the event's ``db_name``."""


class FakeFunction(LoopbackServer):
    """Responds with one of `INVALID_RESPONSES`, or redirects every request to `location`.

    ``headers`` and ``bodies`` contain the headers and bodies of the received requests.
    """

    def __init__(self, location: str | None = None) -> None:
        super().__init__(_Handler)
        self.location = location
        self.headers: list[dict[str, str]] = []
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        """The URL to use as the function's URL."""
        return f"{super().url}/"


class _Handler(QuietHandler):
    server: FakeFunction

    def do_POST(self) -> None:
        """Record the request and respond."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self.server.bodies.append(body)
        if self.server.location:
            self._send(307, b"", Location=self.server.location)
        else:
            self._send(200, self._invalid_body(body))

    def do_GET(self) -> None:
        """Record a GET request, which a client sends if it follows a redirect and changes the method."""
        self.server.headers.append({name.lower(): value for name, value in self.headers.items()})
        self._send(200, b"{}")

    def _invalid_body(self, body: bytes) -> bytes:
        try:
            return INVALID_RESPONSES[json.loads(body)["db_name"]]
        except (ValueError, KeyError):
            return b"{}"

    def _send(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)
