"""Converts the error responses of DDM, its gateway and IAM, which have different formats, to a Problem.

Source of the error codes: "Error Codes" in the DDM API reference. DDM sends all of these codes with the status 400.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from ddm_precheck import strict_json
from ddm_precheck.credentials import Token
from ddm_precheck.problem import Problem, ProblemCode, UpstreamInfo
from ddm_precheck.text import one_line
from ddm_precheck.transport import HTTPResponse

_NOT_FOUND_CODES: Final = frozenset({"DBS.300400", "DBS.300129", "DBS.300379"})
_UNAVAILABLE_CODES: Final = frozenset(
    {"DBS.300002", "DBS.300005", "DBS.200412", "DBS.300120", "DBS.300345", "DBS.300346"}
)
_NO_SUCH_API: Final = "APIGW.0101"
# The field names of DDM, of the gateway and of IAM, including their older names.
_CODE_NAMES: Final = ("error_code", "errCode", "errorCode", "code")
_MESSAGE_NAMES: Final = ("error_msg", "externalMessage", "errorMsg", "errorMessage", "message")
_CODE_BY_STATUS: Final = {
    401: ProblemCode.UNAUTHORIZED,
    403: ProblemCode.FORBIDDEN,
    404: ProblemCode.NOT_FOUND,
    407: ProblemCode.UPSTREAM_UNAVAILABLE,
    429: ProblemCode.THROTTLED,
}
_ADVICE: Final = {
    ProblemCode.UNAUTHORIZED: "get a new token for the project's region (a token is valid for 24 hours)",
    ProblemCode.FORBIDDEN: "allow the token's user to read the DDM instance",
    ProblemCode.NOT_FOUND: "check the four IDs and the region",
    ProblemCode.REJECTED: "check the event",
    ProblemCode.THROTTLED: "slow down",
    ProblemCode.UPSTREAM_UNAVAILABLE: "try again later",
}
_MAX_TEXT_LENGTH: Final = 1000
_DEFAULT_RETRY_SECONDS: Final = 60
_MAX_RETRY_SECONDS: Final = 24 * 3600


def error_to_problem(http: HTTPResponse, upstream: UpstreamInfo, token: Token) -> Problem:
    """Return the problem for a response with a status from 400 to 599."""
    body = _error_body(http.body)
    error_code = _first_text(body, _CODE_NAMES)
    shown_code = _redact_and_truncate(error_code, token)
    shown_message = _redact_and_truncate(_first_text(body, _MESSAGE_NAMES), token)
    request_id = find_request_id(http.headers, body)
    upstream = upstream._replace(request_id=request_id, error_code=shown_code, error_msg=shown_message)
    code = _problem_code(http.status, error_code)
    reason = " ".join(filter(None, [f"DDM responded {http.status}", shown_code, shown_message]))
    detail = f"{reason.rstrip('.')}; {_advice(code, http, error_code)}"
    if code is ProblemCode.THROTTLED:
        return Problem(code, detail, upstream=upstream, retry_after=_retry_after(http.headers))
    return Problem(code, detail, upstream=upstream)


def find_request_id(headers: Mapping[str, str], body: Mapping[str, Any]) -> str | None:
    """Return the first request ID of at most 128 printable ASCII characters. Huawei Cloud's support needs it."""
    for value in (headers.get("X-Request-Id"), body.get("request_id")):
        if isinstance(value, str) and re.fullmatch(r"[!-~]{1,128}", value):
            return value
    return None


def _problem_code(status: int, error_code: str | None) -> ProblemCode:
    if status >= 500 or (status == 400 and error_code in _UNAVAILABLE_CODES):
        return ProblemCode.UPSTREAM_UNAVAILABLE
    if status == 400 and error_code in _NOT_FOUND_CODES:
        return ProblemCode.NOT_FOUND
    return _CODE_BY_STATUS.get(status, ProblemCode.REJECTED)


def _advice(code: ProblemCode, http: HTTPResponse, error_code: str | None) -> str:
    if http.status == 404 and error_code == _NO_SUCH_API:
        return "this region or endpoint does not offer the API; check the region and DDM_ENDPOINT"
    if http.status == 407:
        return "a proxy requires authentication"
    if http.headers.get("Content-Type", "").lower().startswith("text/html") or http.body.lstrip().startswith(b"<"):
        return "the response is a web page, so it is not from DDM: a firewall or proxy answered"
    return _ADVICE[code]


def _error_body(body: bytes) -> dict[str, Any]:
    """Return the object with the error's fields, not redacted. If there is no such object, return an empty object.

    The fields can be in the object ``error``, or in any object that is the only field (``forbidden``, from IAM).
    """
    try:
        value = strict_json.loads(body)
    except strict_json.InvalidJSONError:
        return {}
    if not isinstance(value, dict):
        return {}
    inner = next(iter(value.values())) if len(value) == 1 else value.get("error")
    return value | inner if isinstance(inner, dict) else value


def _first_text(body: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    for name in names:
        value = body.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and (line := one_line(str(value))):
            return line
    return None


def _redact_and_truncate(line: str | None, token: Token) -> str | None:
    return None if line is None else token.redact(line)[:_MAX_TEXT_LENGTH]


def _retry_after(headers: Mapping[str, str]) -> int:
    """Return the seconds in ``Retry-After``, which can be a date (RFC 9110, section 10.2.3)."""
    value = headers.get("Retry-After", "").strip()
    try:
        if value.isdecimal():
            return min(int(value), _MAX_RETRY_SECONDS)
        seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError, OverflowError):  # not a date, a date without a time zone, or too many digits
        return _DEFAULT_RETRY_SECONDS
    return min(max(round(seconds), 1), _MAX_RETRY_SECONDS)
