"""The summary: the verdict on DDM's checks, and the contents of the other fields."""

import os
import time
from datetime import UTC, datetime

import pytest
from helpers.function import EVENT, Function

from testing.fake_behaviours import FakeResponse, check, results
from testing.fake_ddm import FakeDDM

# The example of DDM's documentation: both checks succeeded, and both have a suggestion.
DOCUMENTED_RESULT = {
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
VERDICTS = [
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
]


def test_documented_example_passes(function: Function, fake_ddm: FakeDDM):
    """The verdict on two successful checks is PASS, even if the checks have suggestions."""
    fake_ddm.behaviours["orders"] = lambda _: FakeResponse(200, DOCUMENTED_RESULT, {"X-Request-Id": "r-1"})
    summary = function.send_event("orders").summary
    checked_at = summary.pop("checked_at")
    assert checked_at.endswith("Z")
    ids = {name: EVENT[name] for name in ("project_id", "instance_id", "job_id")}
    no_error = {"error": None, "error_detail": None}
    assert summary == {
        "verdict": "PASS",
        "can_proceed": True,
        "retryable": False,
        "retry_after_seconds": None,
        "message": "2 of 2 checks passed; the list may be incomplete, because expected_checks is not set",
        **ids,
        "db_name": "orders",
        "region": "cn-north-4",
        "expected_checks": None,
        "counts": {"total": 2, "success": 2, "warn": 0, "failed": 0, "accepted": 0},
        "report": "PASS: 2 of 2 checks passed; the list may be incomplete, because expected_checks is not set\n"
        f"Job {EVENT['job_id']} of database schema orders, checked at {checked_at}",
        "issues": [],
        "checks": [
            {
                "name": "Primary keys",
                "status": "SUCCESS",
                "note": "Whether all tables have a primary key.",
                "suggestion": "Add primary keys.",
                **no_error,
            },
            {"name": "Time zone", "status": "SUCCESS", "note": None, "suggestion": "Use one time zone.", **no_error},
        ],
        "upstream": {"status": 200, "request_id": "r-1", "attempts": 1},
    }


@pytest.mark.parametrize(
    ("statuses", "fields", "verdict", "can_proceed"),
    VERDICTS,
    ids=[" ".join([statuses or "no checks", *fields]) for statuses, fields, *_ in VERDICTS],
)
def test_verdict(function: Function, fake_ddm: FakeDDM, statuses, fields, verdict, can_proceed):
    """A FAILED check gives FAIL, else too few checks give PENDING, else a WARN check gives WARN, else it is PASS."""
    names = {"S": "SUCCESS", "W": "WARN", "F": "FAILED"}
    checks = [check(f"Check {number}", names[letter]) for number, letter in enumerate(statuses)]
    fake_ddm.behaviours["table"] = results(*checks)
    summary = function.send_event("table", **fields).summary
    assert (summary["verdict"], summary["can_proceed"]) == (verdict, can_proceed)


def test_null_list_is_pending(function: Function, fake_ddm: FakeDDM):
    """If DDM's list of checks is null, the verdict is PENDING."""
    fake_ddm.behaviours["null_list"] = lambda _: FakeResponse(
        200, {"job_id": EVENT["job_id"], "pre_check_results": None}
    )
    summary = function.send_event("null_list").summary
    assert (summary["verdict"], summary["checks"], summary["message"]) == (
        "PENDING",
        [],
        "DDM lists no checks yet; try again later",
    )


def test_order_of_issues(function: Function, fake_ddm: FakeDDM):
    """`issues` has the failed checks, then the warnings, both in DDM's order. `checks` has DDM's order."""
    checks = [check("a", "WARN"), check("b", "FAILED"), check("c"), check("d", "WARN"), check("e", "FAILED")]
    fake_ddm.behaviours["mixed"] = results(*checks)
    summary = function.send_event("mixed").summary
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
    ids=["control characters", "long name", "seven names"],
)
def test_message_is_one_short_line(function: Function, fake_ddm: FakeDDM, names, message):
    """The message is one line without control characters. It has at most five names, and long names are truncated."""
    fake_ddm.behaviours["names"] = results(*(check(name, "FAILED") for name in names))
    summary = function.send_event("names").summary
    assert summary["message"] == message
    assert [issue["name"] for issue in summary["issues"]] == names


@pytest.mark.parametrize("text", ["", " \n\t", None, "missing"], ids=["empty", "white space", "null", "missing"])
def test_empty_text_is_null(function: Function, fake_ddm: FakeDDM, text):
    """Empty text, white space and missing text become null."""
    names = ("note", "handling_suggestion", "error_message", "error_detail_message")
    texts = {} if text == "missing" else dict.fromkeys(names, text)
    body = {"job_id": EVENT["job_id"], "pre_check_results": [{"name": "x", "status": "WARN"} | texts]}
    fake_ddm.behaviours["no_text"] = lambda _: FakeResponse(200, body)
    (summary_check,) = function.send_event("no_text").summary["checks"]
    assert summary_check == {
        "name": "x",
        "status": "WARN",
        "note": None,
        "suggestion": None,
        "error": None,
        "error_detail": None,
    }


def test_text_is_unchanged(function: Function, fake_ddm: FakeDDM):
    """Text in any language, with its white space, is unchanged in the summary."""
    fake_ddm.behaviours["texts"] = results(
        check("主键检查", "WARN", note=" 没有主键 \U0001f511\n", error_message='"\\ <b>')
    )
    (summary_check,) = function.send_event("texts").summary["checks"]
    texts = [summary_check[name] for name in ("name", "note", "error")]
    assert texts == ["主键检查", " 没有主键 \U0001f511\n", '"\\ <b>']


def test_unknown_fields_are_ignored(function: Function, fake_ddm: FakeDDM):
    """Fields that DDM may add to its result are ignored."""
    body = {
        "job_id": EVENT["job_id"],
        "pre_check_results": [{"name": "x", "status": "SUCCESS", "level": 3}],
        "total": 1,
    }
    fake_ddm.behaviours["more"] = lambda _: FakeResponse(200, body)
    assert function.send_event("more").summary["verdict"] == "PASS"


def test_region(function: Function):
    """The summary has the region of the event, or else of `DDM_REGION`."""
    assert function.send_event(region="ap-southeast-3").summary["region"] == "ap-southeast-3"
    assert function.send_event().summary["region"] == "cn-north-4"


@pytest.fixture
def time_zone_ahead_of_utc():
    """Sets the time zone of this process to eight hours ahead of UTC."""
    before = os.environ.get("TZ")
    os.putenv("TZ", "XXX-8")  # not os.environ: the fixture `environment` replaces it with a dict
    time.tzset()
    yield
    os.unsetenv("TZ") if before is None else os.putenv("TZ", before)
    time.tzset()


def test_time_is_utc(start, time_zone_ahead_of_utc):
    """`checked_at` is in UTC, even if the process has another time zone."""
    checked_at = datetime.fromisoformat(start().send_event().summary["checked_at"])
    assert abs((datetime.now(UTC) - checked_at).total_seconds()) < 60
