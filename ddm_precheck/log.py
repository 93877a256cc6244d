"""Writes one JSON line on stdout for each request, in the format that Cloud Logging parses."""

import contextlib
import json
import re
import sys
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Final

from ddm_precheck.event import IDS, Precheck
from ddm_precheck.messages import Incoming
from ddm_precheck.problem import Problem, ProblemCode, UpstreamInfo
from ddm_precheck.verdict import Decision, problem_verdict

_LOCK: Final = threading.Lock()
_TRACE: Final = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-fA-F]{32})(?:[-/].*)?")


@dataclass(slots=True)
class Entry:
    """The data of one log line. No exception is stored: its traceback would keep the request body in memory."""

    trace: str | None = None
    precheck: Precheck | None = None
    token_from: str | None = None
    upstream: UpstreamInfo | None = None
    verdict: str | None = None
    code: ProblemCode | None = None
    message: str = ""
    accepted: tuple[str, ...] = ()
    exception: str | None = None
    started: float = field(default_factory=monotonic)

    def record_decision(self, decision: Decision) -> None:
        self.verdict, self.message = decision.verdict.value, decision.message
        self.upstream, self.accepted = decision.upstream, decision.accepted

    def record_problem(self, problem: Problem) -> None:
        self.code, self.verdict = problem.code, problem_verdict(problem.code).value
        self.message = problem.log_detail
        self.upstream = problem.upstream

    def write(self, http_status: int) -> None:
        """Write the line. If stdout is closed, only the line is lost."""
        # json escapes line breaks and all characters that are not ASCII, so that no value can end the line. The wrapper
        # of LOG_EXECUTION_ID turns one write into two, hence the lock, and has errors of its own if stdout is closed.
        line = json.dumps(self._fields(http_status)) + "\n"
        with _LOCK, contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stdout.write(line)
            sys.stdout.flush()

    def _fields(self, http_status: int) -> dict[str, Any]:
        upstream = self.upstream
        fields = {
            "severity": _severity(self.code),
            "message": self.message,
            "verdict": self.verdict,
            "code": self.code.value if self.code else None,
            "http_status": http_status,
            **(self.precheck.ids if self.precheck else dict.fromkeys(IDS)),
            "duration_ms": round((monotonic() - self.started) * 1000),
            "upstream": upstream
            and {
                "status": upstream.status,
                "attempts": upstream.attempts,
                "elapsed_ms": upstream.elapsed_ms,
                "request_id": upstream.request_id,
            },
            "token_from": self.token_from,
            "trace": self.trace,
        }
        if self.accepted:
            fields["accepted_warnings"] = self.accepted
        return fields | ({"exception": self.exception} if self.exception else {})


def find_trace(incoming: Incoming) -> str | None:
    for name in ("traceparent", "x-cloud-trace-context"):
        if match := _TRACE.fullmatch(incoming.header(name)):
            return match[1]
    return None


def describe_exception(bug: BaseException) -> str:
    """Return the type and the frames, innermost first, without the exception's message, which could quote a value."""
    frames = reversed(traceback.extract_tb(bug.__traceback__))
    lines = (f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} in {frame.name}" for frame in frames)
    return " < ".join([type(bug).__name__, *lines])


def _severity(code: ProblemCode | None) -> str:
    if code is None or code is ProblemCode.PENDING:
        return "INFO"
    return "WARNING" if code.status < 500 else "ERROR"
