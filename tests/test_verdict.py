"""The summary: section 4 of the contract, through the front door."""

import os
import time
from datetime import UTC, datetime

import pytest
from conftest import EVENT, Function

from deploy.fake_ddm import FakeDDM, FakeResponse, check, results

# What DDM's documentation gives as the example answer: both checks succeeded, both have a suggestion.
DOCUMENTED = {
    "job_id": EVENT["job_id"],
    "pre_check_results": [
        {
            "name": "Primary keys",
            "status": "SUCCESS",
            "note": "Whether all tables have a primary key.",
            "handling_suggestion": "Add primary keys.",
            "error_message": "",
            "error_detail_message": "",
        },
        {
            "name": "Time zone",
            "status": "SUCCESS",
            "note": "",
            "handling_suggestion": "Use one time zone.",
            "error_message": "",
            "error_detail_message": "",
        },
    ],
}


def test_documented_example_passes(function: Function, fake_ddm: FakeDDM):
    """Two successful checks pass: a suggestion is no problem."""
    fake_ddm.behaviours["orders"] = lambda _: FakeResponse(200, DOCUMENTED, {"X-Request-Id": "r-1"})
    summary = function.ask("orders").summary
    checked_at = summary.pop("checked_at")
    assert checked_at.endswith("Z")
    ids = {name: EVENT[name] for name in ("project_id", "instance_id", "job_id")}
    nothing = {"error": None, "error_detail": None}
    assert summary == {
        "verdict": "PASS",
        "can_proceed": True,
        "retryable": False,
        "retry_after_seconds": None,
        "message": "2 of 2 checks passed",
        **ids,
        "db_name": "orders",
        "region": "cn-north-4",
        "counts": {"total": 2, "success": 2, "warn": 0, "failed": 0},
        "issues": [],
        "checks": [
            {
                "name": "Primary keys",
                "status": "SUCCESS",
                "note": "Whether all tables have a primary key.",
                "suggestion": "Add primary keys.",
                **nothing,
            },
            {"name": "Time zone", "status": "SUCCESS", "note": None, "suggestion": "Use one time zone.", **nothing},
        ],
        "upstream": {"status": 200, "request_id": "r-1", "attempts": 1},
    }


@pytest.mark.parametrize(
    ("statuses", "members", "verdict", "can_proceed"),
    [
        ("S", {}, "PASS", True),
        ("SS", {"proceed_on_warn": True}, "PASS", True),
        ("SW", {}, "WARN", False),
        ("SW", {"proceed_on_warn": True}, "WARN", True),
        ("W", {"proceed_on_warn": False}, "WARN", False),
        ("F", {}, "FAIL", False),
        ("SFW", {"proceed_on_warn": True}, "FAIL", False),
        ("", {}, "PENDING", False),
        ("", {"proceed_on_warn": True}, "PENDING", False),
        ("SS", {"expected_checks": 2}, "PASS", True),
        ("SS", {"expected_checks": 2.0}, "PASS", True),
        ("SS", {"expected_checks": 3}, "PENDING", False),
        ("SW", {"expected_checks": 3, "proceed_on_warn": True}, "PENDING", False),
        ("SF", {"expected_checks": 3}, "FAIL", False),
        ("SSS", {"expected_checks": 2}, "PASS", True),
    ],
)
def test_verdict(function: Function, fake_ddm: FakeDDM, statuses, members, verdict, can_proceed):
    """Any failure fails; else too few checks are pending; else any warning warns; else it is a pass."""
    names = {"S": "SUCCESS", "W": "WARN", "F": "FAILED"}
    checks = [check(f"Check {number}", names[letter]) for number, letter in enumerate(statuses)]
    fake_ddm.behaviours["table"] = results(*checks)
    summary = function.ask("table", **members).summary
    assert (summary["verdict"], summary["can_proceed"]) == (verdict, can_proceed)


def test_null_list_is_pending(function: Function, fake_ddm: FakeDDM):
    """DDM may send null for a list that it has not begun."""
    fake_ddm.behaviours["null_list"] = lambda _: FakeResponse(200, {"pre_check_results": None})
    summary = function.ask("null_list").summary
    assert (summary["verdict"], summary["checks"], summary["message"]) == (
        "PENDING",
        [],
        "DDM lists no checks yet; ask again later",
    )


