"""A fake FunctionGraph API: an HTTP server on a loopback port with one function.

The fake API requires the fields that the documentation calls mandatory, refuses undocumented fields, and searches for
the caller's token in the arguments of every process on the machine.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from helpers.loopback_server import LoopbackServer, QuietHandler

_CONFIG_FIELDS: Final = ("func_name", "runtime", "timeout", "handler", "memory_size")
_CODE_FIELDS: Final = ("code_type", "code_filename", "func_code")
_MANDATORY_FIELDS: Final = {
    "POST functions": ("package", *_CONFIG_FIELDS, *_CODE_FIELDS),
    "PUT code": _CODE_FIELDS,
    "PUT config": _CONFIG_FIELDS,
}
_UNKNOWN_FIELDS: Final = {"POST functions": ("strategy_config", "enable_auth_in_header")}


@dataclass(frozen=True)
class ApiResponse:
    """A response. A body of text is sent unchanged, any other body as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ApiRequest:
    """A request. Its name is the method and the last part of the path."""

    name: str
    path: str
    token: str | None
    authorization: str | None
    body: Any


class FakeFunctionGraph(LoopbackServer):
    """The API with at most one function. `responses` replaces responses of the API, by the name of the request."""

    def __init__(
        self, responses: Mapping[str, ApiResponse] | None = None, function: dict[str, Any] | None = None
    ) -> None:
        super().__init__(_Handler)
        self.responses = dict(responses or {})
        self.function = function
        self.requests: list[ApiRequest] = []
        self.tokens_in_arguments: list[str] = []

    @property
    def names(self) -> list[str]:
        """The names of the requests in their order."""
        return [request.name for request in self.requests]

    def respond(self, request: ApiRequest) -> ApiResponse:
        """Record the request, change the function and return the response."""
        self.requests.append(request)
        self.tokens_in_arguments += _processes_with_argument(request.token)
        if request.name in self.responses:
            return self.responses[request.name]
        wrong = [name for name in _MANDATORY_FIELDS.get(request.name, ()) if not request.body.get(name)]
        wrong += [name for name in _UNKNOWN_FIELDS.get(request.name, ()) if name in request.body]
        if wrong:
            return ApiResponse(400, {"error_code": "FSS.0400", "error_msg": f"missing or unknown: {wrong}"})
        if request.name != "GET config":
            # If no concurrency is set, a new function has no limit of instances (-1).
            current = self.function or {"strategy_config": {"concurrency": -1, "concurrent_num": 1}}
            self.function = current | {name: value for name, value in request.body.items() if name != "func_code"}
        elif self.function is None:
            return ApiResponse(404, {"error_code": "FSS.1051", "error_msg": "Not found the function"})
        return ApiResponse(200, self.function)


def _processes_with_argument(token: str | None) -> list[str]:
    if not token:
        return []
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:  # the process has ended
            continue
        if token.encode() in arguments:
            found.append(path.parent.name)
    return found


class _Handler(QuietHandler):
    server: FakeFunctionGraph

    def do_GET(self) -> None:
        """Respond to a request of any method."""
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        name = f"{self.command} {self.path.rpartition('/')[2]}"
        token, authorization = self.headers.get("X-Auth-Token"), self.headers.get("Authorization")
        response = self.server.respond(ApiRequest(name, self.path, token, authorization, body))
        content = (response.body if isinstance(response.body, str) else json.dumps(response.body)).encode()
        self.send_response(response.status)
        for header, value in {"Content-Length": str(len(content)), **response.headers}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server requires


def code_in(body: Mapping[str, Any]) -> bytes:
    """Return the package in a request body."""
    return base64.b64decode(body["func_code"]["file"], validate=True)
