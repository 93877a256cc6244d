"""The log line. `Function.send` requires exactly one line with all mandatory fields for every request."""

import io
import itertools
import json
import sys

import pytest
from helpers.function import EVENT, Function, serve_function

from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.sockets
def test_entry_of_a_summary(function: Function):
    response = function.send_event("fail", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    log = response.log_entry
    assert isinstance(log.pop("duration_ms"), int)
    assert isinstance(log["upstream"].pop("elapsed_ms"), int)
    assert log == {
        "severity": "INFO",
        "message": response.message,
        "verdict": "FAIL",
        "code": None,
        "http_status": 200,
        "project_id": EVENT["project_id"],
        "instance_id": EVENT["instance_id"],
        "db_name": "fail",
        "job_id": EVENT["job_id"],
        "upstream": {"status": 200, "attempts": 1, "request_id": response.body["upstream"]["request_id"]},
        "token_from": "event",
        "trace": TRACE,
    }


@pytest.mark.sockets
def test_entry_of_an_invalid_event(function: Function):
    log = function.send(b"{").log_entry
    assert log["severity"] == "WARNING"
    assert log["verdict"] == "ERROR"
    assert log["code"] == "invalid-event"
    assert log["job_id"] is log["upstream"] is log["token_from"] is None


@pytest.mark.parametrize(
    ("db_name", "severity"),
    [("unauthorized", "WARNING"), ("throttled", "WARNING"), ("broken", "ERROR"), ("running", "ERROR")],
)
def test_severity_depends_on_whose_fault_it_is(function: Function, db_name, severity):
    assert function.send_event(db_name).log_entry["severity"] == severity


def test_duration_includes_the_time_of_the_request_to_ddm(function: Function):
    log = function.send_event("slow").log_entry
    assert 300 <= log["upstream"]["elapsed_ms"] <= log["duration_ms"] < 3000


def test_elapsed_time_is_in_milliseconds(start, monkeypatch):
    """In this test, the clock advances by 7 seconds each time it is read."""
    function = start(DDM_TIMEOUT_SECONDS="3600")
    clock = itertools.count()
    monkeypatch.setattr("ddm_precheck.ddm.monotonic", lambda: next(clock) * 7.0)
    milliseconds = function.send_event().log_entry["upstream"]["elapsed_ms"]
    assert 0 < milliseconds < 70_000
    assert milliseconds % 7000 == 0


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        ({"X-Cloud-Trace-Context": f"{TRACE}/123;o=1"}, TRACE),
        ({"X-Cloud-Trace-Context": TRACE}, TRACE),
        ({"X-Cloud-Trace-Context": "x"}, None),
        ({"X-Cloud-Trace-Context": TRACE + "0"}, None),
        ({"traceparent": "x", "X-Cloud-Trace-Context": TRACE}, TRACE),
        ({"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Cloud-Trace-Context": "a" * 32}, TRACE),
        ({}, None),
    ],
)
@pytest.mark.parametrize("body", [EVENT, b"{", b" " * 300_000], ids=["event", "not JSON", "too large"])
def test_trace(function: Function, headers, trace, body):
    assert function.send(body, headers=headers).log_entry["trace"] == trace


def test_line_breaks_in_a_name_do_not_end_the_line(function: Function, fake_ddm: FakeDDM):
    name = 'a\r\n{"severity": "ERROR"}\u2028\u0085\x00b'
    fake_ddm.behaviours["lines"] = results(check(name, "WARN"))
    response = function.send_event("lines", accepted_warnings=[name])
    assert response.log_entry["accepted_warnings"] == [name]


def test_all_accepted_warnings_are_listed(function: Function, fake_ddm: FakeDDM):
    names = [f"{number}" + "\U0001f511" * 198 for number in range(10, 60)]
    fake_ddm.behaviours["names"] = results(*(check(name, "WARN") for name in names))
    assert function.send_event("names", accepted_warnings=names).log_entry["accepted_warnings"] == names


class BrokenStdout(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def closed_stdout() -> io.StringIO:
    stdout = io.StringIO()
    stdout.close()
    return stdout


@pytest.mark.parametrize("stdout", [None, closed_stdout(), BrokenStdout()], ids=["none", "closed", "broken pipe"])
def test_stdout_that_cannot_be_written_changes_no_response(start, monkeypatch, stdout):
    function = start()
    for db_name, status in [("pass", 200), ("throttled", 429)]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            response = function.exchange("POST", json.dumps(EVENT | {"db_name": db_name}).encode(), {})
        assert response.status == status


@pytest.mark.parametrize("execution_id", ["", "true"])
@pytest.mark.no_mutation
def test_closed_stdout_of_the_served_function(fake_ddm: FakeDDM, tmp_path, execution_id):
    environment = {"DDM_ENDPOINT": fake_ddm.url, "LOG_EXECUTION_ID": execution_id}
    with serve_function(environment, tmp_path, prefix=["/bin/sh", "-c", 'exec "$@" >&-', "sh"]) as function:
        for db_name, status in [("pass", 200), ("pass", 200), ("throttled", 429)]:
            response = function.exchange("POST", json.dumps(EVENT | {"db_name": db_name}).encode(), {})
            assert response.status == status
