"""The client of DDM: sends the request for an Event, with retries.

The request is "Querying the Asynchronous Pre-check Result of Shard Configuration", V3, of the DDM API reference.
"""

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any, Final

from ddm_precheck.event import Event
from ddm_precheck.problem import Problem, ProblemCode, UpstreamInfo
from ddm_precheck.redaction import contains_token
from ddm_precheck.settings import Settings
from ddm_precheck.transport import (
    DeadlineExceededError,
    HTTPResponse,
    OversizedResponseError,
    Transport,
    TransportError,
)

MAX_BYTES: Final = 1024 * 1024
_MAX_ATTEMPTS: Final = 3
_MAX_FIRST_PAUSE_SECONDS: Final = 0.2
_RETRIED_STATUSES: Final = frozenset({502, 503, 504})


@dataclass(frozen=True, slots=True)
class DDMResponse:
    """DDM's response of any status, and information about the exchange."""

    http: HTTPResponse
    upstream: UpstreamInfo


class DDMClient:
    """Sends requests to DDM."""

    def __init__(self, settings: Settings, transport: Transport) -> None:
        """Use the endpoint and the timeout of the settings."""
        self._settings = settings
        self._transport = transport

    def fetch(self, event: Event) -> DDMResponse:
        """Request the result of the event's precheck, in up to three attempts within one timeout.

        Connection failures and the statuses 502, 503 and 504 are retried.

        Raises Problem ``upstream-timeout``, ``upstream-unavailable`` or ``upstream-contract`` if there is no response
        within the limits.
        """
        started = monotonic()
        deadline = started + self._settings.timeout_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                response = self._send(event, deadline - monotonic())
            except (DeadlineExceededError, OversizedResponseError) as error:
                raise _problem(error, _upstream_info(started, attempt)) from None
            except TransportError as error:
                if not _sleep_before_retry(attempt, deadline):
                    raise _problem(error, _upstream_info(started, attempt)) from None
            else:
                if response.status not in _RETRIED_STATUSES or not _sleep_before_retry(attempt, deadline):
                    return DDMResponse(response, _upstream_info(started, attempt, response.status))

    def _send(self, event: Event, timeout: float) -> HTTPResponse:
        # The event's JSON Schema does not allow characters in an ID that have a meaning in a path.
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
        return self._transport.send("GET", url, headers, timeout=timeout, max_bytes=MAX_BYTES)


def request_id(headers: Mapping[str, str], body: Mapping[str, Any], token: str) -> str | None:
    """Return the request ID, which Huawei Cloud's support needs, from the headers or the body.

    A usable request ID has at most 128 printable ASCII characters and does not contain the token. If there is no usable
    request ID, return None.
    """
    for value in (headers.get("X-Request-Id"), body.get("request_id")):
        if isinstance(value, str) and re.fullmatch(r"[!-~]{1,128}", value) and not contains_token(value, token):
            return value
    return None


def _problem(error: TransportError, upstream: UpstreamInfo) -> Problem:
    match error:
        case DeadlineExceededError():
            return Problem(ProblemCode.UPSTREAM_TIMEOUT, f"DDM took too long: {error}", upstream=upstream)
        case OversizedResponseError():
            return Problem(ProblemCode.UPSTREAM_CONTRACT, f"DDM's response: {error}", upstream=upstream)
        case _:
            return Problem(ProblemCode.UPSTREAM_UNAVAILABLE, f"DDM is not available: {error}", upstream=upstream)


def _sleep_before_retry(attempt: int, deadline: float) -> bool:
    """Sleep before the next attempt, with backoff and jitter. Return False if no further attempt is allowed."""
    seconds = _MAX_FIRST_PAUSE_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1)
    if attempt == _MAX_ATTEMPTS or monotonic() + seconds >= deadline:
        return False
    sleep(seconds)
    return True


def _upstream_info(started: float, attempts: int, status: int | None = None) -> UpstreamInfo:
    return UpstreamInfo(status, attempts, elapsed_ms=round((monotonic() - started) * 1000))
