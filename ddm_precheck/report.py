"""Builds the report: the outcome as plain text for the person who approves the shard change or fixes the issues. Pure.

The report fits into one WeCom message (2,048 bytes): WeCom has the lowest limit of the common chats. Each issue takes
one line: in DDM's texts, line breaks, control characters and direction marks are replaced by spaces. ``@``, ``<`` and
``>`` are replaced by similar characters, which no chat interprets as a mention.
"""

from typing import Final

from ddm_precheck.checks import Check
from ddm_precheck.text import one_line, truncate_bytes
from ddm_precheck.verdict import Decision

MAX_BYTES: Final = 2000
_MAX_HEADLINE_BYTES: Final = 400
_MAX_NAME_BYTES: Final = 120
_MIN_ISSUES: Final = 4
"""The number of issues that always fit, even if their strings are long."""
_MAX_MORE_BYTES: Final = len("\n… and 1000 more".encode())
_LOOKALIKES: Final = str.maketrans({"@": "＠", "<": "‹", ">": "›"})  # noqa: RUF001 - they are intended


def build_report(decision: Decision, issues: tuple[Check, ...]) -> str:
    """Return the report in at most `MAX_BYTES` bytes of UTF-8: the decision, then a line for each issue that fits."""
    precheck = decision.precheck
    lines = [
        _headline(decision),
        f"Job {precheck.job_id} of database schema {precheck.db_name}, checked at {decision.checked_at}",
    ]
    remaining = MAX_BYTES - _MAX_MORE_BYTES - sum(_size(line) for line in lines)
    for number, issue in enumerate(issues):
        share = remaining // max(min(len(issues), _MIN_ISSUES) - number, 1)
        is_accepted = issue.status == "WARN" and issue.name in decision.accepted
        line = _issue_line(issue, "accepted " if is_accepted else "", share - 1)
        remaining -= _size(line)
        if remaining < 0:
            lines.append(f"… and {len(issues) - number} more")
            break
        lines.append(line)
    return "\n".join(lines)


def _headline(decision: Decision) -> str:
    """Return the verdict and the message. If the message is too long, truncate its headline and keep its notes."""
    headline = f"{decision.verdict}: {_safe(decision.headline)}"
    return truncate_bytes(headline, _MAX_HEADLINE_BYTES - len(decision.notes.encode())) + decision.notes


def _issue_line(issue: Check, mark: str, max_bytes: int) -> str:
    """Return the line of one issue. Its strings are truncated to `max_bytes`, and its name to `_MAX_NAME_BYTES`.

    The mark precedes the status, so that no name of a check can imitate the mark.
    """
    line = f"- {mark}{issue.status} {truncate_bytes(_safe(issue.name), _MAX_NAME_BYTES)}"
    error = _safe(issue.error) or _safe(issue.error_detail)
    suggestion = _safe(issue.suggestion)
    error, suggestion = error and f": {error}", suggestion and f" → {suggestion}"
    return line + _fit(error, suggestion, max_bytes - len(line.encode()))


def _fit(first: str, second: str, max_bytes: int) -> str:
    """Return both strings in at most `max_bytes`. Each may use half of the bytes, and more if the other is short."""
    first = truncate_bytes(first, max(max_bytes // 2, max_bytes - len(second.encode())))
    return first + truncate_bytes(second, max_bytes - len(first.encode()))


def _safe(text: str | None) -> str:
    return one_line(text or "").translate(_LOOKALIKES)


def _size(line: str) -> int:
    return len(line.encode()) + 1
