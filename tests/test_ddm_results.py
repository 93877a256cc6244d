"""Results of DDM: only a response with status 200 and a valid, consistent result of this job becomes a verdict."""

import json
import re
from typing import Any, Final

import pytest
from helpers.function import EVENT, Function, FunctionResponse

from testing.fake_behaviours import PRIMARY_KEYS, FakeResponse, check
from testing.fake_ddm import FakeDDM

MAX_BYTES = 1024 * 1024
JOB_ID = EVENT["job_id"]
CHECKS = [PRIMARY_KEYS]
TWENTY_POINTERS = [f"/pre_check_results/{number}/{name}" for number in range(10) for name in ("name", "status")]


def result(checks: Any, **fields: Any) -> dict[str, Any]:
    return {"job_id": JOB_ID, "pre_check_results": checks} | fields


INVALID_BODIES: Final[dict[str, dict[str, Any]]] = {
    "it is not valid JSON at line 1, column 1": {"empty": b"", "HTML": b"<html></html>"},
    "it is not valid JSON at line 1, column 24": {"truncated": b'{"pre_check_results": ['},
    "it is not UTF-8 at byte 0": {"invalid UTF-8": b"\xff"},
    "it is nested too deeply": {
        "brackets": b"[" * 100_000,
        "valid but for a deep value": json.dumps(result(CHECKS))[:-1].encode() + b',"a":' + b"[" * 50_000,
    },
    "it contains a number that is too long": {"number of 5000 digits": b"1" * 5000},
    "NaN is not JSON": {"NaN": b'{"pre_check_results": [], "x": NaN}'},
    "an object has a duplicate key": {
        "list twice": b'{"pre_check_results": [], "pre_check_results": []}',
        "status twice": b'{"pre_check_results": [{"name": "a", "status": "FAILED", "status": "SUCCESS"}]}',
    },
    "the body must be an object": {"body is a list": CHECKS, "body is a string": "PASS"},
    "the body is null; it must be an object": {"body is null": None},
    "/job_id is required": {"no job_id": {"pre_check_results": CHECKS}},
    "/job_id is null; it must be a string": {"job_id is null": result(CHECKS, job_id=None)},
    "/job_id is not the job_id of the event": {
        "another job": result(CHECKS, job_id="other"),
        "job_id in upper case": result(CHECKS, job_id=JOB_ID.upper()),
        "job_id is empty": result(CHECKS, job_id=""),
    },
    "/pre_check_results is required": {"no list": {"job_id": JOB_ID}},
    "/pre_check_results must be a list or null": {
        "object instead of the list": result({}),
        "string instead of the list": result("SUCCESS"),
    },
    "/pre_check_results must have at most 1000 items": {"1,001 checks": result(CHECKS * 1001)},
}
INVALID_CHECKS: Final[dict[str, dict[str, Any]]] = {
    " must be an object": {"check is a list": []},
    " is null; it must be an object": {"check is null": None},
    "/status must be one of SUCCESS, FAILED, WARN": {
        "status in lower case": check("a", "success"),
        "unknown status": check("a", "RUNNING"),
        "empty status": check("a", ""),
        "status is null": {"name": "a", "status": None},
        "status is a list": {"name": "a", "status": ["SUCCESS"]},
        "status is true": {"name": "a", "status": True},
    },
    "/status is required": {"no status": {"name": "a"}},
    "/name is required": {"no name": {"status": "SUCCESS"}},
    "/name is null; it must be a string": {"name is null": {"name": None, "status": "SUCCESS"}},
    "/name must not be blank": {"empty name": check(""), "blank name": check(" ")},
    "/note must be a string or null": {"note is a number": check("a") | {"note": 1}},
    "/handling_suggestion must be a string or null": {
        "suggestion is an object": check("a") | {"handling_suggestion": {}}
    },
    "/error_message must be a string or null": {"error is a list": check("a") | {"error_message": []}},
}
OTHER_RESPONSES: Final = {
    "it has the status 201": FakeResponse(201, result(CHECKS)),
    "it has the status 204": FakeResponse(204, b""),
    "it has the status 302": FakeResponse(302, b"", {"Location": "/"}),
    "it has the status 600": FakeResponse(600, {}),
    "it is over 1048576 bytes": FakeResponse(200, json.dumps(result(CHECKS)).encode() + b" " * MAX_BYTES),
    "it has a Content-Encoding, although none was requested": FakeResponse(
        200, result(CHECKS), {"Content-Encoding": "br"}
    ),
}
ERROR_NAMES = ["error_code", "errCode", "errorCode", "code", "error_msg", "externalMessage", "errorMsg", "errorMessage"]
ERROR_NAMES += ["message", "error"]
NO_RESULT = {"error_code": "DBS.280001", "error_msg": "Parameter error."}


