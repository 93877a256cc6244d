"""Creates or updates the function through version 2 of FunctionGraph's API.

The IAM token comes from the variable HUAWEICLOUD_TOKEN and goes into one request header, nowhere else: redirects are
not followed, and it is masked in whatever the API says.
"""

import argparse
import base64
import http.client
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from deploy import package

_TIMEOUT_SECONDS: Final = 120
_LONGEST_LINE: Final = 500
_NOT_FOUND: Final = "FSS.1051"
_RUNTIME: Final = "http"
# 512 MB bring 0.4 of a core, without which a cold start takes long.
_MEMORY_MEGABYTES: Final = 512
# DDM_TIMEOUT_SECONDS (10), the sink (5) and as much again for a cold start.
_FUNCTION_SECONDS: Final = 30


class DeployError(Exception):
    """The function cannot be deployed; the message says why, in words that may be the API's."""


@dataclass(frozen=True, slots=True)
class Function:
    """The function as it shall be."""

    project_id: str
    region: str
    name: str
    environment: Mapping[str, str]
    code: bytes = field(repr=False)

    @property
    def urn(self) -> str:
        """The name under which the API knows the function."""
        return f"urn:fss:{self.region}:{self.project_id}:function:default:{self.name}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered, a success or not."""

    status: int
    body: Mapping[str, Any]

    @property
    def code(self) -> str | None:
        """The API's own name for what is wrong, where it gives one."""
        code = self.body.get("error_code")
        return None if code is None else str(code)


class Api(Protocol):
    """Who makes the calls."""

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Make one call and return its answer; raise DeployError where there is none."""


class FunctionGraph:
    """The API itself."""

    def __init__(self, endpoint: str, token: str) -> None:
        """Remember where the API is and who calls it."""
        self._endpoint = endpoint
        self._token = token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirect()]
        if urlsplit(endpoint).scheme == "http":
            # Plain HTTP is for loopback addresses: a proxy must not see the token.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Make one call and return its answer, whatever its status."""
        sys.stderr.write(f"+ {method} {self._endpoint}{path}\n")
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self._token, "Content-Type": "application/json"}
        request = urllib.request.Request(self._endpoint + path, data, headers, method=method)  # noqa: S310 - checked by deploy.sh
        try:
            with self._open(request) as response:
                # Read without a limit: given one, a body that was cut short would count as whole.
                return Answer(response.status, _read(response.read()))
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise DeployError(f"{method} {path} was not answered: {reason!r}") from None

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as refusal:
            return refusal


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Makes a redirect an answer: following it would carry the token elsewhere."""

    def redirect_request(self, *_: object) -> None:
        """Follow nothing."""


class Rehearsal:
    """Prints the calls of a dry run instead of making them; what the function's config would be is given."""

    def __init__(self, endpoint: str, config: Answer) -> None:
        """Remember what to answer."""
        self._endpoint = endpoint
        self._config = config

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """Print the call with its body, the code shortened."""
        sys.stdout.write(f"+ {method} {self._endpoint}{path}\n")
        if body is not None:
            code = body.get("func_code")
            size = f"<base64 of {package.TARGET.name}>"
            sys.stdout.write(f"  {json.dumps({**body, 'func_code': {'file': size}} if code else body)}\n")
        return self._config if method == "GET" else Answer(HTTPStatus.OK, {})


def main(arguments: list[str]) -> int:
    """Deploy the package, or with ``--dry-run`` print how; ``deploy.sh`` has checked the values."""
    options = _options(arguments)
    function = Function(
        options.project_id, options.region, options.name, dict(options.set or []), package.TARGET.read_bytes()
    )
    endpoint, token = options.endpoint.rstrip("/"), os.environ.get("HUAWEICLOUD_TOKEN", "")
    try:
        if options.dry_run:
            _rehearse(endpoint, function)
        else:
            deploy(FunctionGraph(endpoint, token), function)
            sys.stdout.write(f"deployed: {function.urn}\n")
    except DeployError as error:
        sys.stderr.write(f"deploy.sh: {_masked(str(error), token)}\n")
        return 1
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="deploy.functiongraph", allow_abbrev=False)
    for name in ("--endpoint", "--project-id", "--region", "--name"):
        parser.add_argument(name, required=True)
    parser.add_argument("--set", nargs=2, action="append", metavar=("VARIABLE", "VALUE"))
    parser.add_argument("--dry-run", action="store_true")
    return parser.parse_args(arguments)


