"""Error responses of DDM, its gateway and IAM: each one becomes a problem."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, formatdate

import pytest
from helpers.function import TOKEN, Function

from testing.fake_behaviours import FakeResponse, error
from testing.fake_ddm import FakeDDM

NOT_FOUND_CODES = ["DBS.300400", "DBS.300129", "DBS.300379"]
UNAVAILABLE_CODES = ["DBS.300002", "DBS.300005", "DBS.200412", "DBS.300120", "DBS.300345", "DBS.300346"]
ERRORS = [
    (401, "APIGW.0307", {}, ("unauthorized", 401, None)),
    (403, "DBS.200011", {}, ("forbidden", 403, None)),
    (404, "APIGW.0101", {}, ("not-found", 404, None)),
    *((400, each, {}, ("not-found", 404, None)) for each in NOT_FOUND_CODES),
    (400, "DBS.280001", {}, ("rejected", 422, None)),
    (409, "DBS.300400", {}, ("rejected", 422, None)),
    (418, "x", {}, ("rejected", 422, None)),
    (429, "APIGW.0308", {}, ("throttled", 429, 60)),
    (429, "APIGW.0308", {"Retry_After": "7"}, ("throttled", 429, 7)),
    (500, "DBS.200001", {}, ("upstream-unavailable", 502, 10)),
    (501, "DBS.300400", {}, ("upstream-unavailable", 502, 10)),
    (599, "x", {}, ("upstream-unavailable", 502, 10)),
    *((400, each, {}, ("upstream-unavailable", 502, 10)) for each in UNAVAILABLE_CODES),
]
MESSAGES = {
    "rejected": "Check the event: DDM responded 400 DBS.280001 Parameter error.",
    "not_found": "Check the four IDs and the region: DDM responded 400 DBS.300400 The job does not exist.",
    "forbidden": (
        "Allow the token's user to read the DDM instance: DDM responded 403 DBS.200011 You do not have the permission."
    ),
    "throttled": "Send fewer requests: DDM responded 429 APIGW.0308 The throttling threshold has been reached.",
    "busy": "DDM is not available: DDM responded 400 DBS.300002 The instance is busy.",
    "broken": "DDM is not available: DDM responded 500 DBS.200001 Internal server error.",
    "another_job": "DDM's response is not as documented: /job_id is not the job_id of the event",
}


@pytest.mark.parametrize(
    ("status", "error_code", "headers", "problem"),
    ERRORS,
    ids=[" ".join([str(row[0]), row[1], *row[2]]) for row in ERRORS],
)
def test_error_becomes_a_problem(function: Function, fake_ddm: FakeDDM, status, error_code, headers, problem):
    """The status and `error_code` of DDM's response decide the problem. These errors are not retried."""
    fake_ddm.behaviours["error"] = error(status, error_code, "Parameter error.", **headers)
    response = function.send_event("error")
    assert (response.problem_code, response.status, response.body["retry_after_seconds"]) == problem
    assert response.body["upstream"] == {
        "status": status,
        "error_code": error_code,
        "error_msg": "Parameter error.",
        "request_id": response.log_entry["upstream"]["request_id"],
    }
    assert len(fake_ddm.requests) == 1


