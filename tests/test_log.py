"""The log entry. In addition, `Function.send` requires one entry with all mandatory fields for each request."""

import io
import itertools
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO

import pytest
from helpers.function import EVENT, Function

from ddm_precheck.log import LogEntry
from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_entry_of_a_summary(function: Function):
    """The log entry has the verdict, the IDs and the outcome of the request to DDM."""
    response = function.send_event("fail", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    log = response.log_entry
    assert isinstance(log.pop("duration_ms"), int)
    assert isinstance(log["upstream"].pop("elapsed_ms"), int)
    assert log == {
        "severity": "INFO",
        "message": response.body["message"],
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


def test_durations(function: Function):
    """`duration_ms` includes `elapsed_ms`, the time of the request to DDM. In this test, DDM waits for 300 ms."""
    log = function.send_event("slow").log_entry
    assert 300 <= log["upstream"]["elapsed_ms"] <= log["duration_ms"] < 3000


def test_seconds_become_milliseconds(start, monkeypatch, capsys):
    """Durations are logged in milliseconds. In this test, the clock advances by 7 seconds each time it is read."""
    function = start(DDM_TIMEOUT_SECONDS="3600")
    clock = itertools.count()
    monkeypatch.setattr("ddm_precheck.ddm.monotonic", lambda: next(clock) * 7.0)
    elapsed = function.send_event().log_entry["upstream"]["elapsed_ms"]
    assert 0 < elapsed < 70_000
    assert elapsed % 7000 == 0
    monkeypatch.setattr("ddm_precheck.log.monotonic", lambda: 9.0)
    LogEntry(started=2.0).write(200)
    assert json.loads(capsys.readouterr().out)["duration_ms"] == 7000


@pytest.mark.parametrize(
    ("db_name", "severity"),
    [("unauthorized", "WARNING"), ("throttled", "WARNING"), ("broken", "ERROR"), ("running", "ERROR")],
)
def test_severity(function: Function, db_name, severity):
    """A problem that the caller caused has the severity WARNING. A problem that DDM caused has the severity ERROR."""
    assert function.send_event(db_name).log_entry["severity"] == severity


def test_entry_of_an_invalid_event(function: Function):
    """Fields whose values are not known are null."""
    log = function.send(b"{").log_entry
    assert (log["severity"], log["verdict"], log["code"], log["job_id"], log["upstream"]) == (
        "WARNING",
        "ERROR",
        "invalid-event",
        None,
        None,
    )


@pytest.mark.parametrize(
    ("headers", "trace"),
    [
        pytest.param({"X-Cloud-Trace-Context": f"{TRACE}/123;o=1"}, TRACE, id="Google, with span"),
        pytest.param({"X-Cloud-Trace-Context": TRACE}, TRACE, id="Google"),
        pytest.param({"X-Cloud-Trace-Context": "x"}, None, id="Google, malformed"),
        pytest.param({"traceparent": "x", "X-Cloud-Trace-Context": TRACE}, TRACE, id="traceparent malformed"),
        pytest.param({}, None, id="neither"),
    ],
)
def test_trace(function: Function, headers, trace):
    """The trace comes from `traceparent` if it is valid there, or else from `X-Cloud-Trace-Context`."""
    assert function.send_event(headers=headers).log_entry["trace"] == trace


def test_entry_is_one_line(function: Function, fake_ddm: FakeDDM):
    """The log entry is one line, whichever line breaks are in DDM's result."""
    name = 'a\r\n{"severity": "ERROR"}\u2028\u0085\x00b'
    fake_ddm.behaviours["lines"] = results(check(name, "FAILED"))
    response = function.send_event("lines")
    assert response.summary["checks"][0]["name"] == name
    assert response.log_entry["verdict"] == "FAIL"


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError], ids=["broken pipe", "closed file"])
def test_failed_write_does_not_change_the_response(start, fake_ddm: FakeDDM, monkeypatch, error):
    """If the log entry cannot be written, the response is the same."""
    function = start()

    class ClosedStdout:
        def write(self, _: str) -> None:
            raise error

    monkeypatch.setattr(sys, "stdout", ClosedStdout())
    response = function.exchange("POST", json.dumps(EVENT).encode(), {})
    assert response.body["verdict"] == "PASS"