def _rehearse(endpoint: str, function: Function) -> None:
    """Print both ways that a deployment can go."""
    ways = {
        "when there is no such function yet": Answer(HTTPStatus.NOT_FOUND, {"error_code": _NOT_FOUND}),
        "when there is one, its other variables kept": Answer(HTTPStatus.OK, {"runtime": _RUNTIME}),
    }
    for way, config in ways.items():
        sys.stdout.write(f"{way}:\n")
        deploy(Rehearsal(endpoint, config), function)


def deploy(api: Api, function: Function) -> None:
    """Create the function, or update it where it exists.

    Raises DeployError where the API refuses, or where what exists under the name is no HTTP function.
    """
    functions = f"/v2/{function.project_id}/fgs/functions"
    config = api.call("GET", f"{functions}/{function.urn}/config")
    if config.status == HTTPStatus.NOT_FOUND and config.code in {None, _NOT_FOUND}:
        _demand(api, "POST", functions, _creation(function))
        return
    _expect_success("GET the function's config", config)
    if not config.body:
        raise DeployError("the function's config cannot be read, so what others have set cannot be kept")
    # Both bodies are made first, so that a config that cannot be kept stops the update before it begins.
    update = _config(function, config.body)
    _demand(api, "PUT", f"{functions}/{function.urn}/code", _code(function))
    _demand(api, "PUT", f"{functions}/{function.urn}/config", update)


def _creation(function: Function) -> dict[str, Any]:
    # HTTP functions exist in FunctionGraph v2 only, and not every region makes that the default.
    return {**_config(function, {}), **_code(function), "package": "default", "type": "v2"}


def _code(function: Function) -> dict[str, Any]:
    return {
        "code_type": "zip",
        "code_filename": package.TARGET.name,
        "func_code": {"file": base64.b64encode(function.code).decode()},
    }


def _config(function: Function, current: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the config must say; variables and larger limits that somebody else has set stay."""
    if current.get("runtime", _RUNTIME) != _RUNTIME:
        raise DeployError(f"{function.urn} is no HTTP function: choose another --name")
    return {
        "func_name": function.name,
        "runtime": _RUNTIME,
        "handler": "bootstrap",
        "memory_size": max(_MEMORY_MEGABYTES, _limit(current, "memory_size")),
        "timeout": max(_FUNCTION_SECONDS, _limit(current, "timeout")),
        "user_data": json.dumps({**_user_data(current), **function.environment}),
    }


def _limit(current: Mapping[str, Any], name: str) -> int:
    limit = current.get(name) or 0
    if not isinstance(limit, int):
        raise DeployError(f"the function's {name} cannot be read, so it cannot be kept")
    return limit


def _user_data(current: Mapping[str, Any]) -> dict[str, Any]:
    try:
        variables = json.loads(current.get("user_data") or "{}")
    except (TypeError, ValueError):
        variables = None
    if not isinstance(variables, dict):
        raise DeployError("the function's variables (user_data) cannot be read, so they cannot be kept")
    return variables


def _demand(api: Api, method: str, path: str, body: Mapping[str, Any]) -> None:
    _expect_success(f"{method} {path}", api.call(method, path, body))


def _expect_success(call: str, answer: Answer) -> None:
    """Raise DeployError with the API's own code and message where the answer is no success."""
    if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        code, message = answer.code or "no error_code", answer.body.get("error_msg") or "no error_msg"
        raise DeployError(f"FunctionGraph refused {call}: {answer.status} {code}: {message}")


def _read(content: bytes) -> Mapping[str, Any]:
    """Return the object in a body; what is none, such as a gateway's HTML page, counts as empty."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    return body if isinstance(body, dict) else {}


def _masked(text: str, token: str) -> str:
    """Return the text on one line of bounded length, without the token."""
    line = "".join(char for char in " ".join(text.split()) if char.isprintable())
    return (line.replace(token, "***") if token else line)[:_LONGEST_LINE]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
