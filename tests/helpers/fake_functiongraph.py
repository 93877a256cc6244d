"""A fake FunctionGraph API on a loopback port, with at most one function.

It requires the fields that the documentation calls mandatory, rejects undocumented fields, and looks for the caller's
token in the arguments of every process on the machine. An update resets what it does not contain, because the
documentation does not say that it is kept.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from helpers.http_stub import HTTPStub, StubRequest, StubResponse

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


class FakeFunctionGraph(HTTPStub):
    """The API. ``responses`` replaces responses, by the name of the request; ``asynchronous`` is a configuration."""

    def __init__(
        self, responses: Mapping[str, StubResponse] | None = None, function: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(self._respond)
        self.responses = dict(responses or {})
        self.function = function
        self.asynchronous: Mapping[str, Any] | None = None
        self.tokens_in_arguments: list[str] = []

    @property
    def names(self) -> list[str]:
        """The names of the requests in their order: the method and the last part of the path."""
        return [_name(request) for request in self.requests]

    def body(self, name: str) -> Any:
        """Return the body of the last request with this name."""
        return [request.body for request in self.requests if _name(request) == name][-1]

    def _respond(self, request: StubRequest) -> StubResponse:
        name = _name(request)
        self.tokens_in_arguments += _processes_with_argument(request.headers.get("x-auth-token"))
        if name in self.responses:
            return self.responses[name]
        wrong = [name for name in _MANDATORY.get(name, ()) if request.body.get(name) in (None, "")]
        wrong += [name for name in _UNKNOWN.get(name, ()) if name in request.body]
        wrong += ["concurrent_num"] * ("concurrent_num" in str(request.body) and "Python" in request.body["runtime"])
        if wrong:
            return StubResponse(400, {"error_code": "FSS.0400", "error_msg": f"missing or unknown: {wrong}"})
        match name:
            case "PUT config":
                self.function = {"strategy_config": {"concurrent_num": 1}, **request.body}
            case "POST functions":
                # If no concurrency is set, a new function has no limit of instances (-1).
                self.function = {"strategy_config": {"concurrency": -1, "concurrent_num": 1}, **request.body}
            case "PUT async-invoke-config":
                self.asynchronous = request.body
        found = self.asynchronous if name.endswith("async-invoke-config") else self.function
        if found is None:
            return StubResponse(404, {"error_code": "FSS.1051", "error_msg": "Not found the function"})
        return StubResponse(200, found)


def _name(request: StubRequest) -> str:
    return f"{request.method} {request.path.rpartition('/')[2]}"


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
