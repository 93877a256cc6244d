"""A stand-in for the part of FunctionGraph's API that deploying needs: a real HTTP server on loopback.

It keeps one function, demands the members that the documentation calls mandatory, and looks for the caller's token in
the arguments of every process on the machine while it answers.
"""

import base64
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

_CONFIG_MEMBERS: Final = ("func_name", "runtime", "timeout", "handler", "memory_size")
_CODE_MEMBERS: Final = ("code_type", "code_filename", "func_code")
_MANDATORY: Final = {
    "POST functions": ("package", *_CONFIG_MEMBERS, *_CODE_MEMBERS),
    "PUT code": _CODE_MEMBERS,
    "PUT config": _CONFIG_MEMBERS,
}


@dataclass(frozen=True)
class Reply:
    """One answer; text is sent as it is."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Call:
    """One call as it came in: the method, the last part of its path, the whole path, two headers and the body."""

    name: str
    path: str
    token: str | None
    authorization: str | None
    body: Any


class FunctionGraphApi:
    """The API, and what it has seen."""

    def __init__(self, replies: Mapping[str, Reply] | None = None, function: dict[str, Any] | None = None) -> None:
        """Start with a function or none; replies are given instead of the API's own, by the call's name."""
        self.replies = dict(replies or {})
        self.function = function
        self.calls: list[Call] = []
        self.tokens_in_arguments: list[str] = []
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        """Serve."""
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()

    @property
    def names(self) -> list[str]:
        """The calls in their order."""
        return [call.name for call in self.calls]

    def answer(self, call: Call) -> Reply:
        """Remember the call and do what the API would do."""
        self.calls.append(call)
        self.tokens_in_arguments += _arguments_with(call.token)
        if call.name in self.replies:
            return self.replies[call.name]
        missing = [name for name in _MANDATORY.get(call.name, ()) if not call.body.get(name)]
        if missing:
            return Reply(400, {"error_code": "FSS.0400", "error_msg": f"{missing} missing"})
        if call.name == "GET config":
            not_found = Reply(404, {"error_code": "FSS.1051", "error_msg": "Not found the function"})
            return not_found if self.function is None else Reply(200, self.function)
        kept = {name: value for name, value in call.body.items() if name != "func_code"}
        self.function = (self.function or {}) | kept
        return Reply(200, self.function)


def _arguments_with(token: str | None) -> list[str]:
    if not token:
        return []
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            arguments = path.read_bytes()
        except OSError:  # the process has ended meanwhile
            continue
        if token.encode() in arguments:
            found.append(path.parent.name)
    return found


class _Handler(BaseHTTPRequestHandler):
    api: FunctionGraphApi

    def do_GET(self) -> None:
        """Answer."""
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        name = f"{self.command} {self.path.rpartition('/')[2]}"
        token, authorization = self.headers.get("X-Auth-Token"), self.headers.get("Authorization")
        reply = self.api.answer(Call(name, self.path, token, authorization, body))
        content = (reply.body if isinstance(reply.body, str) else json.dumps(reply.body)).encode()
        self.send_response(reply.status)
        for header, value in {"Content-Length": str(len(content)), **reply.headers}.items():
            self.send_header(header, value)
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_PUT = do_GET  # noqa: N815 - so http.server names them

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


def code_in(body: Mapping[str, Any]) -> bytes:
    """Return the package that a call carries."""
    return base64.b64decode(body["func_code"]["file"], validate=True)
