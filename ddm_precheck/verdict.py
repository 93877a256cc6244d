"""Judges the list of checks: one verdict. Pure: no I/O, no clock, no HTTP."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from operator import itemgetter
from typing import Final

from ddm_precheck.checks import Check, PrecheckResult
from ddm_precheck.event import Event
from ddm_precheck.problem import RETRY_SECONDS, ProblemCode, UpstreamInfo
from ddm_precheck.text import one_line, truncate

_INCOMPLETE_NOTE: Final = "; the list may be incomplete, because expected_checks is not set"
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
class Counts:
    """The numbers of checks: all, those of each status, and the accepted warnings."""

    total: int
    success: int = 0
    warn: int = 0
    failed: int = 0
    accepted: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one precheck, without the checks, which can take much memory.

    - ``headline``: the message without its note.
    - ``note``: says that the list may be incomplete, or is empty.
    - ``accepted``: the different names of the accepted warnings.
    - ``checked_at``: the time in UTC (RFC 3339).
    """

    event: Event
    verdict: Verdict
    can_proceed: bool
    headline: str
    note: str
    counts: Counts
    accepted: tuple[str, ...]
    checked_at: str
    upstream: UpstreamInfo

    @property
    def message(self) -> str:
        """The outcome as one line for a person."""
        return self.headline + self.note

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
    failed = [check for check in checks if check["status"] == "FAILED"]
    warned = [check for check in checks if check["status"] == "WARN"]
    acceptable = event.accepted_warnings - result.redacted_names
    accepted = [check["name"] for check in warned if check["name"] in acceptable]
    statuses = Counter(map(itemgetter("status"), checks))
    counts = Counts(
        total=len(checks),
        accepted=len(accepted),
        **{_COUNTED_AS[status]: number for status, number in statuses.items()},
    )
    distinct = len(set(map(itemgetter("name"), checks)))
    verdict = _verdict(counts, distinct, event.expected_checks or 1)
    may_proceed_on_warn = event.proceed_on_warn or len(accepted) == len(warned)
    decision = Decision(
        event=event,
        verdict=verdict,
        can_proceed=verdict is Verdict.PASS or (verdict is Verdict.WARN and may_proceed_on_warn),
        headline=_headline(verdict, counts, failed + warned, distinct, event.expected_checks),
        note="" if event.expected_checks or verdict not in {Verdict.PASS, Verdict.WARN} else _INCOMPLETE_NOTE,
        counts=counts,
        accepted=tuple(dict.fromkeys(accepted)),
        checked_at=checked_at,
        upstream=result.upstream,
    )
    return Summary(decision, failed + warned, checks)


def problem_verdict(code: ProblemCode) -> Verdict:
    """Return the verdict of a problem: PENDING if the precheck has not finished, else ERROR."""
    return Verdict.PENDING if code is ProblemCode.PENDING else Verdict.ERROR


def _verdict(counts: Counts, distinct: int, expected: int) -> Verdict:
    """Return the verdict. FAIL is final even if the list is incomplete; WARN and PASS require the complete list."""
    if counts.failed:
        return Verdict.FAIL
    if distinct < expected:
        return Verdict.PENDING
    return Verdict.WARN if counts.warn else Verdict.PASS


def _headline(verdict: Verdict, counts: Counts, issues: list[Check], distinct: int, expected: int | None) -> str:
    if verdict is Verdict.PENDING:
        return f"{_progress(distinct, expected)}; try again later"
    if verdict is Verdict.FAIL:
        return f"{counts.failed} of {counts.total} checks failed, {counts.warn} warned: {_names(issues)}"
    if verdict is Verdict.PASS:
        return f"{counts.total} of {counts.total} checks passed"
    accepted = f" ({counts.accepted} accepted)" if counts.accepted else ""
    return f"{counts.warn} of {counts.total} checks warned{accepted}: {_names(issues)}"


def _progress(distinct: int, expected: int | None) -> str:
    if not distinct:
        return "DDM lists no checks yet"
    return f"DDM lists {distinct} of at least {expected} different checks"


def _names(issues: Iterable[Check]) -> str:
    """Return the first names on one line, each truncated."""
    names = [truncate(one_line(issue["name"]), _MAX_NAME_LENGTH) for issue in issues]
    more = [f"{len(names) - _MAX_NAMES} more"] if len(names) > _MAX_NAMES else []
    return "; ".join(names[:_MAX_NAMES] + more)