def rows(table: dict[str, dict[str, Any]]) -> list[Any]:
    """Return the value and the reason for each entry of a table."""
    return [pytest.param(value, reason, id=name) for reason, values in table.items() for name, value in values.items()]


def contract_problem(function: Function, fake_ddm: FakeDDM, ddm_response: FakeResponse) -> FunctionResponse:
    """Let DDM send this response, which must cause `upstream-contract` without a retry, and return the problem."""
    fake_ddm.behaviours["invalid"] = lambda _: ddm_response
    response = function.send_event("invalid", proceed_on_warn=True, pre_check_results=[check("a")])
    assert response.problem_code == "upstream-contract"
    assert response.body["retry_after_seconds"] == 10
    assert response.body["upstream"]["status"] == ddm_response.status
    assert len(fake_ddm.requests) == 1
    return response


@pytest.mark.parametrize(("body", "reason"), rows(INVALID_BODIES))
def test_invalid_body(function: Function, fake_ddm: FakeDDM, body, reason):
    response = contract_problem(function, fake_ddm, FakeResponse(200, body))
    assert response.message == f"Unexpected response from DDM: {reason}"
    assert response.pointers == ([re.sub("(the body)? .*", "", reason)] if reason.startswith(("/", "the")) else [])


@pytest.mark.parametrize(("value", "fault"), rows(INVALID_CHECKS))
def test_invalid_check(function: Function, fake_ddm: FakeDDM, value, fault):
    response = contract_problem(function, fake_ddm, FakeResponse(200, result([*CHECKS, value])))
    assert response.message == f"Unexpected response from DDM: /pre_check_results/1{fault}"
    assert response.pointers == [f"/pre_check_results/1{fault.partition(' ')[0]}"]


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/job_id", "/pre_check_results"]),
        (NO_RESULT, ["/job_id", "/pre_check_results", "/error_code", "/error_msg"]),
        (result([{}] * 30), TWENTY_POINTERS),
    ],
    ids=["empty object", "error", "thirty empty checks"],
)
def test_several_violations(function: Function, fake_ddm: FakeDDM, body, pointers):
    assert contract_problem(function, fake_ddm, FakeResponse(200, body)).pointers == pointers


@pytest.mark.parametrize(("reason", "ddm_response"), OTHER_RESPONSES.items(), ids=OTHER_RESPONSES)
def test_unexpected_response(function: Function, fake_ddm: FakeDDM, reason, ddm_response):
    response = contract_problem(function, fake_ddm, ddm_response)
    assert response.message == f"Unexpected response from DDM: {reason}"
    assert response.pointers == []


@pytest.mark.parametrize("value", ["aborted", " ", 200, 0, False, True, [None], {"code": None}], ids=repr)
@pytest.mark.parametrize("name", ERROR_NAMES)
def test_error_beside_the_list(function: Function, fake_ddm: FakeDDM, name, value):
    for checks in (CHECKS, [check("a", "FAILED")], [], None):
        fake_ddm.requests.clear()
        response = contract_problem(function, fake_ddm, FakeResponse(200, result(checks, **{name: value})))
        assert response.message == f'Unexpected response from DDM: /{name} must be one of null, "", [], {{}}'


@pytest.mark.parametrize("value", [None, "", [], {}], ids=repr)
@pytest.mark.parametrize("name", ERROR_NAMES)
def test_empty_error_beside_the_list_is_not_an_error(function: Function, fake_ddm: FakeDDM, name, value):
    fake_ddm.behaviours["empty"] = lambda _: FakeResponse(200, result(CHECKS, **{name: value}))
    assert function.send_event("empty").verdict == "PASS"


def test_error_names_within_a_check_are_unknown_fields(function: Function, fake_ddm: FakeDDM):
    fake_ddm.behaviours["inner"] = lambda _: FakeResponse(
        200, result([check("a") | dict.fromkeys(ERROR_NAMES, "x")], total=1)
    )
    assert function.send_event("inner").verdict == "PASS"


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "identity"}, {"Content-Type": "text/plain"}], ids=str)
def test_result_of_maximum_size(function: Function, fake_ddm: FakeDDM, headers):
    text = json.dumps(result(CHECKS)).encode()
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, text + b" " * (MAX_BYTES - len(text)), headers)
    assert function.send_event("large").verdict == "PASS"


def test_deep_value_of_the_wrong_type(function: Function, fake_ddm: FakeDDM):
    """Depending on the depth, parsing or validation fails."""
    for depth in range(800, 1000, 5):
        name = b"[" * depth + b"]" * depth
        body = b'{"pre_check_results":[{"status":"SUCCESS","name":' + name + b"}]}"
        fake_ddm.behaviours["deep"] = lambda _, body=body: FakeResponse(200, body)
        assert function.send_event("deep").problem_code == "upstream-contract"
