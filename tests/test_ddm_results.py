"""Results of DDM: only a response with status 200 and a valid, consistent result of this job becomes a verdict."""

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


def result(checks: Any, **fields: Any) -> dict[str, Any]:
    return {"job_id": JOB_ID, "pre_check_results": checks} | fields


NO_RESULT = {"error_code": "DBS.280001", "error_msg": "Parameter error."}
INVALID_BODIES: dict[str, tuple[Any, list[str]]] = {
    "empty": (b"", []),
    "HTML": (b"<html></html>", []),
    "truncated": (b'{"pre_check_results": [', []),
    "list twice": (b'{"pre_check_results": [], "pre_check_results": []}', []),
    "status twice": (b'{"pre_check_results": [{"name": "a", "status": "FAILED", "status": "SUCCESS"}]}', []),
    "NaN": (b'{"pre_check_results": [], "x": NaN}', []),
    "nested too deeply": (b"[" * 100_000, []),
    "valid but for a deep value": (json.dumps(result(CHECKS))[:-1].encode() + b',"a":' + b"[" * 50_000, []),
    "invalid UTF-8": (b"\xff", []),
    "number of 5000 digits": (b"1" * 5000, []),
    "error": (NO_RESULT, ["/job_id", "/pre_check_results", "/error_code", "/error_msg"]),
    "empty object": ({}, ["/job_id", "/pre_check_results"]),
    "body is a list": (CHECKS, [""]),
    "body is null": (None, [""]),
    "body is a string": ("PASS", [""]),
    "object instead of the list": (result({}), ["/pre_check_results"]),
    "string instead of the list": (result("SUCCESS"), ["/pre_check_results"]),
    "thirty empty checks": (result([{}] * 30), TWENTY_POINTERS),
    "another job": (result(CHECKS, job_id="other"), ["/job_id"]),
    "job_id in upper case": (result(CHECKS, job_id=JOB_ID.upper()), ["/job_id"]),
    "job_id is empty": (result(CHECKS, job_id=""), ["/job_id"]),
    "job_id is null": (result(CHECKS, job_id=None), ["/job_id"]),
    "no job_id": ({"pre_check_results": CHECKS}, ["/job_id"]),
    "1,001 checks": (result(CHECKS * 1001), ["/pre_check_results"]),
}
INVALID_CHECKS: dict[str, tuple[Any, str]] = {
    "check is a list": ([], ""),
    "check is null": (None, ""),
    "status in lower case": (check("a", "success"), "/status"),
    "unknown status": (check("a", "RUNNING"), "/status"),
    "empty status": (check("a", ""), "/status"),
    "no status": ({"name": "a"}, "/status"),
    "status is null": ({"name": "a", "status": None}, "/status"),
    "status is a list": ({"name": "a", "status": ["SUCCESS"]}, "/status"),
    "status is true": ({"name": "a", "status": True}, "/status"),
    "no name": ({"status": "SUCCESS"}, "/name"),
    "name is null": ({"name": None, "status": "SUCCESS"}, "/name"),
    "empty name": (check(""), "/name"),
    "blank name": (check(" "), "/name"),
    "note is a number": (check("a") | {"note": 1}, "/note"),
    "suggestion is an object": (check("a") | {"handling_suggestion": {}}, "/handling_suggestion"),
}
OTHER_RESPONSES = {
    "201": FakeResponse(201, result(CHECKS)),
    "202": FakeResponse(202, result(CHECKS)),
    "204": FakeResponse(204, b""),
    "206": FakeResponse(206, result(CHECKS)),
    "302": FakeResponse(302, b"", {"Location": "/"}),
    "304": FakeResponse(304, b""),
    "600": FakeResponse(600, {}),
    "over 1 MiB": FakeResponse(200, json.dumps(result(CHECKS)).encode() + b" " * MAX_BYTES),
    "gzip": FakeResponse(200, gzip.compress(json.dumps(result(CHECKS)).encode()), {"Content-Encoding": "gzip"}),
    "said to be br": FakeResponse(200, result(CHECKS), {"Content-Encoding": "br"}),
}
ERROR_NAMES = ["error_code", "errCode", "errorCode", "code", "error_msg", "externalMessage", "errorMsg", "errorMessage"]
ERROR_NAMES += ["message", "error"]


