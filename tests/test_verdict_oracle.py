"""The rules of the verdict, implemented a second time: both implementations agree on each short list of checks."""

import itertools

import pytest
from helpers.function import EVENT

from ddm_precheck.event import Event
from ddm_precheck.problem import Upstream
from ddm_precheck.verdict import judge

STATUSES = ["SUCCESS", "WARN", "FAILED"]
STATUS_LISTS = [list(statuses) for length in range(5) for statuses in itertools.product(STATUSES, repeat=length)]
CHECKED_AT = "2026-11-23T08:00:00Z"


def expected_verdict(statuses: list[str], expected_checks: int | None) -> str:
    """Return FAIL for any FAILED, else PENDING for too few checks, else WARN for any WARN, else PASS."""
    if any(status == "FAILED" for status in statuses):
        return "FAIL"
    if not statuses or (expected_checks is not None and len(statuses) < expected_checks):
        return "PENDING"
    return "WARN" if any(status == "WARN" for status in statuses) else "PASS"


@pytest.mark.parametrize("proceed_on_warn", [None, False, True])
@pytest.mark.parametrize("expected_checks", [None, 1, 2, 3, 4, 5])
def test_each_short_list(proceed_on_warn, expected_checks):
    """For each list of up to four statuses, `judge` agrees with the second implementation."""
    options = {"proceed_on_warn": proceed_on_warn, "expected_checks": expected_checks}
    event = Event(**EVENT, **{name: value for name, value in options.items() if value is not None})
    for statuses in STATUS_LISTS:
        results = [{"name": f"{number}", "status": status} for number, status in enumerate(statuses)]
        summary = judge(event, results, Upstream(200, 1, 0), CHECKED_AT)
        verdict = expected_verdict(statuses, expected_checks)
        assert summary.verdict.value == verdict
        assert summary.can_proceed == (verdict == "PASS" or (verdict == "WARN" and proceed_on_warn is True))
        assert summary.retry_after == (10 if verdict == "PENDING" else None)
        assert [check["name"] for check in summary.checks] == [result["name"] for result in results]
        order = sorted(range(len(statuses)), key=lambda number: STATUSES.index(statuses[number]), reverse=True)
        issues = [f"{number}" for number in order if statuses[number] != "SUCCESS"]
        assert [check["name"] for check in summary.issues] == issues
        counts = [len(statuses), *(statuses.count(status) for status in STATUSES)]
        assert [summary.counts[name] for name in ("total", "success", "warn", "failed")] == counts


@pytest.mark.parametrize(
    ("names", "expected_checks", "message"),
    [
        ([], 3, "DDM lists no checks yet; ask again later"),
        (["a"], 3, "DDM lists 1 of at least 3 checks so far; ask again later"),
        (list("abcde"), 1, "5 of 5 checks warned: a; b; c; d; e"),
        (list("abcdef"), 1, "6 of 6 checks warned: a; b; c; d; e; 1 more"),
        (["n" * 100], 1, "1 of 1 checks warned: " + "n" * 100),
        (["n" * 101], 1, "1 of 1 checks warned: " + "n" * 100 + "…"),
    ],
    ids=["no checks", "one check of three", "five names", "six names", "100 characters", "101 characters"],
)
def test_message_at_its_limits(names, expected_checks, message):
    """The message counts the checks of an incomplete list, and shortens only what is above a limit."""
    event = Event(**EVENT, expected_checks=expected_checks)
    results = [{"name": name, "status": "WARN"} for name in names]
    assert judge(event, results, Upstream(200, 1, 0), CHECKED_AT).message == message


def test_number_of_lists():
    """There are 1 + 3 + 9 + 27 + 81 lists of up to four statuses."""
    assert len(STATUS_LISTS) == 121
