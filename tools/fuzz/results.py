"""Random responses of DDM: valid results, results that break a rule, and errors in each documented format."""

import json
import random
from typing import Any, Final

from tools.fuzz.events import CHECK_NAMES, TOKEN
from tools.fuzz.model import DDMResponse

_TEXT_FIELDS: Final = ("note", "handling_suggestion", "error_message", "error_detail_message")
_TEXTS: Final = (None, "", " \t\n", "Text.", "Two\nlines", "表", f"The token is {TOKEN}.", "x" * 5000, "\u2028", "→ …")
_STATUSES: Final = (200, 200, 200, 400, 401, 403, 404, 409, 418, 422, 429, 500, 505, 201, 202, 206, 302, 307)
_SLOW_STATUSES: Final = (502, 503, 504)
"""The statuses that the function retries. The retries take half a second."""

_STATUS_MIXES: Final = (("SUCCESS",), ("SUCCESS", "WARN"), ("WARN",), ("SUCCESS", "WARN", "FAILED"))
_CODES: Final = (
    *("DBS.280001", "DBS.300400", "DBS.300129", "DBS.300379", "DBS.300002", "DBS.300005"),
    *("DBS.200412", "DBS.300120", "DBS.300345", "DBS.300346", "APIGW.0301"),
)
_NAME_PAIRS: Final = (
    ("error_code", "error_msg"),
    ("errCode", "externalMessage"),
    ("errorCode", "errorMsg"),
    ("errorCode", "errorMessage"),
    ("code", "message"),
)
"""The names of the fields with the error code and the error message."""


def random_response(job_id: Any, source: random.Random) -> DDMResponse:
    """Return a response to a request for the job."""
    headers = {"X-Request-Id": "0123456789abcdef"} if source.random() < 0.5 else {}
    status = source.choice(_SLOW_STATUSES if source.random() < 0.01 else _STATUSES)
    if source.random() < 0.6:
        status = 200
    if status >= 400:
        return _random_error(status, headers, source)
    if source.random() < 0.03:
        return DDMResponse(status, source.choice(_not_json()), headers)
    result = _random_result(job_id, source)
    return DDMResponse(status, json.dumps(result, ensure_ascii=source.random() < 0.5).encode(), headers)


def _not_json() -> list[bytes]:
    check = b'{"name":"a","status":"SUCCESS"}'
    return [
        b"",
        b"<html></html>",
        b'{"job_id":"a"',
        b'{"job_id":"a","pre_check_results":[],"x":NaN}',
        b'{"job_id":"a","job_id":"a","pre_check_results":[]}',
        b'{"job_id":"a","pre_check_results":[{"name":"a","name":"b","status":"SUCCESS"}]}',
        b'{"job_id":"\xff","pre_check_results":[%s]}' % check,
        b"[" * 100_000,
        b'{"pre_check_results":[],"x":"' + b"x" * 1_100_000 + b'"}',
    ]


def _random_result(job_id: Any, source: random.Random) -> Any:
    count = source.choice([0, 1, 2, 3, 4, 6, 1000])
    statuses = source.choice(_STATUS_MIXES)
    checks = [_random_check(statuses, source) for _ in range(count)]
    result: dict[str, Any] = {"job_id": job_id, "pre_check_results": checks}
    if source.random() < 0.1:
        result |= {"unknown": [1, {"a": None}], "error_code": source.choice([None, ""])}
    if source.random() < 0.25:
        result = _break_rule(result, source)
    return result


def _random_check(statuses: tuple[str, ...], source: random.Random) -> dict[str, Any]:
    check: dict[str, Any] = {"name": source.choice(CHECK_NAMES), "status": source.choice(statuses)}
    check |= {name: source.choice(_TEXTS) for name in _TEXT_FIELDS if source.random() < 0.5}
    return check | ({"unknown": 1} if source.random() < 0.1 else {})


def _break_rule(result: dict[str, Any], source: random.Random) -> Any:
    checks = result["pre_check_results"]
    breaks: list[Any] = [
        lambda: result.pop("job_id"),
        lambda: result.update(job_id=source.choice([None, 1, "", "another-job", result["job_id"] + "\n"])),
        lambda: result.pop("pre_check_results"),
        lambda: result.update(pre_check_results=source.choice([None, {}, "", 0, True])),
        lambda: result.update(pre_check_results=[{"name": "a", "status": "WARN"}] * 1001),
        lambda: result.update({source.choice(source.choice(_NAME_PAIRS)): source.choice(["DBS.1", "Aborted.", 7])}),
        lambda: result.update(error=source.choice(["Aborted.", {"code": "DBS.1"}])),
    ]
    if checks:
        check = checks[source.randrange(len(checks))]
        breaks += [
            lambda: check.pop("name"),
            lambda: check.pop("status"),
            lambda: check.update(name=source.choice([None, "", " ", 1, []])),
            lambda: check.update(status=source.choice([None, "", "RUNNING", "success", "SUCCESS\n", 1, []])),
            lambda: check.update({source.choice(_TEXT_FIELDS): source.choice([0, False, [], {}, ["a"]])}),
            lambda: checks.append(source.choice([None, 1, "a", []])),
        ]
    if source.random() < 0.05:
        return source.choice([None, [], "", 0, [result]])
    for each in source.sample(breaks, source.choice([1, 1, 1, 2])):
        if {"job_id", "pre_check_results"} <= result.keys():
            each()
    return result


def _random_error(status: int, headers: dict[str, str], source: random.Random) -> DDMResponse:
    if status == 429 and source.random() < 0.7:
        headers = headers | {"Retry-After": str(source.choice([0, 1, 7, 3600]))}
    if source.random() < 0.2:
        return DDMResponse(status, source.choice([b"", b"<html></html>", b"null", b"[]", b"{}", b'{"a":1}']), headers)
    code_name, message_name = source.choice(_NAME_PAIRS)
    body: dict[str, Any] = {
        code_name: source.choice([*_CODES, None, "", 400]),
        message_name: source.choice(["Error.", f"Bad token {TOKEN}.", None, ""]),
    }
    if source.random() < 0.3:
        body = {"error": body}
    if source.random() < 0.3:
        body["request_id"] = "fedcba9876543210"
    return DDMResponse(status, json.dumps(body).encode(), headers)
