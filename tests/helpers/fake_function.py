"""A server in front of the function: sends invalid responses for some database schemas, and forwards other events."""

import json
from typing import Final

import requests

from helpers.http_stub import HTTPStub, StubRequest, StubResponse

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


class FakeFunction(HTTPStub):
    """The function at ``function_url``, except for some database schemas.

    - a name in `INVALID_RESPONSES`: that body
    - ``redirect``: a redirect to this server
    - ``cut``: the connection is closed
    """

    def __init__(self, function_url: str) -> None:
        super().__init__(self._respond)
        self.function_url = function_url

    @property
    def redirected(self) -> int:
        """The number of requests that followed a redirect."""
        return sum(request.path == "/redirected" for request in self.requests)

    def _respond(self, request: StubRequest) -> StubResponse | None:
        if request.path == "/redirected":
            return StubResponse(200, {})
        db_name = request.body.get("db_name")
        if db_name == "cut":
            return None
        if db_name == "redirect":
            return StubResponse(307, None, (("Location", f"{self.url}/redirected"),))
        if db_name in INVALID_RESPONSES:
            return StubResponse(200, INVALID_RESPONSES[db_name])
        names = ["content-type", "x-auth-token"]
        headers = {name: request.headers[name] for name in names if name in request.headers}
        response = requests.post(self.function_url, json.dumps(request.body), headers=headers, timeout=30)
        return StubResponse(response.status_code, response.content)
