"""Judges the checks of both phases: one verdict. Pure: no I/O, no clock, no HTTP."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from ddm_precheck.checks import Check, Phase
from ddm_precheck.event import Precheck
from ddm_precheck.problem import RETRY_SECONDS, ProblemCode, UpstreamInfo
from ddm_precheck.text import one_line, truncate

_MAX_NAMES: Final = 5
_MAX_NAME_LENGTH: Final = 100


class Verdict(StrEnum):
    """The verdict on a precheck. ERROR is the verdict of a problem."""

    PASS = "PASS"  # noqa: S105 - not a password
    WARN = "WARN"
    FAIL = "FAIL"
    PENDING = "PENDING"
    ERROR = "ERROR"


class Counts(NamedTuple):
    total: int
    success: int
    warn: int
    failed: int
    accepted: int


@dataclass(frozen=True, slots=True)
class Decision:
    """The outcome of one precheck, without the checks, which can take much memory.

    - ``headline``, ``notes``: the two parts of the message. The notes say what a PASS or WARN does not cover.
    - ``covers``: the phases whose checks were judged.
    - ``accepted``: the different names of the accepted warnings.
    - ``checked_at``: the time in UTC (RFC 3339).
    """

    precheck: Precheck
    verdict: Verdict
    can_proceed: bool
    headline: str
    notes: str
    covers: tuple[Phase, ...]
    counts: Counts
    accepted: tuple[str, ...]
    checked_at: str
    upstream: UpstreamInfo

    @property
    def message(self) -> str:
        return self.headline + self.notes

    @property
    def retry_after(self) -> int | None:
        return RETRY_SECONDS if self.verdict is Verdict.PENDING else None


@dataclass(frozen=True, slots=True)
class Summary:
    """The decision and the checks, the synchronous ones first; ``issues`` are the failed checks, then the warnings."""

    decision: Decision
    issues: tuple[Check, ...]
    checks: tuple[Check, ...]


def judge(
    precheck: Precheck,
    synchronous: tuple[Check, ...],
    asynchronous: tuple[Check, ...],
    upstream: UpstreamInfo,
    checked_at: str,
) -> Summary:
    """Return the summary. Only the asynchronous checks decide whether the precheck has finished."""
    checks = synchronous + asynchronous
    failed = tuple(check for check in checks if check.status == "FAILED")
    warned = tuple(check for check in checks if check.status not in {"SUCCESS", "FAILED"})
    accepted = [check.name for check in warned if check.name in precheck.accepted_warnings]
    success = len(checks) - len(failed) - len(warned)
    counts = Counts(len(checks), success, len(warned), len(failed), len(accepted))
    distinct = len({check.name for check in asynchronous})
    covers: tuple[Phase, ...] = ("synchronous", "asynchronous") if synchronous else ("asynchronous",)
    verdict = _verdict(counts, distinct, precheck.expected_checks or 1)
    may_proceed_on_warn = precheck.proceed_on_warn or len(accepted) == len(warned)
    decision = Decision(
        precheck=precheck,
        verdict=verdict,
        can_proceed=verdict is Verdict.PASS or (verdict is Verdict.WARN and may_proceed_on_warn),
        headline=_headline(verdict, counts, failed + warned, distinct, precheck),
        notes=_notes(precheck, covers) if verdict in {Verdict.PASS, Verdict.WARN} else "",
        covers=covers,
        counts=counts,
        accepted=tuple(dict.fromkeys(accepted)),
        checked_at=checked_at,
        upstream=upstream,
    )
    return Summary(decision, failed + warned, checks)


def problem_verdict(code: ProblemCode) -> Verdict:
    return Verdict.PENDING if code is ProblemCode.PENDING else Verdict.ERROR


def _verdict(counts: Counts, distinct: int, expected: int) -> Verdict:
    """Return the verdict. FAIL is final even if the list is incomplete; WARN and PASS require the complete list."""
    if counts.failed:
        return Verdict.FAIL
    if distinct < expected:
        return Verdict.PENDING
    return Verdict.WARN if counts.warn else Verdict.PASS


def _headline(verdict: Verdict, counts: Counts, issues: tuple[Check, ...], distinct: int, precheck: Precheck) -> str:
    if verdict is Verdict.PENDING and not distinct:
        return "DDM has not reported any checks yet; try again later"
    if verdict is Verdict.PENDING:
        return f"DDM has reported {distinct} of {precheck.expected_checks} expected checks so far; try again later"
    if verdict is Verdict.FAIL:
        return f"{counts.failed} of {counts.total} checks failed, {counts.warn} warned: {_names(issues)}"
    if verdict is Verdict.PASS:
        return f"{counts.total} of {counts.total} checks passed"
    accepted = f" ({counts.accepted} accepted)" if counts.accepted else ""
    if precheck.proceed_on_warn:
        accepted = " (accepted by proceed_on_warn)"
    return f"{counts.warn} of {counts.total} checks warned{accepted}: {_names(issues)}"


def _notes(precheck: Precheck, covers: tuple[Phase, ...]) -> str:
    notes = []
    if not precheck.expected_checks:
        notes.append(". The list may be incomplete: expected_checks is not set")
    if "synchronous" not in covers:
        notes.append(". The synchronous checks are not covered: pre_check_results is not given")
    return "".join([*notes, "."]) if notes else ""


def _names(issues: Iterable[Check]) -> str:
    names = [truncate(one_line(issue.name), _MAX_NAME_LENGTH) for issue in issues]
    more = [f"{len(names) - _MAX_NAMES} more"] if len(names) > _MAX_NAMES else []
    return "; ".join(names[:_MAX_NAMES] + more)
