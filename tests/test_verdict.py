"""The verdict on the checks of both phases, the accepted warnings, and the contents of the summary."""

import itertools
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from helpers.envelopes import DELIVERIES
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, Function

from ddm_precheck.checks import Check, Phase
from ddm_precheck.event import Precheck
from ddm_precheck.problem import UpstreamInfo
from ddm_precheck.verdict import Summary, judge
from testing.fake_behaviours import FakeResponse, check, results
from testing.fake_ddm import FakeDDM

STATUSES = {"S": "SUCCESS", "W": "WARN", "F": "FAILED"}
TIME_ZONE = "DB instance time zone"
INCOMPLETE = " The list may be incomplete: expected_checks is not set."
NOT_COVERED = " The synchronous checks are not covered: pre_check_results is not given."
UPSTREAM = UpstreamInfo(200, 1)


def make_checks(letters: str, names: str = "abcdefgh") -> list[dict[str, str]]:
    return [check(name, STATUSES[letter]) for name, letter in zip(names, letters, strict=False)]


# All small inputs, against a second implementation


def check_lists(max_length: int, phase: Phase) -> Iterator[tuple[Check, ...]]:
    """Return each list of checks, with each way in which the names can be equal."""
    for length in range(max_length + 1):
        for names in itertools.product("abc"[:length], repeat=length):
            if list(dict.fromkeys(names)) == list("abc"[: len(set(names))]):
                for statuses in itertools.product(STATUSES.values(), repeat=length):
                    yield tuple(Check(*each, phase, None, None, None, None) for each in zip(names, statuses))  # noqa: B905


def subsets(names: set[str]) -> Iterator[frozenset[str]]:
    for size in range(len(names) + 1):
        yield from map(frozenset, itertools.combinations(sorted(names), size))


def expected_verdict(synchronous: tuple[Check, ...], asynchronous: tuple[Check, ...], expected: int | None) -> str:
    statuses = {each.status for each in synchronous + asynchronous}
    if "FAILED" in statuses:
        return "FAIL"
    if not asynchronous or len({each.name for each in asynchronous}) < (expected or 0):
        return "PENDING"
    return "WARN" if "WARN" in statuses else "PASS"


def assert_agrees(
    summary: Summary, precheck: Precheck, synchronous: tuple[Check, ...], asynchronous: tuple[Check, ...]
) -> None:
    """Compare the summary of `judge` with the rules of the reference."""
    decision = summary.decision
    verdict = expected_verdict(synchronous, asynchronous, precheck.expected_checks)
    warned = [each.name for each in synchronous + asynchronous if each.status == "WARN"]
    accepted = [name for name in warned if name in precheck.accepted_warnings]
    is_accepted = precheck.proceed_on_warn or len(accepted) == len(warned)
    assert decision.verdict == verdict
    assert decision.can_proceed == (verdict == "PASS" or (verdict == "WARN" and is_accepted))
    assert decision.retry_after == (10 if verdict == "PENDING" else None)
    assert decision.covers == (("synchronous",) if synchronous else ()) + ("asynchronous",)
    assert decision.counts.total == len(summary.checks)
    assert decision.counts.accepted == len(accepted)
    assert decision.accepted == tuple(dict.fromkeys(accepted))
    has_note = verdict in {"PASS", "WARN"}
    assert (INCOMPLETE in decision.message) == (has_note and not precheck.expected_checks)
    assert (NOT_COVERED in decision.message) == (has_note and not synchronous)
    assert summary.checks == synchronous + asynchronous
    order = ("FAILED", "WARN")
    assert summary.issues == tuple(each for status in order for each in summary.checks if each.status == status)


@pytest.mark.parametrize("proceed_on_warn", [False, True])
@pytest.mark.parametrize("expected_checks", [None, 1, 2, 3])
def test_all_small_lists_of_both_phases(proceed_on_warn, expected_checks):
    lists = list(check_lists(3, "asynchronous"))
    assert len(lists) == 1 + 3 + 2 * 9 + 5 * 27  # 1, 1, 2 and 5 ways in which 0 to 3 names can be equal
    accepted_sets = {}
    for synchronous, asynchronous in itertools.product(check_lists(2, "synchronous"), lists):
        names = frozenset(each.name for each in synchronous + asynchronous)
        for accepted in accepted_sets.setdefault(names, list(subsets(names))):
            precheck = Precheck(
                **{name: EVENT[name] for name in ("project_id", "instance_id", "db_name", "job_id")},
                proceed_on_warn=proceed_on_warn,
                accepted_warnings=accepted,
                expected_checks=expected_checks,
            )
            summary = judge(precheck, synchronous, asynchronous, UPSTREAM, "")
            assert_agrees(summary, precheck, synchronous, asynchronous)


