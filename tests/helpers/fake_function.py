"""A server in front of the function: sends invalid responses for some database schemas, and forwards other events."""

import json
from typing import Any, Final

import requests

from helpers.loopback_server import LoopbackServer, QuietHandler

INVALID_RESPONSES: Final = {
    "empty": b"",
    "html": b"<html>can_proceed true</html>",
    "incomplete": b'{"can_proceed": true',
    "null": b"null",
    "string": b'"true"',
    "list": b'[{"verdict": "PASS", "can_proceed": true, "message": ""}]',
    "empty_object": b"{}",
    "number": b'{"verdict": "PASS", "can_proceed": 1, "message": ""}',
    "true_as_a_string": b'{"verdict": "PASS", "can_proceed": "true", "message": ""}',
    "true_in_a_list": b'{"verdict": "PASS", "can_proceed": [true], "message": ""}',
    "another_case": b'{"verdict": "PASS", "Can_Proceed": true, "message": ""}',
    "warning_without_issues": b'{"verdict": "WARN", "can_proceed": false, "retryable": false, "message": ""}',
}
"""Bodies that another server may send with the status 200, by the event's ``db_name``."""


class FakeFunction(LoopbackServer):
    """The function at ``function_url``, except for some database schemas.

    - a name in `INVALID_RESPONSES`: that body
    - ``redirect``: a redirect to this server
    - ``cut``: the connection is closed

    ``redirected`` is the number of requests that followed a redirect.
    """

    def __init__(self, function_url: str) -> None:
        super().__init__(_Handler)
        self.function_url = function_url
        self.redirected = 0


class _Handler(QuietHandler):
    server: FakeFunction

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        db_name = json.loads(body).get("db_name")
        if self.path == "/redirected":
            self.server.redirected += 1
            self._send(200, b"{}")
        elif db_name == "redirect":
            self._send(307, b"", Location=f"{self.server.url}/redirected")
        elif db_name in INVALID_RESPONSES:
            self._send(200, INVALID_RESPONSES[db_name])
        elif db_name != "cut":
            names = ("Content-Type", "X-Auth-Token")
            headers = {name: self.headers[name] for name in names if name in self.headers}
            response = requests.post(self.server.function_url, body, headers=headers, timeout=30)
            self._send(response.status_code, response.content)

    def do_GET(self) -> None:
        self.server.redirected += 1
        self._send(200, b"{}")

    def _send(self, status: int, body: bytes, **headers: Any) -> None:
        self.send_response(status)
        for name, value in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
