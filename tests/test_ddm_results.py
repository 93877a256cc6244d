"""Results of DDM: only a response with status 200 and a valid result becomes a verdict."""

import gzip
import json
from typing import Any

import pytest
from helpers.function import EVENT, Function

from testing.fake_behaviours import PRIMARY_KEYS, FakeResponse, check
from testing.fake_ddm import FakeDDM

MAX_BYTES = 1024 * 1024
JOB_ID = EVENT["job_id"]
CHECKS = [PRIMARY_KEYS]
TWENTY_POINTERS = [f"/pre_check_results/{number}/{name}" for number in range(10) for name in ("name", "status")]


def result(checks: Any) -> dict[str, Any]:
    """Return the body of a result. ``checks`` is the list of checks, or an invalid value."""
    return {"job_id": JOB_ID, "pre_check_results": checks}


NO_RESULT = {"error_code": "DBS.280001", "error_msg": "Parameter error."}
INVALID_BODIES = {
    "empty": (b"", []),
    "incomplete": (b'{"pre_check_results": [', []),
    "list twice": (b'{"pre_check_results": [], "pre_check_results": []}', []),
    "status twice": (b'{"pre_check_results": [{"name": "a", "status": "FAILED", "status": "SUCCESS"}]}', []),
    "NaN": (b'{"pre_check_results": [], "x": NaN}', []),
    "nested too deeply": (b"[" * 100_000, []),
    "invalid UTF-8": (b"\xff", []),
    "error": (NO_RESULT, ["/job_id", "/pre_check_results", "/error_code", "/error_msg"]),
    "empty object": ({}, ["/job_id", "/pre_check_results"]),
    "body is a list": (CHECKS, [""]),
    "body is null": (None, [""]),
    "body is a string": ("PASS", [""]),
    "object instead of the list": (result({}), ["/pre_check_results"]),
    "string instead of the list": (result("SUCCESS"), ["/pre_check_results"]),
    "thirty empty checks": (result([{}] * 30), TWENTY_POINTERS),
    "another job": ({"job_id": "other", "pre_check_results": CHECKS}, ["/job_id"]),
    "job_id in upper case": ({"job_id": JOB_ID.upper(), "pre_check_results": CHECKS}, ["/job_id"]),
    "job_id is empty": ({"job_id": "", "pre_check_results": CHECKS}, ["/job_id"]),
    "job_id is null": ({"job_id": None, "pre_check_results": CHECKS}, ["/job_id"]),
    "no job_id": ({"pre_check_results": CHECKS}, ["/job_id"]),
    "1,001 checks": (result(CHECKS * 1001), ["/pre_check_results"]),
}
INVALID_CHECKS = {
    "check is a list": ([], ""),
    "check is null": (None, ""),
    "status in lower case": (check("a", "success"), "/status"),
    "unknown status": (check("a", "RUNNING"), "/status"),
    "empty status": (check("a", ""), "/status"),
    "no status": ({"name": "a"}, "/status"),
    "status is null": ({"name": "a", "status": None}, "/status"),
    "status is a list": ({"name": "a", "status": ["SUCCESS"]}, "/status"),
    "no name": ({"status": "SUCCESS"}, "/name"),
    "name is null": ({"name": None, "status": "SUCCESS"}, "/name"),
    "empty name": (check(""), "/name"),
    "blank name": (check(" "), "/name"),
    "note is a number": (check("a") | {"note": 1}, "/note"),
    "suggestion is an object": (check("a") | {"handling_suggestion": {}}, "/handling_suggestion"),
}
VALID_RESULT = result(CHECKS)
OTHER_STATUSES = {
    "201": FakeResponse(201, VALID_RESULT),
    "202": FakeResponse(202, VALID_RESULT),
    "204": FakeResponse(204, b""),
    "206": FakeResponse(206, VALID_RESULT),
    "302": FakeResponse(302, b"", {"Location": "/"}),
    "304": FakeResponse(304, b""),
    "600": FakeResponse(600, {}),
    "200, HTML": FakeResponse(200, b"<html></html>", {"Content-Type": "text/html"}),
}


def assert_invalid(function: Function, fake_ddm: FakeDDM, ddm_response: FakeResponse, pointers: list[str]) -> None:
    """Let DDM send this response. Fail unless it causes `upstream-contract` with these pointers, without a retry."""
    fake_ddm.behaviours["invalid"] = lambda _: ddm_response
    response = function.send_event("invalid")
    assert (response.status, response.problem_code, response.pointers) == (502, "upstream-contract", pointers)
    assert response.body["upstream"]["status"] == ddm_response.status
    assert len(fake_ddm.requests) == 1


@pytest.mark.parametrize(("body", "pointers"), INVALID_BODIES.values(), ids=INVALID_BODIES)
def test_invalid_body(function: Function, fake_ddm: FakeDDM, body, pointers):
    """A body that is not strict JSON, or not a result of this job, is `upstream-contract`."""
    assert_invalid(function, fake_ddm, FakeResponse(200, body), pointers)


@pytest.mark.parametrize("index", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize(("value", "pointer"), INVALID_CHECKS.values(), ids=INVALID_CHECKS)
def test_invalid_check(function: Function, fake_ddm: FakeDDM, index, value, pointer):
    """One invalid check makes the whole result `upstream-contract`."""
    body = result([*(CHECKS * index), value])
    assert_invalid(function, fake_ddm, FakeResponse(200, body), [f"/pre_check_results/{index}{pointer}"])


@pytest.mark.parametrize("ddm_response", OTHER_STATUSES.values(), ids=OTHER_STATUSES)
def test_unexpected_response(function: Function, fake_ddm: FakeDDM, ddm_response):
    """Another status than 200 is `upstream-contract`, even with a valid result. So is HTML with status 200."""
    assert_invalid(function, fake_ddm, ddm_response, [])


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(("size", "status"), [(MAX_BYTES, 200), (MAX_BYTES + 1, 502)], ids=["max", "max + 1"])
def test_size(function: Function, fake_ddm: FakeDDM, size, status, compressed):
    """A body with more than 1 MiB after decompression is a problem."""
    text = json.dumps(VALID_RESULT).encode()
    body = text + b" " * (size - len(text))
    gzip_response = FakeResponse(200, gzip.compress(body), {"Content-Encoding": "gzip"})
    fake_ddm.behaviours["large"] = lambda _: gzip_response if compressed else FakeResponse(200, body)
    assert function.send_event("large").status == status


def test_lone_surrogate(function: Function, fake_ddm: FakeDDM):
    """A lone surrogate in DDM's result becomes a question mark, because strict JSON parsers reject lone surrogates."""
    body = json.dumps(result([{"name": "a\ud800", "status": "WARN"}])).encode()
    fake_ddm.behaviours["surrogate"] = lambda _: FakeResponse(200, body)
    assert function.send_event("surrogate").summary["checks"][0]["name"] == "a?"
