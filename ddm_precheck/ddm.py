"""The client of DDM: requests a precheck's asynchronous checks, with retries, and parses the response.

The request is "Querying the Asynchronous Pre-check Result of Shard Configuration", V3, of the DDM API reference.
"""

import random
from time import monotonic, sleep
from typing import Final

from ddm_precheck import ddm_errors, strict_json
from ddm_precheck.checks import Check, parse_checks
from ddm_precheck.credentials import Token
from ddm_precheck.event import Precheck
from ddm_precheck.problem import Problem, ProblemCode, UpstreamInfo, Violation
from ddm_precheck.schema import Schema
from ddm_precheck.settings import Settings
from ddm_precheck.transport import (
    DeadlineExceededError,
    HTTPResponse,
    OversizedResponseError,
    Transport,
    TransportError,
)

_SCHEMA: Final = Schema("precheck-result")
_MAX_BYTES: Final = 1024 * 1024
_MAX_ATTEMPTS: Final = 3
_MAX_FIRST_BACKOFF_SECONDS: Final = 0.2
_RETRIED_STATUSES: Final = frozenset({502, 503, 504})


class Client:
    def __init__(self, settings: Settings, transport: Transport) -> None:
        self._settings = settings
        self._transport = transport

    def fetch(self, precheck: Precheck, token: Token) -> tuple[HTTPResponse, UpstreamInfo]:
        """Request the precheck's result. Connection failures and the statuses 502, 503 and 504 are retried.

        Raises Problem ``upstream-timeout``, ``upstream-unavailable`` or ``upstream-contract`` if there is no response
        within the limits.
        """
        # The event's JSON Schema does not allow characters in an ID that have a meaning in a path.
        url = (
            f"{self._settings.endpoint_for(precheck.region)}/v3/{precheck.project_id}/instances/{precheck.instance_id}"
            f"/databases/{precheck.db_name}/migration/precheck/{precheck.job_id}"
        )
        headers = {
            "X-Auth-Token": token.value,
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": "ddm-precheck",
        }
        started = monotonic()
        deadline = started + self._settings.timeout_seconds
        attempt = 0
        while True:
            attempt += 1
            try:
                http = self._transport.send("GET", url, headers, timeout=deadline - monotonic(), max_bytes=_MAX_BYTES)
            except DeadlineExceededError as error:
                upstream = _upstream_info(started, attempt)
                raise Problem(ProblemCode.UPSTREAM_TIMEOUT, f"DDM timed out: {error}", upstream=upstream) from None
            except OversizedResponseError as error:
                raise _unexpected(str(error), _upstream_info(started, attempt)) from None
            except TransportError as error:
                if not _back_off(attempt, deadline):
                    detail, upstream = f"DDM is not available: {error}", _upstream_info(started, attempt)
                    raise Problem(ProblemCode.UPSTREAM_UNAVAILABLE, detail, upstream=upstream) from None
            else:
                if http.status not in _RETRIED_STATUSES or not _back_off(attempt, deadline):
                    return http, _upstream_info(started, attempt, http.status)


def parse_result(
    http: HTTPResponse, upstream: UpstreamInfo, precheck: Precheck, token: Token
) -> tuple[tuple[Check, ...], UpstreamInfo]:
    """Return DDM's asynchronous checks, redacted and in DDM's order, and information about the exchange.

    Raises Problem with the matching code for an error response, and ``upstream-contract`` for any other response that
    is not a valid result of this precheck.
    """
    if 400 <= http.status <= 599:
        raise ddm_errors.error_to_problem(http, upstream, token)
    upstream = upstream._replace(request_id=ddm_errors.find_request_id(http.headers, {}))
    if http.status != 200:
        raise _unexpected(f"it has the status {http.status}", upstream)
    if http.body_error:
        raise _unexpected(http.body_error, upstream)
    try:
        value = strict_json.loads(http.body)
    except strict_json.InvalidJSONError as error:
        raise _unexpected(str(error), upstream) from None
    violations = _SCHEMA.violations(value)
    if not violations and value["job_id"] != precheck.job_id:
        violations = (Violation("/job_id", "is not the job_id of the event"),)
    if violations:
        first = violations[0]
        raise _unexpected(f"{first.pointer or 'the body'} {first.detail}", upstream, violations)
    checks = parse_checks(value["pre_check_results"] or (), "asynchronous")
    # An escape sequence can encode the token or a lone surrogate.
    needs_redaction = b"\\" in http.body or token.value.encode() in http.body
    return token.redact_checks(checks) if needs_redaction else checks, upstream


def _back_off(attempt: int, deadline: float) -> bool:
    seconds = _MAX_FIRST_BACKOFF_SECONDS * 2 ** (attempt - 1) * random.uniform(0.5, 1)
    if attempt == _MAX_ATTEMPTS or monotonic() + seconds >= deadline:
        return False
    sleep(seconds)
    return True


def _upstream_info(started: float, attempts: int, status: int | None = None) -> UpstreamInfo:
    return UpstreamInfo(status, attempts, elapsed_ms=round((monotonic() - started) * 1000))


def _unexpected(reason: str, upstream: UpstreamInfo, errors: tuple[Violation, ...] = ()) -> Problem:
    detail = f"Unexpected response from DDM: {reason}"
    return Problem(ProblemCode.UPSTREAM_CONTRACT, detail, errors=errors, upstream=upstream)
