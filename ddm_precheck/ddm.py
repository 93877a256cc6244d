"""DDM's side of the story: Event to DDM's validated answer, or the Problem that says why there is none.

The call is "Querying the Asynchronous Pre-check Result of Shard Configuration", V3, of the DDM API reference.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import monotonic, sleep
from typing import Any, Final

from ddm_precheck import strict_json
from ddm_precheck.event import Event
from ddm_precheck.problem import Problem, Upstream, one_line
from ddm_precheck.redaction import holds_secret, masked
from ddm_precheck.schema import Schema, Violation
from ddm_precheck.settings import Settings
from ddm_precheck.transport import OutOfTimeError, Reply, Transport, TransportError

_SCHEMA: Final = Schema("precheck-result")
_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_ATTEMPTS: Final = 3
_FIRST_PAUSE_SECONDS: Final = 0.2
_RETRIED_STATUSES: Final = frozenset({502, 503, 504})
_THROTTLED_SECONDS: Final = 60
_MOST_RETRY_AFTER_SECONDS: Final = 24 * 3600
_TEXT_LENGTH: Final = 1000

# DDM's error codes, all documented with status 400 ("Error Codes" in the DDM API reference).
_NOT_FOUND_CODES: Final = frozenset({"DBS.300400", "DBS.300129", "DBS.300379"})
_UNAVAILABLE_CODES: Final = frozenset(
    {"DBS.300002", "DBS.300005", "DBS.200412", "DBS.300120", "DBS.300345", "DBS.300346"}
)
# The shapes of error bodies: DDM's own, the gateway's, IAM's, and older ones of all three.
_CODE_NAMES: Final = ("error_code", "errCode", "errorCode", "code")
_MESSAGE_NAMES: Final = ("error_msg", "externalMessage", "errorMsg", "errorMessage", "message")


@dataclass(frozen=True, slots=True)
class Answer:
    """DDM's checks, validated and with the token masked, and how the call went."""

    results: list[dict[str, Any]]
    upstream: Upstream


class Client:
    """Asks DDM, for the instance's life."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        """Ask at the endpoint and within the time that the settings name."""
        self._settings = settings
        self._transport = transport

    def fetch(self, event: Event) -> Answer:
        """Return DDM's answer for the event, asking up to three times within the one timeout.

        Raises Problem for everything that is not a valid answer to what was asked.
        """
        started = monotonic()
        end = started + self._settings.timeout
        attempt = 0
        while True:
            attempt += 1
            try:
                reply = self._ask(event, end - monotonic())
            except OutOfTimeError as error:
                call = _call(started, attempt)
                raise Problem("upstream-timeout", f"DDM took too long: {error}", upstream=call) from None
            except TransportError as error:
                problem = _unavailable(str(error), _call(started, attempt))
            else:
                if reply.status not in _RETRIED_STATUSES:
                    return _read(reply, event, _call(started, attempt, reply.status))
                problem = _refusal(reply, event, _call(started, attempt, reply.status))
            pause = _FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.25, 0.5)
            if attempt == _MOST_ATTEMPTS or monotonic() + pause >= end:
                raise problem
            sleep(pause)

    def _ask(self, event: Event, seconds: float) -> Reply:
        # The IDs hold nothing that means something in a path: the event's schema sees to that.
        path = (
            f"/v3/{event.project_id}/instances/{event.instance_id}"
            f"/databases/{event.db_name}/migration/precheck/{event.job_id}"
        )
        headers = {
            "X-Auth-Token": event.token,
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "User-Agent": "ddm-precheck",
        }
        url = self._settings.endpoint_in(event.region) + path
        return self._transport.send("GET", url, headers, seconds=seconds, most=_MOST_BYTES)


def _call(started: float, attempts: int, status: int | None = None) -> Upstream:
    return Upstream(status, attempts, elapsed_ms=round((monotonic() - started) * 1000))


def _read(reply: Reply, event: Event, upstream: Upstream) -> Answer:
    """Return the answer of a reply that is one."""
    if 400 <= reply.status <= 599:
        raise _refusal(reply, event, upstream)
    upstream = replace(upstream, request_id=_request_id(reply.headers, None, event.token))
    if reply.status != 200:
        raise Problem("upstream-contract", f"DDM answered with the unexpected status {reply.status}", upstream=upstream)
    if reply.body is None:
        raise Problem("upstream-contract", "DDM's answer is over 4 MiB or cannot be decoded", upstream=upstream)
    try:
        document = _document(reply.body, event.token)
    except strict_json.NotJSONError as error:
        raise Problem("upstream-contract", f"DDM's answer is not JSON: {error}", upstream=upstream) from None
    violations = _violations(document, event)
    if violations:
        first = violations[0]
        detail = f"DDM's answer is not as documented: {first.pointer or 'it'} {first.detail}"
        raise Problem("upstream-contract", detail, errors=violations, upstream=upstream)
    return Answer(document["pre_check_results"] or [], upstream)


def _violations(document: Any, event: Event) -> tuple[Violation, ...]:
    violations = _SCHEMA.violations(document)
    if not violations and document.get("job_id", event.job_id) != event.job_id:
        return (Violation("/job_id", "is not the job that was asked for"),)
    return violations


def _document(body: bytes, token: str) -> Any:
    """Read the body and mask the token in it.

    Only a body that holds the token, or an escape that may spell it or a lone surrogate, is worth the walk.
    """
    document = strict_json.loads(body)
    if b"\\" not in body and token.encode() not in body:
        return document
    try:
        return masked(document, token)
    except RecursionError:
        raise strict_json.NotJSONError("it is nested too deeply") from None


def _refusal(reply: Reply, event: Event, upstream: Upstream) -> Problem:
    """Classify an answer of 4xx or 5xx: by DDM's code where it has one that says more than the status."""
    body = _error_body(reply)
    code, text = _first(body, _CODE_NAMES), _first(body, _MESSAGE_NAMES)
    told_code, told_text = _told(code, event.token), _told(text, event.token)
    request_id = _request_id(reply.headers, body, event.token)
    upstream = replace(upstream, request_id=request_id, error_code=told_code, error_msg=told_text)
    said = " ".join(filter(None, [f"DDM said {reply.status}", told_code, told_text]))
    if reply.status >= 500 or (reply.status == 400 and code in _UNAVAILABLE_CODES):
        return _unavailable(said, upstream)
    if reply.status == 429:
        return Problem("throttled", said, upstream=upstream, retry_after=_retry_after(reply.headers))
    if reply.status == 400 and code in _NOT_FOUND_CODES:
        return Problem("not-found", f"{_ADVICE['not-found']}: {said}", upstream=upstream)
    kind = _KINDS.get(reply.status, "rejected")
    return Problem(kind, f"{_ADVICE[kind]}: {said}", upstream=upstream)


