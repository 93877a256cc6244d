"""The expected outcome of a case."""

from dataclasses import replace
from typing import Any

from tools.fuzz import oracle_result
from tools.fuzz.model import Case, Expected, problem
from tools.fuzz.oracle_event import Refused, Unwrapped, check_event, unwrap

_MAX_EVENT_BYTES = 256 * 1024


def expect(case: Case) -> Expected:
    """Return the expected outcome."""
    if case.method == "OPTIONS":
        return Expected(204)
    if case.method != "POST":
        return problem("method-not-allowed")
    if len(case.body) > _MAX_EVENT_BYTES:
        return problem("event-too-large")
    try:
        unwrapped = unwrap(case)
        event = check_event(unwrapped.value, case.headers.get("X-Auth-Token"), case.settings)
    except Refused as refused:
        return problem("invalid-event", pointers=refused.pointers, possible=refused.possible, fields={"upstream": None})
    expected = _with_envelope(oracle_result.judge(event, case.ddm), unwrapped, event)
    path = (
        f"/v3/{event['project_id']}/instances/{event['instance_id']}"
        f"/databases/{event['db_name']}/migration/precheck/{event['job_id']}"
    )
    url = f"/{event['region']}{path}" if case.settings.region_in_url else path
    return replace(expected, url=url, token=event["token"])


def _with_envelope(expected: Expected, unwrapped: Unwrapped, event: dict[str, Any]) -> Expected:
    """Return the outcome for this envelope. For an event delivery, the verdict PENDING becomes a problem."""
    if unwrapped.mode == "direct" or expected.status != 200:
        return expected
    if expected.fields["verdict"] == "PENDING":
        upstream = {
            "status": 200,
            "error_code": None,
            "error_msg": None,
            "request_id": expected.fields["upstream"]["request_id"],
        }
        return problem("pending", attempts=expected.attempts, fields={"upstream": upstream})
    attributes = {
        "specversion": "1.0",
        "id": oracle_result.redact(unwrapped.id, event["token"]),
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": event["job_id"],
        "verdict": expected.fields["verdict"],
        "canproceed": "true" if expected.fields["can_proceed"] else "false",
    }
    return replace(expected, mode=unwrapped.mode, attributes=attributes)
