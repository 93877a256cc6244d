"""A fake FunctionGraph API on a loopback port, with at most one function.

It requires the fields that the documentation calls mandatory, rejects undocumented fields, and looks for the caller's
token in the arguments of every process on the machine. An update resets what it does not contain, because the
documentation does not say that it is kept.
"""

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

_CONFIG: Final = ("func_name", "runtime", "timeout", "handler", "memory_size")
_CODE: Final = ("code_type", "code_filename", "func_code")
_ASYNC: Final = ("max_async_retry_attempts", "max_async_event_age_in_seconds")
_MANDATORY: Final = {
    "POST functions": ("package", *_CONFIG, *_CODE),
    "PUT code": _CODE,
    "PUT config": _CONFIG,
    "PUT async-invoke-config": _ASYNC,
}
_UNKNOWN: Final = {"POST functions": ("strategy_config", "enable_auth_in_header")}


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
    headers: Mapping[str, str]
    body: Any


class FakeFunctionGraph(ThreadingHTTPServer):
    """The API. ``responses`` replaces responses, by the name of the request; ``asynchronous`` is a configuration."""

    daemon_threads = True

    def __init__(
        self, responses: Mapping[str, ApiResponse] | None = None, function: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.responses = dict(responses or {})
        self.function = function
        self.asynchronous: Mapping[str, Any] | None = None
        self.requests: list[ApiRequest] = []
        self.tokens_in_arguments: list[str] = []

    def __enter__(self) -> Self:
        """Start serving."""
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def server_close(self) -> None:
        """Stop serving. The end of the context calls this method."""
        self.shutdown()
        super().server_close()

    @property
    def url(self) -> str:
        """The base URL, for FUNCTIONGRAPH_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def names(self) -> list[str]:
        """The names of the requests in their order."""
        return [request.name for request in self.requests]

    def body(self, name: str) -> Any:
        """Return the body of the last request with this name."""
        return [request.body for request in self.requests if request.name == name][-1]

    def respond(self, request: ApiRequest) -> ApiResponse:
        """Record the request, change the function and return the response."""
        self.requests.append(request)
        self.tokens_in_arguments += _processes_with_argument(request.headers.get("X-Auth-Token"))
        if request.name in self.responses:
            return self.responses[request.name]
        wrong = [name for name in _MANDATORY.get(request.name, ()) if request.body.get(name) in (None, "")]
        wrong += [name for name in _UNKNOWN.get(request.name, ()) if name in request.body]
        wrong += ["concurrent_num"] * ("concurrent_num" in str(request.body) and "Python" in request.body["runtime"])
        if wrong:
            return ApiResponse(400, {"error_code": "FSS.0400", "error_msg": f"missing or unknown: {wrong}"})
        match request.name:
            case "PUT config":
                self.function = {"strategy_config": {"concurrent_num": 1}, **request.body}
            case "POST functions":
                # If no concurrency is set, a new function has no limit of instances (-1).
                self.function = {"strategy_config": {"concurrency": -1, "concurrent_num": 1}, **request.body}
            case "PUT async-invoke-config":
                self.asynchronous = request.body
        found = self.asynchronous if request.name.endswith("async-invoke-config") else self.function
        if found is None:
            return ApiResponse(404, {"error_code": "FSS.1051", "error_msg": "Not found the function"})
        return ApiResponse(200, found)


def code_in(body: Mapping[str, Any]) -> bytes:
    """Return the package in a request body."""
    return base64.b64decode(body["func_code"]["file"], validate=True)


def _processes_with_argument(token: str | None) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline") if token else ():
        try:
            arguments = path.read_bytes()
        except OSError:  # the process has ended
            continue
        if str(token).encode() in arguments:
            found.append(path.parent.name)
    return found


class _Handler(BaseHTTPRequestHandler):
    server: FakeFunctionGraph

    def do_GET(self) -> None:
        """Respond to a request of any method."""
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        name = f"{self.command} {self.path.rpartition('/')[2]}"
        response = self.server.respond(ApiRequest(name, self.path, dict(self.headers.items()), body))
        content = (response.body if isinstance(response.body, str) else json.dumps(response.body)).encode()
        self.send_response(response.status)
        for header, value in {"Content-Length": str(len(content)), **response.headers}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_GET  # noqa: N815 - the names that http.server requires

    def log_message(self, *_: object) -> None:
        """Write no log."""
