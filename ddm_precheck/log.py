"""One JSON line on stdout for each invocation, in the form that Cloud Logging reads."""

import contextlib
import json
import re
import sys
import threading
import traceback
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final

from flask import Request

from ddm_precheck.event import Event
from ddm_precheck.problem import Problem, Upstream

_TRACE: Final = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-fA-F]{32})(?:[-/].*)?")
_lock = threading.Lock()


@dataclass(slots=True)
class Line:
    """What is known of one invocation, gathered while it runs.

    No text gets here that is not free of the token: texts of DDM's are masked, those of the event are never quoted.
    """

    trace: str | None
    event: Event | None = None
    upstream: Upstream | None = None
    verdict: str | None = None
    problem: Problem | None = None
    message: str = ""
    exception: str | None = None
    started: float = field(default_factory=monotonic)

    def write(self, http_status: int) -> None:
        """Write the line, as one piece: threads share stdout."""
        # json escapes line breaks and everything that is not ASCII, so no value can break the line.
        text = json.dumps(self._members(http_status)) + "\n"
        # An answer is worth more than its line: a closed pipe must not turn it into a failure.
        with _lock, contextlib.suppress(OSError, ValueError):
            sys.stdout.write(text)
            sys.stdout.flush()

    def _members(self, http_status: int) -> dict[str, Any]:
        upstream = self.upstream
        members = {
            "severity": _severity(self.problem),
            "message": self.message,
            "verdict": self.verdict,
            "code": self.problem.code if self.problem else None,
            "http_status": http_status,
            **(self.event.ids if self.event else _NO_IDS),
            "duration_ms": round((monotonic() - self.started) * 1000),
            "upstream": upstream
            and {
                "status": upstream.status,
                "attempts": upstream.attempts,
                "elapsed_ms": upstream.elapsed_ms,
                "request_id": upstream.request_id,
            },
            "trace": self.trace,
        }
        return members | ({"exception": self.exception} if self.exception else {})


def begin(request: Request) -> Line:
    """Begin the line of an invocation, with the trace ID of its headers."""
    for name in ("traceparent", "X-Cloud-Trace-Context"):
        if match := _TRACE.fullmatch(request.headers.get(name, "")):
            return Line(match[1])
    return Line(None)


def whereabouts(bug: BaseException) -> str:
    """Tell the kind of an exception and where it was raised; its text could quote anything, so it is left out."""
    frames = traceback.extract_tb(bug.__traceback__)
    return " < ".join([type(bug).__name__, *(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))])


def _severity(problem: Problem | None) -> str:
    if problem is None or problem.code == "pending":
        return "INFO"
    return "WARNING" if problem.kind.status < 500 else "ERROR"


_NO_IDS: Final = dict.fromkeys(("project_id", "instance_id", "db_name", "job_id"))
