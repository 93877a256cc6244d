"""A client of FunctionGraph's API, and one that prints the requests for a dry run.

The IAM token is sent only in the header X-Auth-Token, and redacted in all messages. Redirects are not followed: another
host would receive the token. Huawei's SDK is not used: it signs requests with access keys, and takes no IAM token.
"""

import http.client
import json
import sys
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from deploy import output
from deploy.output import DeployError

Body = Mapping[str, Any]

_TIMEOUT_SECONDS: Final = 120


class ApiError(DeployError):
    """FunctionGraph rejected a request. ``code`` is the API's error code."""

    def __init__(self, message: str, status: int, code: str) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class Client:
    """The API at an endpoint, used with an IAM token of printable ASCII characters."""

    def __init__(self, endpoint: str, token: str) -> None:
        self._endpoint, self._token = endpoint, token
        # http:// is for loopback addresses only. There, a proxy would be able to read the token.
        without_proxy = [urllib.request.ProxyHandler({})] if urlsplit(endpoint).scheme == "http" else []
        self._opener = urllib.request.build_opener(_AnyStatus(), *without_proxy)

    def find(self, path: str) -> Body | None:
        """GET an object, or return None if it does not exist. A 404 of a gateway is an error."""
        try:
            return self.send("GET", path)
        except ApiError as error:
            if error.status == http.HTTPStatus.NOT_FOUND and error.code.startswith("FSS."):
                return None
            raise

    def send(self, method: str, path: str, body: Body | None = None) -> Body:
        """Send a request and return the JSON object of the response. Raise DeployError unless the status is 2xx."""
        sys.stderr.write(f"+ {method} {self._endpoint}{path}\n")
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self._token, "Content-Type": "application/json"}
        request = urllib.request.Request(self._endpoint + path, data, headers, method=method)  # noqa: S310 - the scheme is checked
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
                status, content = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            # Not repr(): it would escape characters of the token, which could not be redacted then.
            raise DeployError(self._line(f"{method} {path}: no response ({type(reason).__name__}: {reason})")) from None
        try:
            value = json.loads(content or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise DeployError(
                f"the response {status} to {method} {path} is not a JSON object:"
                " check FUNCTIONGRAPH_ENDPOINT and the proxy"
            )
        if not http.HTTPStatus.OK <= status < http.HTTPStatus.MULTIPLE_CHOICES:
            code, reason = (str(value.get(name, f"no {name}")) for name in ("error_code", "error_msg"))
            text = f"FunctionGraph rejected {method} {path}: {status} {code}: {reason}"
            raise ApiError(self._line(text), status, code)
        return value

    def _line(self, text: str) -> str:
        line = "".join(char for char in " ".join(text.split()) if char.isprintable())
        return line.replace(self._token, "***")


class _AnyStatus(urllib.request.HTTPErrorProcessor):
    def http_response(self, _: object, response: Any) -> Any:
        """Return the response, which urllib would otherwise follow or raise."""
        return response

    https_response = http_response  # type: ignore[assignment] # urllib passes the arguments by position


class DryRun(Client):
    """Prints each request instead of sending it. ``found`` is the response to every GET."""

    def __init__(self, endpoint: str, found: Body | None) -> None:
        super().__init__(endpoint, "")
        self._found = found

    def find(self, path: str) -> Body | None:
        """Print the request and return ``found``."""
        self.send("GET", path)
        return self._found

    def send(self, method: str, path: str, body: Body | None = None) -> Body:
        """Print the request, without the content of a file."""
        output.line(f"+ {method} {self._endpoint}{path}")
        if body is not None:
            code = {"func_code": {"file": f"<base64 of {body['code_filename']}>"}} if "func_code" in body else {}
            output.line(f"  {json.dumps({**body, **code})}")
        return {}