@pytest.mark.parametrize(
    ("synchronous", "asynchronous", "fields", "verdict", "can_proceed"),
    [
        ("F", "", {}, "FAIL", False),
        ("W", "SS", {"proceed_on_warn": True}, "WARN", True),
        ("S", "SW", {"proceed_on_warn": False}, "WARN", False),
        ("SSSSS", "SS", {"expected_checks": 3}, "PENDING", False),
        ("", "SS", {"expected_checks": 2.0}, "PASS", True),
    ],
)
@pytest.mark.sockets
def test_verdict_of_both_phases(
    function: Function, fake_ddm: FakeDDM, synchronous, asynchronous, fields, verdict, can_proceed
):
    fake_ddm.behaviours["table"] = results(*make_checks(asynchronous))
    summary = function.send_event("table", pre_check_results=make_checks(synchronous), **fields).summary
    assert summary["verdict"] == verdict
    assert summary["can_proceed"] is can_proceed


def test_documented_summary(function: Function, fake_ddm: FakeDDM):
    checks = [
        check("Primary keys", note="Whether all tables have a primary key.", handling_suggestion="Add them."),
        {"name": "Time zone", "status": "SUCCESS", "note": " \n", "error_message": None},
    ]
    fake_ddm.behaviours["orders"] = lambda request: FakeResponse(
        200, {"job_id": request.job_id, "pre_check_results": checks}, {"X-Request-Id": "r-1"}
    )
    summary = function.send_event("orders", pre_check_results=[check("Binlog", "WARN", note="n")]).summary
    checked_at = summary.pop("checked_at")
    texts = dict.fromkeys(("note", "suggestion", "error", "error_detail"))
    binlog = {"name": "Binlog", "status": "WARN", "phase": "synchronous"} | texts | {"note": "n"}
    message = f"1 of 3 checks warned: Binlog.{INCOMPLETE}"
    assert summary == {
        "verdict": "WARN",
        "can_proceed": False,
        "retryable": False,
        "retry_after_seconds": None,
        "message": message,
        **EVENT_WITHOUT_TOKEN,
        "db_name": "orders",
        "region": "cn-north-4",
        "expected_checks": None,
        "covers": ["synchronous", "asynchronous"],
        "counts": {"total": 3, "success": 2, "warn": 1, "failed": 0, "accepted": 0},
        "report": f"WARN: {message}\nJob {EVENT['job_id']} of database schema orders, checked at {checked_at}\n"
        "- WARN Binlog",
        "issues": [binlog],
        "checks": [
            binlog,
            {"name": "Primary keys", "status": "SUCCESS", "phase": "asynchronous"}
            | texts
            | {"note": "Whether all tables have a primary key.", "suggestion": "Add them."},
            {"name": "Time zone", "status": "SUCCESS", "phase": "asynchronous"} | texts,
        ],
        "upstream": {"status": 200, "attempts": 1, "request_id": "r-1", "error_code": None, "error_msg": None},
    }


@pytest.mark.parametrize(
    ("synchronous", "asynchronous", "fields", "message"),
    [
        ("", "", {}, "DDM has not reported any checks yet; try again later"),
        ("S", "", {"expected_checks": 3}, "DDM has not reported any checks yet; try again later"),
        ("S", "SS", {"expected_checks": 3}, "DDM has reported 2 of 3 expected checks so far; try again later"),
        ("", "S", {"expected_checks": 2.0}, "DDM has reported 1 of 2 expected checks so far; try again later"),
        ("S", "SS", {"expected_checks": 2}, "3 of 3 checks passed"),
        ("", "SS", {"expected_checks": 2}, f"2 of 2 checks passed.{NOT_COVERED}"),
        ("S", "SS", {}, f"3 of 3 checks passed.{INCOMPLETE}"),
        ("", "SS", {}, f"2 of 2 checks passed.{INCOMPLETE}{NOT_COVERED}"),
        ("", "W", {}, f"1 of 1 checks warned: a.{INCOMPLETE}{NOT_COVERED}"),
        ("W", "W", {"expected_checks": 1, "accepted_warnings": ["a"]}, "2 of 2 checks warned (2 accepted): a; a"),
        (
            *("W", "W", {"expected_checks": 1, "proceed_on_warn": True}),
            "2 of 2 checks warned (accepted by proceed_on_warn): a; a",
        ),
        ("S", "WFSWF", {}, "2 of 6 checks failed, 2 warned: b; e; a; d"),
        ("S", "FFFFFFF", {}, "7 of 8 checks failed, 0 warned: a; b; c; d; e; 2 more"),
        ("S", "FFFFF", {}, "5 of 6 checks failed, 0 warned: a; b; c; d; e"),
    ],
)
def test_message_and_headline_of_the_report(
    function: Function, fake_ddm: FakeDDM, synchronous, asynchronous, fields, message
):
    fake_ddm.behaviours["table"] = results(*make_checks(asynchronous))
    response = function.send_event("table", pre_check_results=make_checks(synchronous), **fields)
    assert response.message == message
    assert response.summary["report"].splitlines()[0] == f"{response.verdict}: {message}"
    assert response.log_entry["message"] == message


