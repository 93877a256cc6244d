"""Judges the list of checks: one verdict. Pure: no I/O, no clock, no HTTP."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from ddm_precheck.checks import Check, PrecheckResult
from ddm_precheck.event import Event
from ddm_precheck.problem import RETRY_SECONDS, ProblemCode, UpstreamInfo
from ddm_precheck.text import one_line, truncate

INCOMPLETE_NOTE: Final = "; the list may be incomplete, because expected_checks is not set"
"""The end of the message if the number of checks in the complete list is unknown."""

_MAX_NAMES: Final = 5
_MAX_NAME_LENGTH: Final = 100
_COUNTED_AS: Final = {"SUCCESS": "success", "WARN": "warn", "FAILED": "failed"}


class Verdict(StrEnum):
    """The verdict on a precheck. ERROR is the verdict of a problem."""

    PASS = "PASS"  # noqa: S105 - not a password
    WARN = "WARN"
    FAIL = "FAIL"
    PENDING = "PENDING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one precheck, without the checks, which can take much memory.

    ``accepted`` are the different names of the accepted warnings; ``checked_at`` is the time in UTC (RFC 3339).
    """

    event: Event
    verdict: Verdict
    can_proceed: bool
    message: str
    counts: dict[str, int]
    accepted: tuple[str, ...]
    checked_at: str
    upstream: UpstreamInfo

    @property
    def retry_after(self) -> int | None:
        """Seconds after which a retry can change the verdict, or None if a retry cannot change it."""
        return RETRY_SECONDS if self.verdict is Verdict.PENDING else None


@dataclass(frozen=True, slots=True)
class Summary:
    """The decision and the checks; ``issues`` are the failed checks, then the warnings, each in DDM's order."""

    decision: Decision
    issues: list[Check]
    checks: list[Check]


def judge(event: Event, result: PrecheckResult, checked_at: str) -> Summary:
    """Return the summary of DDM's result.

    Raises KeyError for a status other than SUCCESS, WARN and FAILED.
    """
    checks = result.checks
    counts = {"total": len(checks), "success": 0, "warn": 0, "failed": 0}
    for status, number in Counter(check["status"] for check in checks).items():
        counts[_COUNTED_AS[status]] = number
    failed = [check for check in checks if check["status"] == "FAILED"]
    warned = [check for check in checks if check["status"] == "WARN"]
    acceptable = event.accepted_warnings - result.changed_names
    accepted = [check["name"] for check in warned if check["name"] in acceptable]
    counts["accepted"] = len(accepted)
    distinct = len({check["name"] for check in checks})
    verdict = _verdict(counts, distinct, event.expected_checks or 1)
    may_proceed_on_warn = event.proceed_on_warn or len(accepted) == len(warned)
    decision = Decision(
        event=event,
        verdict=verdict,
        can_proceed=verdict is Verdict.PASS or (verdict is Verdict.WARN and may_proceed_on_warn),
        message=_message(verdict, counts, failed + warned, distinct, event.expected_checks),
        counts=counts,
        accepted=tuple(dict.fromkeys(accepted)),
        checked_at=checked_at,
        upstream=result.upstream,
    )
    return Summary(decision, failed + warned, checks)


def problem_verdict(code: ProblemCode) -> Verdict:
    """Return the verdict of a problem: PENDING if the precheck has not finished, else ERROR."""
    return Verdict.PENDING if code is ProblemCode.PENDING else Verdict.ERROR


def _verdict(counts: dict[str, int], distinct: int, expected: int) -> Verdict:
    """Return the verdict. FAIL is final even if the list is incomplete; WARN and PASS require the complete list."""
    if counts["failed"]:
        return Verdict.FAIL
    if distinct < expected:
        return Verdict.PENDING
    return Verdict.WARN if counts["warn"] else Verdict.PASS


def _message(verdict: Verdict, counts: dict[str, int], issues: list[Check], distinct: int, expected: int | None) -> str:
    total, warned = counts["total"], counts["warn"]
    if verdict is Verdict.PENDING:
        return f"{_progress(distinct, expected)}; try again later"
    if verdict is Verdict.FAIL:
        return f"{counts['failed']} of {total} checks failed, {warned} warned: {_names(issues)}"
    note = "" if expected else INCOMPLETE_NOTE
    if verdict is Verdict.PASS:
        return f"{total} of {total} checks passed{note}"
    accepted = f" ({counts['accepted']} accepted)" if counts["accepted"] else ""
    return f"{warned} of {total} checks warned{accepted}: {_names(issues)}{note}"


def _progress(distinct: int, expected: int | None) -> str:
    if not distinct:
        return "DDM lists no checks yet"
    return f"DDM lists {distinct} of at least {expected} different checks"


def _names(issues: Iterable[Check]) -> str:
    """Return the first names on one line, each truncated."""
    names = [truncate(one_line(issue["name"]), _MAX_NAME_LENGTH) for issue in issues]
    more = [f"{len(names) - _MAX_NAMES} more"] if len(names) > _MAX_NAMES else []
    return "; ".join(names[:_MAX_NAMES] + more)
