"""Error responses of DDM, its gateway, IAM and proxies: each becomes a problem that says what to do."""

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate

import pytest
from helpers.function import PROBLEM_VALIDATOR, TOKEN, Function

from ddm_precheck.problem import ProblemCode
from testing.fake_behaviours import FakeResponse, error
from testing.fake_ddm import FakeDDM

NOT_FOUND_CODES = ["DBS.300400", "DBS.300129", "DBS.300379"]
UNAVAILABLE_CODES = ["DBS.300002", "DBS.300005", "DBS.200412", "DBS.300120", "DBS.300345", "DBS.300346"]
HTML = b"<!DOCTYPE html><html><body>Blocked by policy</body></html>"

NEW_TOKEN = "get a new token for the project's region (a token is valid for 24 hours)"
NO_API = "this region or endpoint does not offer the API; check the region and DDM_ENDPOINT"
# Status and error code of DDM; code, status and seconds of the problem; the advice in its message.
ERRORS = [
    (401, "APIGW.0307", "unauthorized", 401, None, NEW_TOKEN),
    (403, "DBS.200011", "forbidden", 403, None, "allow the token's user to read the DDM instance"),
    (404, "DBS.1", "not-found", 404, None, "check the four IDs and the region"),
    (404, "APIGW.0101", "not-found", 404, None, NO_API),
    *((400, each, "not-found", 404, None, "check the four IDs and the region") for each in NOT_FOUND_CODES),
    (400, "DBS.280001", "rejected", 422, None, "check the event"),
    (401, "APIGW.0101", "unauthorized", 401, None, NEW_TOKEN),
    (400, "APIGW.0101", "rejected", 422, None, "check the event"),
    (409, "DBS.300400", "rejected", 422, None, "check the event"),
    (418, "x", "rejected", 422, None, "check the event"),
    (407, "x", "upstream-unavailable", 502, 10, "a proxy requires authentication"),
    (429, "APIGW.0308", "throttled", 429, 60, "slow down"),
    (500, "DBS.200001", "upstream-unavailable", 502, 10, "try again later"),
    (501, "DBS.300400", "upstream-unavailable", 502, 10, "try again later"),
    (599, "x", "upstream-unavailable", 502, 10, "try again later"),
    *((400, each, "upstream-unavailable", 502, 10, "try again later") for each in UNAVAILABLE_CODES),
]


@pytest.mark.parametrize(("ddm_status", "error_code", "code", "status", "seconds", "advice"), ERRORS)
def test_error_becomes_a_problem(
    function: Function, fake_ddm: FakeDDM, ddm_status, error_code, code, status, seconds, advice
):
    fake_ddm.behaviours["error"] = error(ddm_status, error_code, "Parameter error.")
    response = function.send_event("error")
    assert response.problem_code == code
    assert response.status == status
    assert response.body["retry_after_seconds"] == seconds
    assert response.message == f"DDM responded {ddm_status} {error_code} Parameter error; {advice}"
    upstream = response.body["upstream"]
    assert upstream.pop("request_id") == response.log_entry["upstream"]["request_id"]
    assert upstream == {"status": ddm_status, "attempts": 1, "error_code": error_code, "error_msg": "Parameter error."}
    assert len(fake_ddm.requests) == 1


def test_each_code_is_in_the_json_schema():
    assert {code.value for code in ProblemCode} == set(PROBLEM_VALIDATOR.schema["properties"]["code"]["enum"])


