"""Contradictory results: an error beside the list of checks, or the same check twice."""

import pytest
from helpers.envelopes import push_body
from helpers.function import EVENT, Function

from testing.fake_behaviours import FakeResponse, check, results
from testing.fake_ddm import FakeDDM

ERROR_NAMES = ["error_code", "errCode", "errorCode", "code", "error_msg", "externalMessage", "errorMsg", "errorMessage"]
ERROR_NAMES += ["message", "error"]
EMPTY_VALUES = {"null": None, "empty string": "", "empty list": [], "empty object": {}}
OTHER_VALUES = {
    "text": "The precheck was aborted",
    "blank text": " ",
    "number": 200,
    "zero": 0,
    "false": False,
    "true": True,
    "list": [None],
    "object": {"code": None},
}
LISTS = {
    "all passed": [check("Primary keys"), check("Binlog")],
    "one failed": [check("Primary keys", "FAILED")],
    "empty": [],
    "null": None,
}


def send_with_result(function: Function, fake_ddm: FakeDDM, result: object, **fields: object):
    """Let DDM send this result with the job ID of the event, and return the response to the event."""
    body = {"job_id": EVENT["job_id"]} | result if isinstance(result, dict) else result
    fake_ddm.behaviours["contradiction"] = lambda _: FakeResponse(200, body)
    return function.send_event("contradiction", **fields)


@pytest.mark.parametrize("checks", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("name", ERROR_NAMES)
def test_error_beside_the_list(function: Function, fake_ddm: FakeDDM, name, checks):
    """An error code or an error message beside the list of checks is `upstream-contract`, for each list of checks."""
    response = send_with_result(function, fake_ddm, {"pre_check_results": checks, name: "The precheck was aborted"})
    assert (response.problem_code, response.pointers) == ("upstream-contract", [f"/{name}"])
    assert response.body["message"] == (
        f'DDM\'s response is not as documented: /{name} must be one of null, "", [], {{}}'
    )


@pytest.mark.parametrize("value", OTHER_VALUES.values(), ids=OTHER_VALUES)
@pytest.mark.parametrize("name", ["error_code", "error"])
def test_error_of_another_type(function: Function, fake_ddm: FakeDDM, name, value):
    """A value of any type is an error, unless it is empty."""
    response = send_with_result(function, fake_ddm, {"pre_check_results": LISTS["all passed"], name: value})
    assert (response.problem_code, response.pointers) == ("upstream-contract", [f"/{name}"])


def test_code_and_message_beside_the_list(function: Function, fake_ddm: FakeDDM):
    """Each error field has its pointer, and `can_proceed` is false although the event accepts the warning."""
    result = {"pre_check_results": [check("a", "WARN")], "error_code": "DBS.1", "error_msg": "aborted"}
    response = send_with_result(function, fake_ddm, result, proceed_on_warn=True)
    assert (response.problem_code, response.pointers) == ("upstream-contract", ["/error_code", "/error_msg"])
    assert response.body["can_proceed"] is False


@pytest.mark.parametrize("value", EMPTY_VALUES.values(), ids=EMPTY_VALUES)
@pytest.mark.parametrize("name", ERROR_NAMES)
def test_empty_error_beside_the_list(function: Function, fake_ddm: FakeDDM, name, value):
    """An empty error code or message is not an error."""
    result = {"pre_check_results": LISTS["all passed"], name: value}
    assert send_with_result(function, fake_ddm, result).summary["verdict"] == "PASS"


def test_error_names_within_a_check(function: Function, fake_ddm: FakeDDM):
    """Within a check, fields with these names are unknown fields, which are ignored."""
    checks = [check("a") | dict.fromkeys(ERROR_NAMES, "text")]
    assert send_with_result(function, fake_ddm, {"pre_check_results": checks}).summary["verdict"] == "PASS"


@pytest.mark.parametrize("statuses", [["SUCCESS", "SUCCESS"], ["WARN", "SUCCESS"]], ids=["PASS", "WARN"])
def test_same_check_twice(function: Function, fake_ddm: FakeDDM, statuses):
    """A check that is listed twice counts once for `expected_checks`, so the verdict is PENDING."""
    checks = [check("Primary keys", status) for status in statuses]
    fields = {"expected_checks": 2, "proceed_on_warn": True}
    summary = send_with_result(function, fake_ddm, {"pre_check_results": checks}, **fields).summary
    assert (summary["verdict"], summary["can_proceed"]) == ("PENDING", False)
    assert summary["message"] == "DDM lists 1 of at least 2 different checks; try again later"
    checks.append(check("Binlog"))
    summary = send_with_result(function, fake_ddm, {"pre_check_results": checks}, **fields).summary
    assert summary["can_proceed"]


def test_same_check_twice_in_an_event_delivery(function: Function, fake_ddm: FakeDDM):
    """While the list is not complete, the problem `pending` makes the broker retry."""
    fake_ddm.behaviours["twice"] = results(check("a"), check("a"))
    response = function.send(push_body(EVENT | {"db_name": "twice", "expected_checks": 2}))
    assert (response.status, response.problem_code) == (503, "pending")


def test_same_check_failed_and_succeeded(function: Function, fake_ddm: FakeDDM):
    """If a check is listed as FAILED and as SUCCESS, the verdict is FAIL."""
    checks = [check("a", "FAILED"), check("a")]
    summary = send_with_result(function, fake_ddm, {"pre_check_results": checks}, expected_checks=5).summary
    assert summary["verdict"] == "FAIL"