def test_line_fits_into_a_pipe(function: Function, fake_ddm: FakeDDM):
    """The line has at most 4,096 bytes, even with long texts, so that it never blocks on a pipe that is nearly full."""
    names = [f"{number}" + "\U0001f511" * 198 for number in range(10, 60)]
    fake_ddm.behaviours["names"] = results(*(check(name, "WARN") for name in names))
    response = function.send_event("names", accepted_warnings=names, expected_checks=50)
    assert response.summary["counts"]["accepted"] == 50
    assert len(response.log_lines[0].encode()) < 4096
    assert response.log_entry["accepted_warnings"] == ["… and 50 more"]
    assert response.log_entry["message"].endswith("…")


def test_names_that_fit_are_listed(function: Function, fake_ddm: FakeDDM):
    """The line has as many names of accepted warnings as possible. The last item is the number of further names."""
    names = [f"Check {number:03d} {'x' * 30}" for number in range(50)]
    fake_ddm.behaviours["names"] = results(*(check(name, "WARN") for name in names))
    logged = function.send_event("names", accepted_warnings=names).log_entry["accepted_warnings"]
    fitting = len(logged) - 1
    assert logged == [*names[:fitting], f"… and {50 - fitting} more"]
    one_more = [*names[: fitting + 1], f"… and {49 - fitting} more"]
    assert len(json.dumps(logged)) <= 1250 < len(json.dumps(one_more))


def test_all_names_fit(function: Function, fake_ddm: FakeDDM):
    """The line has all 50 names if they are short."""
    names = [f"Check {number:03d}" for number in range(50)]
    fake_ddm.behaviours["names"] = results(*(check(name, "WARN") for name in names))
    assert function.send_event("names", accepted_warnings=names).log_entry["accepted_warnings"] == names


@pytest.mark.parametrize("body", [b"{", b"{}", b" " * 300_000], ids=["not JSON", "not valid", "too large"])
def test_no_trace_without_a_valid_event(function: Function, body):
    """If the event is invalid, its token is unknown. The trace ID may contain the token, so it is not logged."""
    assert function.send(body, headers={"X-Cloud-Trace-Context": TRACE}).log_entry["trace"] is None


@contextmanager
def stdout_to_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileIO]:
    """Replace stdout with a pipe, and yield the reading end.

    This is not a fixture, because pytest replaces stdout between fixtures and tests.
    """
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", 0) as reader, os.fdopen(writing, "w") as writer:
        os.set_blocking(reading, False)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", writer)
            yield reader


def test_full_pipe(monkeypatch):
    """The line is written into the pipe. If the pipe is full, the line is lost and nothing blocks."""
    with stdout_to_pipe(monkeypatch) as pipe:
        LogEntry().write(200)
        line = pipe.read(4096)
        os.set_blocking(sys.stdout.fileno(), False)
        with suppress(BlockingIOError):
            while True:
                os.write(sys.stdout.fileno(), b" " * 4096)
        os.set_blocking(sys.stdout.fileno(), True)
        LogEntry().write(200)
        rest = pipe.read(1_000_000)
    assert json.loads(line)["http_status"] == 200
    assert rest.strip() == b""


def test_pipe_filled_by_another_thread(monkeypatch):
    """If other threads fill the pipe while this thread waits for the lock, the line is lost."""
    monkeypatch.setattr("ddm_precheck.log._is_writable", lambda _, milliseconds: milliseconds > 0)
    with stdout_to_pipe(monkeypatch) as pipe:
        LogEntry().write(200)
        line = pipe.read(4096)
    assert line is None


def test_closed_stdout(monkeypatch):
    """If stdout is closed, before or after the start, the line is lost, and no exception is raised."""
    closed = io.StringIO()
    closed.close()
    for stdout in (None, closed):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stdout)
            LogEntry().write(200)