@pytest.mark.parametrize("status", [400, 401, 403, 404, 418, 429, 502])
@pytest.mark.parametrize(
    ("body", "headers"),
    [(HTML, {}), (b"\n <html>", {}), (b"<?xml version='1.0'?>", {}), (b"Blocked", {"Content-Type": "Text/HTML"})],
    ids=["HTML", "line break before HTML", "XML", "Content-Type"],
)
def test_page_of_a_firewall_or_proxy(function: Function, fake_ddm: FakeDDM, status, body, headers):
    fake_ddm.behaviours["page"] = lambda _: FakeResponse(status, body, headers)
    reason = "the response is a web page, so it is not from DDM: a firewall or proxy answered"
    assert function.send_event("page").message == f"DDM responded {status}; {reason}"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(lambda: "0", {0}, id="zero"),
        pytest.param(lambda: "120", {120}, id="seconds"),
        pytest.param(lambda: "000000000120", {120}, id="leading zeros"),
        pytest.param(lambda: "999999", {86400}, id="above the maximum"),
        pytest.param(lambda: "9" * 5000, {60}, id="5000 digits"),
        pytest.param(lambda: "-5", {60}, id="negative"),
        pytest.param(lambda: "1.5", {60}, id="fraction"),
        pytest.param(lambda: "soon", {60}, id="word"),
        pytest.param(lambda: "", {60}, id="empty"),
        pytest.param(
            lambda: format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True), {88, 89, 90}, id="date"
        ),
        pytest.param(lambda: formatdate(0, usegmt=True), {1}, id="past date"),
        pytest.param(lambda: "Fri, 31 Dec 9999 23:59:59 GMT", {86400}, id="far date"),
        pytest.param(lambda: "Fri, 31 Dec 2099 23:59:59 -0000", {60}, id="date without a time zone"),
    ],
)
def test_retry_after_of_ddm(function: Function, fake_ddm: FakeDDM, value, seconds):
    fake_ddm.behaviours["wait"] = error(429, "APIGW.0308", "x", Retry_After=value())
    assert function.send_event("wait").body["retry_after_seconds"] in seconds


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error_code": "DBS.1", "error_msg": "a"}, "DBS.1", "a"),
        ({"errCode": "DBS.1", "externalMessage": "a"}, "DBS.1", "a"),
        ({"errorCode": "DBS.1", "errorMsg": "a"}, "DBS.1", "a"),
        ({"errorCode": "DBS.1", "errorMessage": "a"}, "DBS.1", "a"),
        ({"code": "DBS.1", "message": "a"}, "DBS.1", "a"),
        ({"error": {"code": 401, "message": "a", "title": "Unauthorized"}}, "401", "a"),
        ({"error": {"error_code": "DBS.1", "error_msg": "a"}, "request_id": "r"}, "DBS.1", "a"),
        ({"forbidden": {"code": 403, "message": "a"}}, "403", "a"),
        ({"itemNotFound": {"code": 404, "message": "a"}}, "404", "a"),
        ({"badRequest": {"message": "a"}}, None, "a"),
        ({"fault": {"faultstring": "a"}}, None, None),
        ({"error": "text"}, None, None),
        ({"error_code": True, "error_msg": ["a"]}, None, None),
        ({"error_code": "", "error_msg": " \n"}, None, None),
        ({"error_code": "DBS.1", "error_msg": "two\r\nlines"}, "DBS.1", "two lines"),
        ({"error_code": "DBS.1", "error_msg": "a" * 5000}, "DBS.1", "a" * 1000),
        ([{"error_code": "DBS.1"}], None, None),
        ({}, None, None),
        (b"", None, None),
        (b"\xff", None, None),
        (b"[" * 100_000, None, None),
    ],
    ids=lambda value: None if value is None else repr(value)[:40].replace("\\", ""),
)
def test_format_of_an_error(function: Function, fake_ddm: FakeDDM, body, code, message):
    fake_ddm.behaviours["error_body"] = lambda _: FakeResponse(401, body)
    response = function.send_event("error_body")
    assert response.problem_code == "unauthorized"
    assert response.body["upstream"]["error_code"] == code
    assert response.body["upstream"]["error_msg"] == message
    words = " ".join(filter(None, ["DDM responded 401", code, message]))
    assert response.message == f"{words}; {NEW_TOKEN}"


@pytest.mark.parametrize(
    ("header", "field", "request_id"),
    [
        ("r-1", None, "r-1"),
        (None, "r-2", "r-2"),
        ("r-1", "r-2", "r-1"),
        (None, 7, None),
        ("two words", None, None),
        ("two words", "r-2", "r-2"),
        ("r" * 128, None, "r" * 128),
        ("r" * 129, "r-2", "r-2"),
        (TOKEN, "r-2", "r-2"),
        (None, TOKEN, None),
        (None, None, None),
    ],
    ids=range(11),
)
def test_request_id_of_an_error(function: Function, fake_ddm: FakeDDM, header, field, request_id):
    body = {"error_code": "x"} | ({"request_id": field} if field else {})
    fake_ddm.behaviours["request_id"] = lambda _: FakeResponse(
        403, json.dumps(body).encode(), {"X-Request-Id": header or ""}
    )
    assert function.send_event("request_id").body["upstream"]["request_id"] == request_id


def test_bug_is_the_problem_internal(function: Function, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("ddm_precheck.ddm.Client.fetch", fail)
    response = function.send_event(headers={"Accept": "application/problem+json"})
    assert response.problem_code == "internal"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.message == "Internal error; see the function log"
    assert response.body["retry_after_seconds"] == 10
    assert response.log_entry["severity"] == "ERROR"
    assert response.log_entry["job_id"]
    kind, innermost, *_, outermost = response.log_entry["exception"].split(" < ")
    line = fail.__code__.co_firstlineno + 1
    assert kind == "RuntimeError"
    assert innermost == f"tests/test_ddm_errors.py:{line} in fail"
    assert outermost.startswith("ddm_precheck/app.py:")
