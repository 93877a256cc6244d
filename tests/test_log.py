"""The log: section 8 of the contract. That there is one line for each invocation is held in every test."""

import itertools
import json
import sys

import pytest
from conftest import EVENT, Function

from ddm_precheck.log import Line
from deploy.fake_ddm import FakeDDM, check, results

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_line_of_a_summary(function: Function):
    """The line has the verdict, the IDs and how the call to DDM went."""
    answer = function.ask("fail", headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
    log = answer.log
    assert isinstance(log.pop("duration_ms"), int)
    assert isinstance(log["upstream"].pop("elapsed_ms"), int)
    assert log == {
        "severity": "INFO",
        "message": answer.body["message"],
        "verdict": "FAIL",
        "code": None,
        "http_status": 200,
        "project_id": EVENT["project_id"],
        "instance_id": EVENT["instance_id"],
        "db_name": "fail",
        "job_id": EVENT["job_id"],
        "upstream": {"status": 200, "attempts": 1, "request_id": answer.body["upstream"]["request_id"]},
        "trace": TRACE,
    }


def test_durations(function: Function):
    """The whole time and DDM's part of it are told in milliseconds; the stand-in's slow answer takes 300 of them."""
    log = function.ask("slow").log
    assert 300 <= log["upstream"]["elapsed_ms"] <= log["duration_ms"] < 3000


def test_seconds_become_milliseconds(start, monkeypatch, capsys):
    """Where each look at the clock takes seconds, so many thousands of milliseconds are told."""
    function = start(DDM_TIMEOUT_SECONDS="3600")
    clock = itertools.count()
    monkeypatch.setattr("ddm_precheck.ddm.monotonic", lambda: next(clock) * 7.0)
    elapsed = function.ask().log["upstream"]["elapsed_ms"]
    assert 0 < elapsed < 70_000
    assert elapsed % 7000 == 0
    monkeypatch.setattr("ddm_precheck.log.monotonic", lambda: 9.0)
    Line(None, started=2.0).write(200)
    assert json.loads(capsys.readouterr().out)["duration_ms"] == 7000


@pytest.mark.parametrize(
    ("db_name", "severity"),
    [("unauthorized", "WARNING"), ("throttled", "WARNING"), ("broken", "ERROR"), ("running", "ERROR")],
)
def test_severity(function: Function, db_name, severity):
    """What the caller caused is a warning; what DDM did is an error."""
    assert function.ask(db_name).log["severity"] == severity


def test_line_of_a_bad_event(function: Function):
    """What is not known is null."""
    log = function.send(b"{").log
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
        ({"X-Cloud-Trace-Context": f"{TRACE}/123;o=1"}, TRACE),
        ({"X-Cloud-Trace-Context": TRACE}, TRACE),
        ({"X-Cloud-Trace-Context": "x"}, None),
        ({"traceparent": "x", "X-Cloud-Trace-Context": TRACE}, TRACE),
        ({}, None),
    ],
)
def test_trace(function: Function, headers, trace):
    """The trace is that of the caller."""
    assert function.ask(headers=headers).log["trace"] == trace


def test_values_cannot_break_the_line(function: Function, fake_ddm: FakeDDM):
    """A name with line breaks of all kinds stays in its line."""
    name = 'a\r\n{"severity": "ERROR"}\u2028\u0085\x00b'
    fake_ddm.behaviours["lines"] = results(check(name, "FAILED"))
    answer = function.ask("lines")
    assert answer.summary["checks"][0]["name"] == name
    assert answer.log["verdict"] == "FAIL"


@pytest.mark.parametrize("error", [BrokenPipeError, ValueError], ids=["pipe", "closed"])
def test_stdout_that_is_gone(start, fake_ddm: FakeDDM, monkeypatch, error):
    """An answer is worth more than its line."""
    function = start()

    class Gone:
        def write(self, _: str) -> None:
            raise error

    monkeypatch.setattr(sys, "stdout", Gone())
    answer = function.exchange("POST", json.dumps(EVENT).encode(), {})
    assert answer.body["verdict"] == "PASS"
