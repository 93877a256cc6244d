"""Parses DDM's response to a validated and redacted list of checks."""

from dataclasses import replace
from typing import Any, Final

from ddm_precheck import ddm_errors, strict_json
from ddm_precheck.checks import Check, PrecheckResult
from ddm_precheck.ddm import DDMResponse, request_id
from ddm_precheck.event import Event
from ddm_precheck.problem import Problem, ProblemCode, UpstreamInfo, Violation
from ddm_precheck.redaction import redact
from ddm_precheck.schema import Schema

_SCHEMA: Final = Schema("precheck-result")
_TEXT_FIELDS: Final = tuple(Check.__annotations__.keys() - {"status"})


def parse(response: DDMResponse, event: Event) -> PrecheckResult:
    """Return the result in DDM's response to the event.

    Raises Problem with the matching code for an error response, and ``upstream-contract`` for any other response that
    is not a valid result of the event's precheck.
    """
    status, token = response.http.status, event.token
    if 400 <= status <= 599:
        raise ddm_errors.error_to_problem(response, token)
    upstream = replace(response.upstream, request_id=request_id(response.http.headers, {}, token))
    if status != 200:
        raise _untrusted(f"DDM responded with the unexpected status {status}", upstream)
    if response.http.body_error:
        raise _untrusted(f"DDM's response cannot be read: {response.http.body_error}", upstream)
    try:
        value = strict_json.loads(response.http.body)
    except strict_json.InvalidJSONError as error:
        raise _untrusted(f"DDM's response cannot be parsed: {error}", upstream) from None
    if violations := _violations(value, event):
        first = violations[0]
        detail = f"DDM's response is not as documented: {first.pointer or 'the body'} {first.detail}"
        raise _untrusted(detail, upstream, violations)
    checks = value["pre_check_results"] or []
    return PrecheckResult(checks, upstream, _redact_all(checks, response.http.body, token))


def _untrusted(detail: str, upstream: UpstreamInfo, errors: tuple[Violation, ...] = ()) -> Problem:
    return Problem(ProblemCode.UPSTREAM_CONTRACT, detail, errors=errors, upstream=upstream)


def _violations(value: Any, event: Event) -> tuple[Violation, ...]:
    violations = _SCHEMA.violations(value)
    if not violations and value["job_id"] != event.job_id:
        return (Violation("/job_id", "is not the job_id of the event"),)
    return violations


def _redact_all(checks: list[dict[str, Any]], body: bytes, token: str) -> frozenset[str]:
    """Redact the checks in place, if necessary. Return the changed names in their redacted form.

    Redaction is necessary only if the body contains the token, or an escape sequence, which can encode the token or a
    lone surrogate.
    """
    if b"\\" not in body and token.encode() not in body:
        return frozenset()
    return frozenset(check["name"] for check in checks if _redact(check, token))


def _redact(check: dict[str, Any], token: str) -> bool:
    """Redact the texts of a check in place, and return whether its name has changed."""
    name = check["name"]
    for field in _TEXT_FIELDS:
        if text := check.get(field):
            check[field] = redact(text, token)
    return bool(check["name"] != name)