def test_issues_are_failures_then_warnings(function: Function, fake_ddm: FakeDDM):
    """The issues put failures first and keep DDM's order otherwise; the checks keep it altogether."""
    checks = [check("a", "WARN"), check("b", "FAILED"), check("c"), check("d", "WARN"), check("e", "FAILED")]
    fake_ddm.behaviours["mixed"] = results(*checks)
    summary = function.ask("mixed").summary
    assert [issue["name"] for issue in summary["issues"]] == ["b", "e", "a", "d"]
    assert [each["name"] for each in summary["checks"]] == ["a", "b", "c", "d", "e"]
    assert summary["message"] == "2 of 5 checks failed, 2 warned: b; e; a; d"


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["Primary\x1b[2J\x00\nkeys \t x"], "1 of 1 checks failed, 0 warned: Primary [2J keys x"),
        (["n" * 101], f"1 of 1 checks failed, 0 warned: {'n' * 100}…"),
        (list("abcdefg"), "7 of 7 checks failed, 0 warned: a; b; c; d; e; 2 more"),
    ],
    ids=["one line", "cut", "first five"],
)
def test_message_stays_one_short_line(function: Function, fake_ddm: FakeDDM, names, message):
    """However DDM names its checks, the message is one line that a person can read."""
    fake_ddm.behaviours["names"] = results(*(check(name, "FAILED") for name in names))
    summary = function.ask("names").summary
    assert summary["message"] == message
    assert [issue["name"] for issue in summary["issues"]] == names


@pytest.mark.parametrize("text", ["", " \n\t", None, "missing"], ids=["empty", "white space", "null", "missing"])
def test_no_text_is_null(function: Function, fake_ddm: FakeDDM, text):
    """Text that says nothing becomes null."""
    texts = ("note", "handling_suggestion", "error_message", "error_detail_message")
    members = {} if text == "missing" else dict.fromkeys(texts, text)
    body = {"pre_check_results": [{"name": "x", "status": "WARN"} | members]}
    fake_ddm.behaviours["silent"] = lambda _: FakeResponse(200, body)
    (found,) = function.ask("silent").summary["checks"]
    assert found == {
        "name": "x",
        "status": "WARN",
        "note": None,
        "suggestion": None,
        "error": None,
        "error_detail": None,
    }


def test_texts_are_kept_as_they_are(function: Function, fake_ddm: FakeDDM):
    """Text in any language leaves as it came, white space and all."""
    fake_ddm.behaviours["texts"] = results(
        check("主键检查", "WARN", note=" 没有主键 \U0001f511\n", error_message='"\\ <b>')
    )
    (found,) = function.ask("texts").summary["checks"]
    assert (found["name"], found["note"], found["error"]) == ("主键检查", " 没有主键 \U0001f511\n", '"\\ <b>')


def test_unknown_members_are_left_out(function: Function, fake_ddm: FakeDDM):
    """What DDM adds to its answer some day does not disturb."""
    body = {"pre_check_results": [{"name": "x", "status": "SUCCESS", "level": 3}], "total": 1}
    fake_ddm.behaviours["more"] = lambda _: FakeResponse(200, body)
    assert function.ask("more").summary["verdict"] == "PASS"


def test_event_region_wins(function: Function):
    """The region of the event is the one that is told, the function's the one of events that name none."""
    assert function.ask(region="ap-southeast-3").summary["region"] == "ap-southeast-3"
    assert function.ask().summary["region"] == "cn-north-4"


@pytest.fixture
def elsewhere():
    """The process in a time zone eight hours ahead of UTC."""
    before = os.environ.get("TZ")
    os.putenv("TZ", "XXX-8")  # the environment of the process itself: `start` puts another one in its place for Python
    time.tzset()
    yield
    os.unsetenv("TZ") if before is None else os.putenv("TZ", before)
    time.tzset()


def test_time_is_utc(start, elsewhere):
    """The time of the verdict is UTC, wherever the function runs."""
    checked_at = datetime.fromisoformat(start().ask().summary["checked_at"])
    assert abs((datetime.now(UTC) - checked_at).total_seconds()) < 60
