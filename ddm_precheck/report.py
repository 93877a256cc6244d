"""The report: the outcome as plain text for the person who approves or repairs. Pure.

It fits into one message of WeCom (2,048 bytes), the smallest of the chats. DDM's texts stay within their line: line
breaks, control characters and direction marks become spaces, and ``@``, ``<`` and ``>`` become look-alikes that no chat
takes for a mention.
"""

from typing import Final

from ddm_precheck.result import Check
from ddm_precheck.text import one_line, truncate_bytes
from ddm_precheck.verdict import Decision

MAX_BYTES: Final = 2000
_MAX_MESSAGE_BYTES: Final = 400
_MAX_NAME_BYTES: Final = 120
_MIN_ISSUES: Final = 4
"""How many issues fit at least, however long their texts are."""
_MAX_MORE_BYTES: Final = len("\n… and 1000 more".encode())
_LOOK_ALIKES: Final = str.maketrans({"@": "＠", "<": "‹", ">": "›"})  # noqa: RUF001 - look-alikes are the point


def build_report(decision: Decision, issues: list[Check]) -> str:
    """Return the report in at most `MAX_BYTES` bytes of UTF-8: the decision, then a line for each issue that fits."""
    event = decision.event
    lines = [
        truncate_bytes(f"{decision.verdict}: {_safe(decision.message)}", _MAX_MESSAGE_BYTES),
        f"Job {event.job_id} of database schema {event.db_name}, checked at {decision.checked_at}",
    ]
    remaining = MAX_BYTES - _MAX_MORE_BYTES - sum(_size(line) for line in lines)
    share = remaining // min(len(issues), _MIN_ISSUES) if issues else 0
    for number, issue in enumerate(issues):
        line = _issue_line(issue, issue["status"] == "WARN" and issue["name"] in event.accepted_warnings, share - 1)
        remaining -= _size(line)
        if remaining < 0:
            lines.append(f"… and {len(issues) - number} more")
            break
        lines.append(line)
    return "\n".join(lines)


def _issue_line(issue: Check, accepted: bool, max_bytes: int) -> str:  # noqa: FBT001 - the issue's own property
    """Return the line of one issue; its error and its suggestion share the bytes that are left."""
    mark = " accepted" if accepted else ""
    line = f"- {issue['status']}{mark} {truncate_bytes(_safe(issue['name']), _MAX_NAME_BYTES)}"
    error, suggestion = _safe(issue["error"] or issue["error_detail"]), _safe(issue["suggestion"])
    remaining = max_bytes - _size(line)
    if error:
        half = remaining // 2 if suggestion else remaining
        error = f": {truncate_bytes(error, max(half, remaining - len(suggestion.encode()) - 5) - 2)}"
    if suggestion:
        suggestion = f" → {truncate_bytes(suggestion, remaining - _size(error) - 4)}"
    return f"{line}{error}{suggestion}"


def _safe(text: str | None) -> str:
    """Return the text as part of one line, without a mention."""
    return one_line(text or "").translate(_LOOK_ALIKES)


def _size(line: str) -> int:
    """Return the bytes of a line and its line break."""
    return len(line.encode()) + 1
