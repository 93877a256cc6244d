"""A client of FunctionGraph's API, and a client for dry runs, which prints the requests instead of sending them.

The IAM token is sent only in the header X-Auth-Token. Redirects are not followed: another host would receive the token.
"""

import http.client
import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from deploy.errors import DeployError, UsageError

_TIMEOUT_SECONDS: Final = 120


@dataclass(frozen=True, slots=True)
class ApiResponse:
    """A response of any status.

    If the content is neither empty nor a JSON object, ``is_readable`` is false and ``body`` is empty.
    """

    status: int
    body: Mapping[str, Any]
    is_readable: bool = True

    @property
    def error_code(self) -> str | None:
        """The API's error code, or None if there is none. A value that is not a text is not part of any message."""
        code = self.body.get("error_code")
        return code if code is None or isinstance(code, str) else "an error_code that is not a text"

    def raise_for_status(self, request: str) -> None:
        """Raise DeployError with the request and the API's error code and message unless the status is 2xx.

        A 2xx that is not readable is an error as well: it comes from a proxy or from another server.
        """
        if not HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES:
            code = self.error_code or "no error_code"
            message = self.body.get("error_msg")
            if not isinstance(message, str) or not message:
                message = "no error_msg"
            raise DeployError(f"FunctionGraph refused {request}: {self.status} {code}: {message}")
        if not self.is_readable:
            advice = "check FUNCTIONGRAPH_ENDPOINT and the proxy"
            raise DeployError(f"the response to {request} is not a JSON object: {advice}")


class Api(Protocol):
    """The interface of both clients."""

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> ApiResponse:
        """Send a request and return the response. Raise DeployError if there is no response."""


class FunctionGraphApi:
    """The API at an endpoint, used with an IAM token."""

    def __init__(self, endpoint: str, token: str) -> None:
        """Raise UsageError if the token cannot be sent in a header: http.client's own error would quote the token."""
        if not re.fullmatch(r"[!-~]+", token):
            raise UsageError("HUAWEICLOUD_TOKEN must be printable ASCII without spaces")
        self._endpoint = endpoint
        self._token = token
        handlers: list[urllib.request.BaseHandler] = [_NoRedirects()]
        if urlsplit(endpoint).scheme == "http":
            # Loopback addresses only (http://), without a proxy: a proxy would receive the token.
            handlers.append(urllib.request.ProxyHandler({}))
        self._opener = urllib.request.build_opener(*handlers)

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> ApiResponse:
        """Print the request's method and URL, send the request and return the response. See `Api.send`."""
        sys.stderr.write(f"+ {method} {self._endpoint}{path}\n")
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self._token, "Content-Type": "application/json"}
        request = urllib.request.Request(self._endpoint + path, data, headers, method=method)  # noqa: S310 - the scheme is checked
        try:
            with self._open(request) as response:
                # If the body is truncated, read() without a size raises IncompleteRead; read() with a size does not.
                return _parse_response(response.status, response.read())
        # ValueError: a negative chunk size. OverflowError, MemoryError: an absurd Content-Length.
        except (OSError, http.client.HTTPException, ValueError, OverflowError, MemoryError) as error:
            reason = getattr(error, "reason", error)
            # Not repr(): it would escape characters of the token, which could not be redacted then.
            raise DeployError(f"{method} {path}: no response ({type(reason).__name__}: {reason})") from None

    def _open(self, request: urllib.request.Request) -> Any:
        try:
            return self._opener.open(request, timeout=_TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            return error


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Return a redirect as the response: following it would send the token to another host."""

    def redirect_request(self, *_: object) -> None:
        """Return None: urllib then returns the redirect as the response."""


class DryRunApi:
    """Prints each request instead of sending it. GET has a fixed response. Any other response has the status 200."""

    def __init__(self, endpoint: str, config: ApiResponse, code_label: str) -> None:
        """Set the endpoint, the response to GET, and the text that is printed instead of the code."""
        self._endpoint = endpoint
        self._config = config
        self._code_label = code_label

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> ApiResponse:
        """Print the request and return the fixed response."""
        sys.stdout.write(f"+ {method} {self._endpoint}{path}\n")
        if body is not None:
            printed = {**body, "func_code": {"file": self._code_label}} if "func_code" in body else body
            sys.stdout.write(f"  {json.dumps(printed)}\n")
        return self._config if method == "GET" else ApiResponse(HTTPStatus.OK, {})


def _parse_response(status: int, content: bytes) -> ApiResponse:
    try:
        body = json.loads(content or b"{}")
    except (ValueError, RecursionError):
        body = None
    return ApiResponse(status, body) if isinstance(body, dict) else ApiResponse(status, {}, is_readable=False)
