"""DDM's list of checks to one verdict. Pure: no I/O, no clock, no HTTP."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypedDict

from ddm_precheck.event import Event
from ddm_precheck.problem import Upstream, one_line

PENDING_RETRY_SECONDS: Final = 10
_MOST_NAMES: Final = 5
_NAME_LENGTH: Final = 100


class Verdict(StrEnum):
    """What the checks come to, taken together."""

    PASS = "PASS"  # noqa: S105 - not a password
    WARN = "WARN"
    FAIL = "FAIL"
    PENDING = "PENDING"


class Check(TypedDict):
    """One check as the summary has it. A plain dict, since it leaves as it is, a thousand times an answer."""

    name: str
    status: str
    note: str | None
    suggestion: str | None
    error: str | None
    error_detail: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The normalised result of one precheck. ``checked_at`` is UTC, as RFC 3339."""

    event: Event
    verdict: Verdict
    message: str
    counts: dict[str, int]
    issues: list[Check]
    checks: list[Check]
    checked_at: str
    upstream: Upstream

    @property
    def can_proceed(self) -> bool:
        """True for PASS, and for WARN where the event allows it. Nothing else."""
        return self.verdict is Verdict.PASS or (self.verdict is Verdict.WARN and self.event.proceed_on_warn)

    @property
    def retry_after(self) -> int | None:
        """Seconds after which to ask again, None where that cannot change the verdict."""
        return PENDING_RETRY_SECONDS if self.verdict is Verdict.PENDING else None


def judge(event: Event, results: Sequence[dict[str, Any]], upstream: Upstream, checked_at: str) -> Summary:
    """Judge DDM's validated checks, in DDM's order, and return the summary.

    A check whose status is none of the three known ones raises KeyError: there is no verdict on it.
    """
    checks = [_check(result) for result in results]
    statuses = Counter(check["status"] for check in checks)
    counts = {"total": len(checks), "success": 0, "warn": 0, "failed": 0}
    for status, number in statuses.items():
        counts[_COUNTED_AS[status]] = number
    failed = [check for check in checks if check["status"] == "FAILED"]
    warned = [check for check in checks if check["status"] == "WARN"]
    issues = failed + warned
    verdict = _verdict(counts, event.expected_checks)
    message = _message(verdict, counts, issues, event.expected_checks)
    return Summary(event, verdict, message, counts, issues, checks, checked_at, upstream)


def _check(result: dict[str, Any]) -> Check:
    return {
        "name": result["name"],
        "status": result["status"],
        "note": _text(result.get("note")),
        "suggestion": _text(result.get("handling_suggestion")),
        "error": _text(result.get("error_message")),
        "error_detail": _text(result.get("error_detail_message")),
    }


def _text(text: str | None) -> str | None:
    """Return DDM's text as it is; None where it is missing, empty or white space, which mean nothing."""
    return text if text and not text.isspace() else None


def _verdict(counts: dict[str, int], expected: int) -> Verdict:
    """Decide. A failure stands whatever is still to come; a go needs the whole list."""
    if counts["failed"]:
        return Verdict.FAIL
    if counts["total"] < expected:
        return Verdict.PENDING
    return Verdict.WARN if counts["warn"] else Verdict.PASS


def _message(verdict: Verdict, counts: dict[str, int], issues: list[Check], expected: int) -> str:
    total, warn = counts["total"], counts["warn"]
    if verdict is Verdict.PENDING:
        listed = f"{total} of at least {expected} checks so far" if total else "no checks yet"
        return f"DDM lists {listed}; ask again later"
    if verdict is Verdict.PASS:
        return f"{total} of {total} checks passed"
    if verdict is Verdict.WARN:
        return f"{warn} of {total} checks warned: {_names(issues)}"
    return f"{counts['failed']} of {total} checks failed, {warn} warned: {_names(issues)}"


def _names(issues: Iterable[Check]) -> str:
    """Return the first names in one line, each cut where it is very long."""
    names = [one_line(issue["name"]) for issue in issues]
    shown = [name if len(name) <= _NAME_LENGTH else f"{name[:_NAME_LENGTH]}…" for name in names[:_MOST_NAMES]]
    more = [f"{len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return "; ".join(shown + more)


_COUNTED_AS: Final = {"SUCCESS": "success", "WARN": "warn", "FAILED": "failed"}
