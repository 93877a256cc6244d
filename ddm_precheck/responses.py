"""Summary or Problem to the HTTP response."""

import json
from typing import Any, Final

from flask import Request, Response

from ddm_precheck import cloudevents
from ddm_precheck.envelope import Delivery, Mode
from ddm_precheck.problem import Problem
from ddm_precheck.verdict import Summary

_JSON: Final = "application/json"
_PROBLEM_JSON: Final = "application/problem+json"
_ALLOWED: Final = "POST, OPTIONS"


def summary_members(summary: Summary) -> dict[str, Any]:
    """Return the summary as its schema has it."""
    upstream = summary.upstream
    return {
        "verdict": summary.verdict.value,
        "can_proceed": summary.can_proceed,
        "retryable": summary.retry_after is not None,
        "retry_after_seconds": summary.retry_after,
        "message": summary.message,
        **summary.event.ids,
        "region": summary.event.region,
        "counts": summary.counts,
        "issues": summary.issues,
        "checks": summary.checks,
        "checked_at": summary.checked_at,
        "upstream": {"status": upstream.status, "request_id": upstream.request_id, "attempts": upstream.attempts},
    }


def for_summary(summary: Summary, delivery: Delivery) -> Response:
    """Answer 200 in kind: a CloudEvent in the mode of the one that came in, else plain JSON."""
    members = summary_members(summary)
    if delivery.mode is Mode.STRUCTURED:
        event = {**cloudevents.attributes(delivery, summary), "datacontenttype": _JSON, "data": members}
        return _response(event, 200, cloudevents.STRUCTURED_TYPE, summary.retry_after)
    response = _response(members, 200, _JSON, summary.retry_after)
    if delivery.mode is Mode.BINARY:
        response.headers.update(cloudevents.headers(delivery, summary))
    return response


def for_problem(problem: Problem, request: Request) -> Response:
    """Answer with the problem's status and the members of RFC 9457.

    The type is ``application/problem+json`` only for who asks for it by name: low-code engines leave it unparsed.
    """
    upstream = problem.upstream
    members = {
        "verdict": problem.verdict,
        "can_proceed": False,
        "retryable": problem.kind.retryable,
        "retry_after_seconds": problem.retry_after,
        "message": problem.detail,
        "type": f"urn:problem-type:ddm-precheck:{problem.code}",
        "title": problem.kind.title,
        "status": problem.kind.status,
        "detail": problem.detail,
        "code": problem.code,
        "errors": [{"pointer": error.pointer, "detail": error.detail} for error in problem.errors],
        "upstream": None,
    }
    if upstream and upstream.status is not None:
        members["upstream"] = {
            "status": upstream.status,
            "error_code": upstream.error_code,
            "error_msg": upstream.error_msg,
            "request_id": upstream.request_id,
        }
    accepted = {value.partition(";")[0].strip().lower() for value, quality in request.accept_mimetypes if quality > 0}
    content_type = _PROBLEM_JSON if _PROBLEM_JSON in accepted else _JSON
    response = _response(members, problem.kind.status, content_type, problem.retry_after)
    if problem.code == "method-not-allowed":
        response.headers["Allow"] = _ALLOWED
    return response


def for_options() -> Response:
    """Tell what is allowed."""
    return _without_body(204, {"Allow": _ALLOWED})


def for_taken() -> Response:
    """Tell the broker that the sink has the summary."""
    return _without_body(202)


def encoded(members: dict[str, Any]) -> bytes:
    """Return the JSON text, in UTF-8, without white space that no machine needs."""
    return _ENCODER.encode(members).encode()


def _without_body(status: int, headers: dict[str, str] | None = None) -> Response:
    response = Response(status=status, headers=headers)
    del response.headers["Content-Type"]  # Flask's default speaks of HTML that is not there
    return response


def _response(members: dict[str, Any], status: int, content_type: str, retry_after: int | None) -> Response:
    response = Response(encoded(members), status, content_type=content_type)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response


_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)
