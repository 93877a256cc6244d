"""Builds the HTTP response of the function from a Decision and the summary's JSON, or from a Problem."""

from typing import Final

from flask import Request, Response

from ddm_precheck import cloudevents, serialization
from ddm_precheck.envelope import Envelope, Mode
from ddm_precheck.problem import Problem, ProblemCode
from ddm_precheck.verdict import Decision

_JSON: Final = "application/json"
_PROBLEM_JSON: Final = "application/problem+json"
_ALLOWED_METHODS: Final = "POST, OPTIONS"


def summary_response(decision: Decision, summary_json: bytes, envelope: Envelope) -> Response:
    """Return 200 with the summary's JSON. If a CloudEvent was received, return a CloudEvent in the same mode."""
    if envelope.mode is Mode.STRUCTURED:
        attributes = cloudevents.encode_attributes(envelope.id, envelope.traceparent, decision)
        body = cloudevents.encode_structured(attributes, summary_json)
        return _response(body, 200, cloudevents.STRUCTURED_TYPE, decision.retry_after)
    response = _response(summary_json, 200, _JSON, decision.retry_after)
    if envelope.mode is Mode.BINARY:
        attributes = cloudevents.encode_attributes(envelope.id, envelope.traceparent, decision)
        response.headers.update(cloudevents.encode_headers(attributes))
    return response


def problem_response(problem: Problem, request: Request) -> Response:
    """Return the problem's JSON with its HTTP status.

    The content type is ``application/problem+json`` only if ``Accept`` names it: low-code engines parse only
    ``application/json``.
    """
    accepted = {value.partition(";")[0].strip().lower() for value, quality in request.accept_mimetypes if quality > 0}
    content_type = _PROBLEM_JSON if _PROBLEM_JSON in accepted else _JSON
    body = serialization.problem_json(problem)
    response = _response(body, problem.code.status, content_type, problem.retry_after)
    if problem.code is ProblemCode.METHOD_NOT_ALLOWED:
        response.headers["Allow"] = _ALLOWED_METHODS
    return response


def options_response() -> Response:
    """Return 204 with the allowed methods."""
    return _empty_response(204, {"Allow": _ALLOWED_METHODS})


def accepted_response() -> Response:
    """Return 202: the sink has accepted the summary."""
    return _empty_response(202)


def _empty_response(status: int, headers: dict[str, str] | None = None) -> Response:
    response = Response(status=status, headers=headers)
    del response.headers["Content-Type"]  # Flask sets HTML, but there is no body
    return response


def _response(body: bytes, status: int, content_type: str, retry_after: int | None) -> Response:
    response = Response(body, status, content_type=content_type)
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    return response