@pytest.mark.parametrize(("db_name", "message"), MESSAGES.items(), ids=MESSAGES)
def test_message(function: Function, db_name, message):
    """The message has DDM's error and advice for the caller."""
    assert function.send_event(db_name).body["message"] == message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        pytest.param(lambda: "0", {0}, id="zero"),
        pytest.param(lambda: "120", {120}, id="seconds"),
        pytest.param(lambda: "000000000120", {120}, id="leading zeros"),
        pytest.param(lambda: "999999", {86400}, id="above the max"),
        pytest.param(lambda: "9" * 5000, {86400}, id="5000 digits"),
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
def test_retry_after(function: Function, fake_ddm: FakeDDM, value, seconds):
    """The value of a valid `Retry-After` is used, at most one day. Without a valid one, the value is 60 seconds."""
    fake_ddm.behaviours["wait"] = error(429, "APIGW.0308", "x", Retry_After=value())
    assert function.send_event("wait").body["retry_after_seconds"] in seconds


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        pytest.param({"error_code": "DBS.1", "error_msg": "a"}, "DBS.1", "a", id="error_msg"),
        pytest.param({"errCode": "DBS.1", "externalMessage": "a"}, "DBS.1", "a", id="externalMessage"),
        pytest.param({"errorCode": "DBS.1", "errorMsg": "a"}, "DBS.1", "a", id="errorMsg"),
        pytest.param({"errorCode": "DBS.1", "errorMessage": "a"}, "DBS.1", "a", id="errorMessage"),
        pytest.param({"code": "DBS.1", "message": "a"}, "DBS.1", "a", id="message"),
        pytest.param(
            {"error": {"code": 401, "message": "a", "title": "Unauthorized"}}, "401", "a", id="nested, integer code"
        ),
        pytest.param({"error": {"error_code": "DBS.1", "error_msg": "a"}}, "DBS.1", "a", id="nested error_msg"),
        pytest.param(
            {"error": {"errCode": "DBS.1", "externalMessage": "a"}}, "DBS.1", "a", id="nested externalMessage"
        ),
        pytest.param({"error": "text"}, None, None, id="error is a string"),
        pytest.param({"error_code": True, "error_msg": ["a"]}, None, None, id="wrong types"),
        pytest.param({"error_code": "", "error_msg": " \n"}, None, None, id="white space"),
        pytest.param({"error_code": "DBS.1", "error_msg": "two\r\nlines"}, "DBS.1", "two lines", id="two lines"),
        pytest.param({"error_code": "DBS.1", "error_msg": "a" * 5000}, "DBS.1", "a" * 1000, id="too long"),
        pytest.param([{"error_code": "DBS.1"}], None, None, id="list"),
        pytest.param(b"<html><body>401</body></html>", None, None, id="HTML"),
        pytest.param(b"", None, None, id="empty"),
        pytest.param(b"\xff", None, None, id="invalid UTF-8"),
        pytest.param(b"[" * 100_000, None, None, id="nested too deeply"),
    ],
)
def test_error_body(function: Function, fake_ddm: FakeDDM, body, code, message):
    """The error code and message are read from each known format. For any other body, they are null."""
    fake_ddm.behaviours["error_body"] = lambda _: FakeResponse(401, body)
    response = function.send_event("error_body")
    upstream = response.body["upstream"]
    assert (response.problem_code, upstream["error_code"], upstream["error_msg"]) == ("unauthorized", code, message)


@pytest.mark.parametrize(
    ("header", "field", "request_id"),
    [
        pytest.param("r-1", None, "r-1", id="header"),
        pytest.param(None, "r-2", "r-2", id="field"),
        pytest.param("r-1", "r-2", "r-1", id="both"),
        pytest.param(None, 7, None, id="field is a number"),
        pytest.param("two words", None, None, id="header with a space"),
        pytest.param("r" * 129, None, None, id="header too long"),
        pytest.param(f"r-{TOKEN}", None, None, id="header contains the token"),
        pytest.param("two words", "r-2", "r-2", id="invalid header, valid field"),
        pytest.param(f"r-{TOKEN}", "r-2", "r-2", id="header contains the token, valid field"),
        pytest.param(None, f"r-{TOKEN}", None, id="field contains the token"),
        pytest.param(None, None, None, id="neither"),
    ],
)
def test_request_id(function: Function, fake_ddm: FakeDDM, header, field, request_id):
    """The request ID is the first valid value of the header and the body's field. Without one, it is null."""
    body = {"error_code": "x"} | ({"request_id": field} if field else {})
    fake_ddm.behaviours["request_id"] = lambda _: FakeResponse(403, body, {"X-Request-Id": header or ""})
    assert function.send_event("request_id").body["upstream"]["request_id"] == request_id