def assert_contract(function: Function, fake_ddm: FakeDDM, ddm_response: FakeResponse, pointers: list[str]) -> None:
    """Let DDM send this response. Fail unless it causes `upstream-contract` with these pointers, without a retry."""
    fake_ddm.behaviours["invalid"] = lambda _: ddm_response
    response = function.send_event("invalid", proceed_on_warn=True, pre_check_results=[check("a")])
    assert response.problem_code == "upstream-contract"
    assert response.pointers == pointers
    assert response.body["retry_after_seconds"] == 10
    assert response.body["upstream"]["status"] == ddm_response.status
    assert len(fake_ddm.requests) == 1


@pytest.mark.parametrize(("body", "pointers"), INVALID_BODIES.values(), ids=INVALID_BODIES)
def test_invalid_body(function: Function, fake_ddm: FakeDDM, body, pointers):
    assert_contract(function, fake_ddm, FakeResponse(200, body), pointers)


@pytest.mark.parametrize("index", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize(("value", "pointer"), INVALID_CHECKS.values(), ids=INVALID_CHECKS)
def test_invalid_check(function: Function, fake_ddm: FakeDDM, index, value, pointer):
    body = result([*(CHECKS * index), value])
    assert_contract(function, fake_ddm, FakeResponse(200, body), [f"/pre_check_results/{index}{pointer}"])


@pytest.mark.parametrize("ddm_response", OTHER_RESPONSES.values(), ids=OTHER_RESPONSES)
def test_unexpected_response(function: Function, fake_ddm: FakeDDM, ddm_response):
    assert_contract(function, fake_ddm, ddm_response, [])


@pytest.mark.parametrize("value", ["aborted", " ", 200, 0, False, True, [None], {"code": None}], ids=repr)
@pytest.mark.parametrize("name", ERROR_NAMES)
def test_error_beside_the_list(function: Function, fake_ddm: FakeDDM, name, value):
    for checks in (CHECKS, [check("a", "FAILED")], [], None):
        fake_ddm.requests.clear()
        assert_contract(function, fake_ddm, FakeResponse(200, result(checks, **{name: value})), [f"/{name}"])


@pytest.mark.parametrize("value", [None, "", [], {}], ids=repr)
@pytest.mark.parametrize("name", ERROR_NAMES)
def test_empty_error_beside_the_list_is_not_an_error(function: Function, fake_ddm: FakeDDM, name, value):
    fake_ddm.behaviours["empty"] = lambda _: FakeResponse(200, result(CHECKS, **{name: value}))
    assert function.send_event("empty").verdict == "PASS"


def test_error_names_within_a_check_are_unknown_fields(function: Function, fake_ddm: FakeDDM):
    fake_ddm.behaviours["inner"] = lambda _: FakeResponse(200, result([check("a") | dict.fromkeys(ERROR_NAMES, "x")]))
    assert function.send_event("inner").verdict == "PASS"


def test_check_that_failed_and_succeeded_is_failed(function: Function, fake_ddm: FakeDDM):
    fake_ddm.behaviours["both"] = lambda _: FakeResponse(200, result([check("a", "FAILED"), check("a")]))
    assert function.send_event("both", expected_checks=5).verdict == "FAIL"


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}, {"Content-Type": "text/plain"}], ids=str)
def test_result_of_maximum_size(function: Function, fake_ddm: FakeDDM, headers):
    text = json.dumps(result(CHECKS)).encode()
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, text + b" " * (MAX_BYTES - len(text)), headers)
    assert function.send_event("large").verdict == "PASS"


@pytest.mark.parametrize("depth", [100, 500, 900, 2000, 50_000])
def test_deep_unknown_value(function: Function, fake_ddm: FakeDDM, depth):
    """Whether a depth can be parsed depends on Python."""
    deep = b'{"a":' * depth + b'"\\u0061"' + b"}" * depth
    body = json.dumps(result(CHECKS))[:-1].encode() + b',"more":' + deep + b"}"
    fake_ddm.behaviours["deep"] = lambda _: FakeResponse(200, body)
    assert function.send_event("deep").outcome in {"PASS", "upstream-contract"}


def test_deep_value_of_the_wrong_type(function: Function, fake_ddm: FakeDDM):
    """Depending on the depth, parsing or validation fails."""
    for depth in range(800, 1000, 5):
        name = b"[" * depth + b"]" * depth
        body = b'{"pre_check_results":[{"status":"SUCCESS","name":' + name + b"}]}"
        fake_ddm.behaviours["deep"] = lambda _, body=body: FakeResponse(200, body)
        assert function.send_event("deep").problem_code == "upstream-contract"
