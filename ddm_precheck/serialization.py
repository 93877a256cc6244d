"""Serializes Summary and Problem to JSON, as defined in ``schemas/summary.schema.json`` and ``problem.schema.json``."""

import json
from typing import Any, Final

from ddm_precheck.problem import Problem
from ddm_precheck.report import build_report
from ddm_precheck.verdict import Summary, problem_verdict

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False)


def summary_json(summary: Summary) -> bytes:
    """Return the summary as JSON in UTF-8."""
    decision = summary.decision
    event, upstream = decision.event, decision.upstream
    return _encode(
        {
            "verdict": decision.verdict.value,
            "can_proceed": decision.can_proceed,
            "retryable": decision.retry_after is not None,
            "retry_after_seconds": decision.retry_after,
            "message": decision.message,
            **event.ids,
            "region": event.region,
            "expected_checks": event.expected_checks,
            "counts": decision.counts,
            "report": build_report(decision, summary.issues),
            "issues": summary.issues,
            "checks": summary.checks,
            "checked_at": decision.checked_at,
            "upstream": {"status": upstream.status, "request_id": upstream.request_id, "attempts": upstream.attempts},
        }
    )


def problem_json(problem: Problem) -> bytes:
    """Return the problem as JSON in UTF-8, with the members of RFC 9457."""
    code, upstream = problem.code, problem.upstream
    fields: dict[str, Any] = {
        "verdict": problem_verdict(code).value,
        "can_proceed": False,
        "retryable": code.retryable,
        "retry_after_seconds": problem.retry_after,
        "message": problem.detail,
        "type": f"urn:problem-type:ddm-precheck:{code.value}",
        "title": code.title,
        "status": code.status,
        "detail": problem.detail,
        "code": code.value,
        "errors": [{"pointer": error.pointer, "detail": error.detail} for error in problem.errors],
        "upstream": None,
    }
    if upstream and upstream.status is not None:
        fields["upstream"] = {
            "status": upstream.status,
            "error_code": upstream.error_code,
            "error_msg": upstream.error_msg,
            "request_id": upstream.request_id,
        }
    return _encode(fields)


def _encode(fields: dict[str, Any]) -> bytes:
    return _ENCODER.encode(fields).encode()
