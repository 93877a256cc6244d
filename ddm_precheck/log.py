"""Writes one JSON line on stdout for each request, in the format that Cloud Logging parses."""

import contextlib
import json
import re
import select
import threading
import traceback
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final, TextIO

from flask import Request

from ddm_precheck import framework_hooks
from ddm_precheck.event import Event
from ddm_precheck.problem import Problem, ProblemCode, UpstreamInfo
from ddm_precheck.redaction import contains_token, redact
from ddm_precheck.text import truncate
from ddm_precheck.verdict import Decision, problem_verdict

_TRACE: Final = re.compile(r"(?:[0-9a-f]{2}-)?([0-9a-fA-F]{32})(?:[-/].*)?")
_EXECUTION_ID: Final = re.compile(r"([A-Za-z0-9_-]{1,64})")
# A write of up to 4,096 bytes (PIPE_BUF) never blocks if the pipe is writable, so no line is longer. Each text that has
# no limit of its own gets a share, in bytes of JSON. The other fields need up to 1,000 bytes.
_MAX_MESSAGE_BYTES: Final = 1000
_MAX_NAMES_BYTES: Final = 1250
_MAX_EXCEPTION_BYTES: Final = 600
_BLOCKED_MILLISECONDS: Final = 100
_NO_IDS: Final = dict.fromkeys(("project_id", "instance_id", "db_name", "job_id"))
_LOCK: Final = threading.Lock()


@dataclass(slots=True)
class LogEntry:
    """The data of one log line, collected while the request is processed.

    No line contains the token: the event's IDs and DDM's texts are redacted, and a message quotes no value of the
    event. No exception is stored, because the frames of its traceback would keep the request's body in memory.
    """

    trace: str | None = None
    execution_id: str | None = None
    event: Event | None = None
    upstream: UpstreamInfo | None = None
    verdict: str | None = None
    code: ProblemCode | None = None
    message: str = ""
    accepted: tuple[str, ...] = ()
    exception: str | None = None
    started: float = field(default_factory=monotonic)

    def record_event(self, event: Event, request: Request) -> None:
        """Record the event, and the trace ID and the execution ID of the request unless they contain a token.

        Without a valid event, no such ID is recorded: the token is unknown then, and the ID may contain it.
        """
        self.event = event
        tokens = (event.token, request.headers.get("X-Auth-Token", ""))
        self.trace = None
        for name in ("X-Cloud-Trace-Context", "traceparent"):
            self.trace = _safe_id(_TRACE, request.headers.get(name, ""), tokens) or self.trace
        self.execution_id = _safe_id(_EXECUTION_ID, request.headers.get("Function-Execution-Id", ""), tokens)

    def record_decision(self, decision: Decision) -> None:
        """Record the outcome of a request that has a verdict."""
        self.verdict, self.message = decision.verdict.value, decision.message
        self.upstream, self.accepted = decision.upstream, decision.accepted

    def record_problem(self, problem: Problem) -> None:
        """Record the outcome of a request that has no verdict."""
        self.code, self.verdict = problem.code, problem_verdict(problem.code).value
        self.message = problem.log_detail or problem.detail
        self.upstream = problem.upstream or self.upstream

    def write(self, http_status: int) -> None:
        """Write the line. If stdout is closed, full or blocked, only the line is lost."""
        # json escapes line breaks and all characters that are not ASCII, so that no value can end the line.
        line = json.dumps(self._fields(http_status)) + "\n"
        stdout = framework_hooks.stdout()
        if stdout is None:
            return
        with contextlib.suppress(OSError, ValueError):  # ValueError: stdout was closed after the start
            if _is_writable(stdout, _BLOCKED_MILLISECONDS):
                with _LOCK:
                    if _is_writable(stdout, 0):
                        stdout.write(line)
                        stdout.flush()

    def _fields(self, http_status: int) -> dict[str, Any]:
        event, upstream = self.event, self.upstream
        fields = {
            "severity": _severity(self.code),
            "message": _truncate_json(self.message, _MAX_MESSAGE_BYTES),
            "verdict": self.verdict,
            "code": self.code.value if self.code else None,
            "http_status": http_status,
            **({name: redact(value, event.token) for name, value in event.ids.items()} if event else _NO_IDS),
            "duration_ms": round((monotonic() - self.started) * 1000),
            "upstream": upstream
            and {
                "status": upstream.status,
                "attempts": upstream.attempts,
                "elapsed_ms": upstream.elapsed_ms,
                "request_id": upstream.request_id,
            },
            "token_from": event.token_from if event else None,
            "trace": self.trace,
        }
        if self.execution_id and framework_hooks.adds_execution_ids():
            fields["logging.googleapis.com/labels"] = {"execution_id": self.execution_id}
        if self.accepted:
            fields["accepted_warnings"] = _first_names(self.accepted)
        return fields | ({"exception": _truncate_json(self.exception, _MAX_EXCEPTION_BYTES)} if self.exception else {})


def summarize_traceback(bug: BaseException) -> str:
    """Return the type and the frames of an exception, without its message, which could contain the token."""
    frames = traceback.extract_tb(bug.__traceback__)
    return " < ".join([type(bug).__name__, *(f"{frame.name}:{frame.lineno}" for frame in reversed(frames))])


def _truncate_json(text: str, max_bytes: int) -> str:
    """Return the text, truncated so that its JSON has at most `max_bytes` bytes."""
    while (size := len(json.dumps(text))) > max_bytes:
        text = truncate(text, len(text) * max_bytes // size - 1)
    return text


def _first_names(names: tuple[str, ...]) -> list[str]:
    """Return the names that fit into the line; if some do not fit, the last item is their number."""
    shorter = ([*names[:number], f"… and {len(names) - number} more"] for number in range(len(names) - 1, -1, -1))
    return next(shown for shown in [list(names), *shorter] if len(json.dumps(shown)) <= _MAX_NAMES_BYTES)


def _safe_id(pattern: re.Pattern[str], value: str, tokens: tuple[str, ...]) -> str | None:
    """Return the ID in a header's value. If the value has another format, or the ID contains a token, return None."""
    match = pattern.fullmatch(value)
    return match[1] if match and not any(contains_token(match[1], token) for token in tokens) else None


def _is_writable(stream: TextIO, milliseconds: int) -> bool:
    """Return whether the stream becomes writable within the time. A write to a full pipe would block the request."""
    try:
        descriptor = stream.fileno()
    except (OSError, AttributeError):  # the stream is not a file
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(milliseconds))


def _severity(code: ProblemCode | None) -> str:
    if code is None or code is ProblemCode.PENDING:
        return "INFO"
    return "WARNING" if code.status < 500 else "ERROR"