@pytest.mark.parametrize(
    ("name", "shown"),
    [("Primary\x1b[2J\x00\nkeys \t x", "Primary [2J keys x"), ("n" * 100, "n" * 100), ("n" * 101, "n" * 100 + "…")],
    ids=["control characters", "100 characters", "101 characters"],
)
def test_name_in_the_message(function: Function, fake_ddm: FakeDDM, name, shown):
    fake_ddm.behaviours["names"] = results(check(name, "FAILED"))
    summary = function.send_event("names").summary
    assert summary["message"] == f"1 of 1 checks failed, 0 warned: {shown}"
    assert summary["issues"][0]["name"] == name


@pytest.mark.parametrize(
    ("default", "field", "expected", "verdict"),
    [(None, None, None, "PASS"), ("3", None, 3, "PENDING"), ("3", 2, 2, "PASS"), ("2", 3, 3, "PENDING")],
)
def test_expected_checks_of_the_event_precedes_the_default(start, default, field, expected, verdict):
    summary = start(DDM_EXPECTED_CHECKS=default).send_event("pass", expected_checks=field).summary
    assert summary["expected_checks"] == expected
    assert summary["verdict"] == verdict


def test_null_list_of_ddm_is_pending(function: Function, fake_ddm: FakeDDM):
    fake_ddm.behaviours["null"] = lambda request: FakeResponse(
        200, {"job_id": request.job_id, "pre_check_results": None}
    )
    assert function.send_event("null").verdict == "PENDING"


def test_synchronous_failure_is_fail_in_each_delivery(function: Function):
    for make in DELIVERIES.values():
        body, headers = make(EVENT | {"db_name": "pending", "pre_check_results": make_checks("F")})
        assert function.send(body, headers=headers).verdict == "FAIL"


# Accepted warnings


@pytest.mark.parametrize(
    ("accepted", "can_proceed"),
    [
        ([TIME_ZONE], True),
        ([TIME_ZONE, TIME_ZONE], True),
        ([TIME_ZONE, "Removed check"], True),
        ([], False),
        (["Removed check"], False),
        (["Primary keys"], False),
        ([TIME_ZONE.lower()], False),
        ([f"{TIME_ZONE} "], False),
        ([TIME_ZONE[:-1]], False),
        ([f"{TIME_ZONE}s"], False),
        (["*"], False),
        ([".*"], False),
    ],
)
def test_names_of_accepted_warnings_are_compared_exactly(function: Function, accepted, can_proceed):
    response = function.send_event("warn", accepted_warnings=accepted)
    assert response.verdict == "WARN"
    assert response.summary["can_proceed"] is can_proceed
    assert response.log_entry.get("accepted_warnings") == ([TIME_ZONE] if can_proceed else None)


# Texts and fields


def test_texts_are_unchanged(function: Function, fake_ddm: FakeDDM):
    item = check("主键检查", "WARN", note=" 没有主键 \U0001f511\n", error_message='"\\ <b>')
    fake_ddm.behaviours["texts"] = results(item)
    for each in function.send_event("texts", pre_check_results=[item]).summary["checks"]:
        assert each["name"] == "主键检查"
        assert each["note"] == " 没有主键 \U0001f511\n"
        assert each["error"] == '"\\ <b>'


def test_region_is_null_if_the_endpoint_has_none(start):
    assert start(DDM_REGION=None).send_event().summary["region"] is None


def test_checked_at_is_utc(function: Function):
    before = os.environ.get("TZ")
    os.putenv("TZ", "XXX-8")  # not os.environ: the fixture `environment` replaces it with a dict
    time.tzset()
    try:
        checked_at = datetime.fromisoformat(function.send_event().summary["checked_at"])
    finally:
        os.unsetenv("TZ") if before is None else os.putenv("TZ", before)
        time.tzset()
    assert abs((datetime.now(UTC) - checked_at).total_seconds()) < 60