def _unavailable(reason: str, upstream: Upstream) -> Problem:
    return Problem("upstream-unavailable", f"DDM is not available: {reason}", upstream=upstream)


def _error_body(reply: Reply) -> dict[str, Any]:
    """Return the object that says what is wrong, wherever it stands, not masked yet; empty where there is none."""
    try:
        document = strict_json.loads(reply.body or b"")
    except strict_json.NotJSONError:
        return {}
    if not isinstance(document, dict):
        return {}
    inner = document.get("error")
    return document | inner if isinstance(inner, dict) else document


def _first(body: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    """Return the first of the members that says something, as one line of text."""
    for name in names:
        value = body.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool) and (line := one_line(str(value))):
            return line
    return None


def _told(line: str | None, token: str) -> str | None:
    return None if line is None else str(masked(line, token))[:_TEXT_LENGTH]


def _request_id(headers: Mapping[str, str], body: Mapping[str, Any] | None, token: str) -> str | None:
    """Return the ID that Huawei's support asks for, if it looks like one."""
    for found in (headers.get("X-Request-Id"), (body or {}).get("request_id")):
        if isinstance(found, str) and re.fullmatch(r"[!-~]{1,128}", found) and not holds_secret(found, token):
            return found
    return None


def _retry_after(headers: Mapping[str, str]) -> int:
    """Read ``Retry-After`` (RFC 9110, section 10.2.3), in seconds; what makes no sense becomes a minute."""
    value = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]+", value):
        return min(int(value.lstrip("0")[:9] or "0"), _MOST_RETRY_AFTER_SECONDS)  # nine digits are decades already
    try:
        seconds = (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError, OverflowError):  # no date, or one without a zone
        return _THROTTLED_SECONDS
    return min(max(round(seconds), 1), _MOST_RETRY_AFTER_SECONDS)


_KINDS: Final = {401: "unauthorized", 403: "forbidden", 404: "not-found"}
_ADVICE: Final = {
    "unauthorized": "Get a new token for the project's region (one lives 24 hours)",
    "forbidden": "Let the token's user read the DDM instance",
    "not-found": "Check the four IDs and the region",
    "rejected": "Check the event",
}
