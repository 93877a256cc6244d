"""The outcome of DDM's response by the documented rules for results, verdicts and problems."""

from typing import Any, Final

from tools.fuzz.model import DDMResponse, Expected, problem
from tools.fuzz.oracle_event import strict_json

_NOT_FOUND: Final = {"DBS.300400", "DBS.300129", "DBS.300379"}
_UNAVAILABLE: Final = {"DBS.300002", "DBS.300005", "DBS.200412", "DBS.300120", "DBS.300345", "DBS.300346"}
_CODE_NAMES: Final = ("error_code", "errCode", "errorCode", "code")
_MESSAGE_NAMES: Final = ("error_msg", "externalMessage", "errorMsg", "errorMessage", "message")
_TEXTS: Final = {
    "note": "note",
    "suggestion": "handling_suggestion",
    "error": "error_message",
    "error_detail": "error_detail_message",
}
_MAX_RESULT_BYTES: Final = 1024 * 1024
_MAX_CHECKS: Final = 1000
_RETRIED: Final = {502, 503, 504}


def judge(event: dict[str, Any], ddm: DDMResponse) -> Expected:
    """Return the outcome of a direct request whose event is valid."""
    if ddm.status >= 400:
        return _error(event, ddm)
    upstream = {"status": ddm.status, "error_code": None, "error_msg": None, "request_id": _request_id(ddm, {})}
    contract: dict[str, Any] = {"attempts": 1, "fields": {"upstream": upstream}}
    if ddm.status != 200 or len(ddm.body) > _MAX_RESULT_BYTES:
        return problem("upstream-contract", **contract)
    try:
        result = strict_json(ddm.body)
    except ValueError:
        return problem("upstream-contract", **contract)
    pointers, possible = _violations(result, event["job_id"])
    if pointers or possible:
        return problem("upstream-contract", pointers=frozenset(pointers), possible=frozenset(possible), **contract)
    checks = [_check(check, event["token"]) for check in result["pre_check_results"] or []]
    return _summary(event, checks, ddm)


def _violations(result: Any, job_id: str) -> tuple[list[str], list[str]]:
    """Return the required pointers and the possible pointers.

    If the result breaks a rule of its JSON Schema, the function may report the contradictions or not.
    """
    if not isinstance(result, dict):
        return [""], []
    wrong = []
    if not isinstance(result.get("job_id"), str):
        wrong.append("/job_id")
    checks = result.get("pre_check_results", 0)
    if checks is not None and (not isinstance(checks, list) or len(checks) > _MAX_CHECKS):
        wrong.append("/pre_check_results")
    else:
        for number, check in enumerate(checks or []):
            wrong += [f"/pre_check_results/{number}{pointer}" for pointer in _wrong_in_check(check)]
    contradictions = ["/job_id"] if isinstance(result.get("job_id"), str) and result["job_id"] != job_id else []
    names = (*_CODE_NAMES, *_MESSAGE_NAMES, "error")
    contradictions += [f"/{name}" for name in names if result.get(name) not in (None, "")]
    if len(contradictions) == 1 and not wrong:
        return contradictions, []
    return wrong, contradictions


def _wrong_in_check(check: Any) -> list[str]:
    if not isinstance(check, dict):
        return [""]
    wrong = [] if isinstance(check.get("name"), str) and check["name"].strip() else ["/name"]
    wrong += [] if check.get("status") in ("SUCCESS", "WARN", "FAILED") else ["/status"]
    return wrong + [f"/{name}" for name in _TEXTS.values() if not isinstance(check.get(name), str | None)]


def redact(text: str, token: str) -> str:
    """Return the text with the token redacted. A token of less than eight characters is not redacted."""
    return text.replace(token, "***") if len(token) >= 8 else text


def _check(check: dict[str, Any], token: str) -> dict[str, Any]:
    texts = {name: check.get(ddm_name) for name, ddm_name in _TEXTS.items()}
    return {
        "name": redact(check["name"], token),
        "status": check["status"],
        **{name: redact(text, token) if text and text.strip() else None for name, text in texts.items()},
    }


def _summary(event: dict[str, Any], checks: list[dict[str, Any]], ddm: DDMResponse) -> Expected:
    failed, warned = ([check for check in checks if check["status"] == status] for status in ("FAILED", "WARN"))
    names = {check["name"] for check in checks}
    if failed:
        verdict = "FAIL"
    elif not checks or len(names) < (event["expected_checks"] or 0):
        verdict = "PENDING"
    else:
        verdict = "WARN" if warned else "PASS"
    accepted = [check for check in warned if check["name"] in event.get("accepted_warnings", [])]
    may_proceed_on_warn = event.get("proceed_on_warn", False) or len(accepted) == len(warned)
    fields = {
        "verdict": verdict,
        "can_proceed": verdict == "PASS" or (verdict == "WARN" and may_proceed_on_warn),
        "retryable": verdict == "PENDING",
        "retry_after_seconds": 10 if verdict == "PENDING" else None,
        **{name: event[name] for name in ("project_id", "instance_id", "db_name", "job_id", "region")},
        "expected_checks": event["expected_checks"],
        "counts": {
            "total": len(checks),
            "success": len(checks) - len(failed) - len(warned),
            "warn": len(warned),
            "failed": len(failed),
            "accepted": len(accepted),
        },
        "issues": failed + warned,
        "checks": checks,
        "upstream": {"status": 200, "request_id": _request_id(ddm, {}), "attempts": 1},
    }
    return Expected(200, fields, attempts=1)


def _error(event: dict[str, Any], ddm: DDMResponse) -> Expected:
    body = _error_body(ddm.body)
    code, message = _first(body, _CODE_NAMES), _first(body, _MESSAGE_NAMES)
    upstream = {
        "status": ddm.status,
        "error_code": code,
        "error_msg": redact(message, event["token"]) if message else None,
        "request_id": _request_id(ddm, body),
    }
    attempts = 3 if ddm.status in _RETRIED else 1
    options: dict[str, Any] = {"attempts": attempts, "fields": {"upstream": upstream}}
    if ddm.status == 429:
        options["retry_after"] = int(ddm.headers.get("Retry-After", "60"))
    return problem(_problem_code(ddm.status, code), **options)


def _problem_code(status: int, code: str | None) -> str:
    if status >= 500 or (status == 400 and code in _UNAVAILABLE):
        return "upstream-unavailable"
    if status == 404 or (status == 400 and code in _NOT_FOUND):
        return "not-found"
    return {401: "unauthorized", 403: "forbidden", 429: "throttled"}.get(status, "rejected")


def _error_body(data: bytes) -> dict[str, Any]:
    try:
        body = strict_json(data)
    except ValueError:
        return {}
    if not isinstance(body, dict):
        return {}
    # The request ID may be in the outer object.
    return body | body["error"] if isinstance(body.get("error"), dict) else body


def _first(body: dict[str, Any], names: tuple[str, ...]) -> str | None:
    return next((str(body[name]) for name in names if body.get(name)), None)


def _request_id(ddm: DDMResponse, body: dict[str, Any]) -> str | None:
    request_id = ddm.headers.get("X-Request-Id") or body.get("request_id")
    return request_id if isinstance(request_id, str) else None
