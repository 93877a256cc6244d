"""A second implementation of the verdict's rules: both implementations agree for all small inputs.

The inputs are all lists of up to four checks (with each way in which their names can be equal), combined with each set
of accepted names, with `proceed_on_warn` and with `expected_checks`.
"""

import itertools
from collections.abc import Iterator
from dataclasses import asdict

import pytest
from helpers.function import EVENT

from ddm_precheck.checks import Check, PrecheckResult
from ddm_precheck.event import Event
from ddm_precheck.problem import UpstreamInfo
from ddm_precheck.verdict import Summary, judge

STATUSES = ["SUCCESS", "WARN", "FAILED"]
MAX_CHECKS = 4
ABSENT_NAME = "z"
CHECKED_AT = "2026-11-23T08:00:00Z"
UPSTREAM = UpstreamInfo(200, 1, 0)
NO_TEXTS = {"note": None, "suggestion": None, "error": None, "error_detail": None}


def name_lists(length: int) -> Iterator[list[str]]:
    """Return each way in which `length` names can be equal: `aa` and `ab` for two names."""
    for names in itertools.product("abcd"[:length], repeat=length):
        if list(dict.fromkeys(names)) == list("abcd"[: len(set(names))]):
            yield list(names)


def check_lists() -> Iterator[list[Check]]:
    """Return each list of up to four checks."""
    for length in range(MAX_CHECKS + 1):
        for names, statuses in itertools.product(name_lists(length), itertools.product(STATUSES, repeat=length)):
            yield [Check(name=name, status=status, **NO_TEXTS) for name, status in zip(names, statuses, strict=True)]


def subsets(names: set[str]) -> Iterator[frozenset[str]]:
    """Return each subset of the names."""
    for size in range(len(names) + 1):
        yield from map(frozenset, itertools.combinations(sorted(names), size))


def expected_verdict(checks: list[Check], expected_checks: int | None) -> str:
    """Return FAIL for a FAILED check, else PENDING for too few different names, else WARN for a WARN, else PASS."""
    statuses = {check["status"] for check in checks}
    if "FAILED" in statuses:
        return "FAIL"
    if not checks or (expected_checks and len({check["name"] for check in checks}) < expected_checks):
        return "PENDING"
    return "WARN" if "WARN" in statuses else "PASS"


def expected_can_proceed(checks: list[Check], verdict: str, event: Event) -> bool:
    """Return true for PASS, and for WARN if each warning is accepted, by the flag or by its name."""
    if verdict == "PASS":
        return True
    warned = [check["name"] for check in checks if check["status"] == "WARN"]
    return verdict == "WARN" and all(event.proceed_on_warn or name in event.accepted_warnings for name in warned)


def outcome(summary: Summary) -> tuple:
    """Return the outcome in the summary of `judge`."""
    decision = summary.decision
    counts = asdict(decision.counts)
    return decision.verdict.value, decision.can_proceed, decision.retry_after, counts, decision.accepted


def expected_outcome(checks: list[Check], event: Event) -> tuple:
    """Return the outcome of the second implementation."""
    verdict = expected_verdict(checks, event.expected_checks)
    statuses = [check["status"] for check in checks]
    accepted_names = [
        check["name"] for check in checks if check["status"] == "WARN" and check["name"] in event.accepted_warnings
    ]
    counts = {
        "total": len(checks),
        "success": statuses.count("SUCCESS"),
        "warn": statuses.count("WARN"),
        "failed": statuses.count("FAILED"),
        "accepted": len(accepted_names),
    }
    return (
        verdict,
        expected_can_proceed(checks, verdict, event),
        10 if verdict == "PENDING" else None,
        counts,
        tuple(sorted(set(accepted_names), key=accepted_names.index)),
    )


@pytest.mark.parametrize("proceed_on_warn", [False, True])
@pytest.mark.parametrize("expected_checks", [None, 1, 2, 3, 4, 5])
def test_each_short_list(proceed_on_warn, expected_checks):
    """For each list of up to four checks and each set of accepted names, `judge` agrees with the oracle."""
    for checks in check_lists():
        result = PrecheckResult(checks, UPSTREAM)
        for accepted in subsets({check["name"] for check in checks} | {ABSENT_NAME}):
            event = Event(
                **EVENT,
                proceed_on_warn=proceed_on_warn,
                accepted_warnings=accepted,
                expected_checks=expected_checks,
            )
            summary = judge(event, result, CHECKED_AT)
            assert outcome(summary) == expected_outcome(checks, event), checks
            assert summary.checks == checks
            order = [check for status in ("FAILED", "WARN") for check in checks if check["status"] == status]
            assert summary.issues == order


def test_number_of_lists():
    """There are 1 + 3 + 2*9 + 5*27 + 15*81 lists.

    1, 1, 2, 5 and 15 are the Bell numbers: the ways in which zero to four names can be equal.
    """
    assert sum(1 for _ in check_lists()) == 1 + 3 + 18 + 135 + 1215
    assert [sum(1 for _ in name_lists(length)) for length in range(5)] == [1, 1, 2, 5, 15]


@pytest.mark.parametrize(
    ("names", "fields", "message"),
    [
        ([], {"expected_checks": 3}, "DDM lists no checks yet; try again later"),
        ([], {}, "DDM lists no checks yet; try again later"),
        (["a"], {"expected_checks": 3}, "DDM lists 1 of at least 3 different checks; try again later"),
        (["a", "a"], {"expected_checks": 3}, "DDM lists 1 of at least 3 different checks; try again later"),
        (list("abcde"), {"expected_checks": 1}, "5 of 5 checks warned: a; b; c; d; e"),
        (list("abcdef"), {"expected_checks": 1}, "6 of 6 checks warned: a; b; c; d; e; 1 more"),
        (["n" * 100], {"expected_checks": 1}, "1 of 1 checks warned: " + "n" * 100),
        (["n" * 101], {"expected_checks": 1}, "1 of 1 checks warned: " + "n" * 100 + "…"),
        (
            ["a"],
            {},
            "1 of 1 checks warned: a; the list may be incomplete, because expected_checks is not set",
        ),
        (
            list("abb"),
            {"expected_checks": 2, "accepted_warnings": frozenset("bz")},
            "3 of 3 checks warned (2 accepted): a; b; b",
        ),
    ],
    ids=[
        *("no checks of three", "no checks", "one check of three", "one name of three", "five names", "six names"),
        *("100 characters", "101 characters", "number of checks not known", "accepted warnings"),
    ],
)
def test_message_at_its_limits(names, fields, message):
    """The message has the number of checks of an incomplete list, and truncates only names that exceed a limit."""
    event = Event(**EVENT, **fields)
    checks = [Check(name=name, status="WARN", **NO_TEXTS) for name in names]
    assert judge(event, PrecheckResult(checks, UPSTREAM), CHECKED_AT).decision.message == message
