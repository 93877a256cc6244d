"""Problems (RFC 9457): one exception for every outcome without a summary, with a code from one table."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, Self

RETRY_SECONDS: Final = 10
"""The default for the time after which a retry can change the outcome."""


class ProblemCode(Enum):
    """The kinds of problems. The value is the ``code`` of the response.

    ``status`` is the HTTP status, ``title`` the title of RFC 9457. ``retryable`` is true if the same request can
    succeed later.
    """

    status: int
    title: str
    retryable: bool

    def __new__(cls, code: str, status: int, title: str, retryable: bool = False) -> Self:  # noqa: FBT001, FBT002
        """Create a member of the enum from a row of the table."""
        member = object.__new__(cls)
        member._value_ = code
        member.status, member.title, member.retryable = status, title, retryable
        return member

    INVALID_EVENT = "invalid-event", 400, "The event is not valid"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "Only POST is allowed"
    EVENT_TOO_LARGE = "event-too-large", 413, "The event is too large"
    UNAUTHORIZED = "unauthorized", 401, "DDM does not accept the token"
    FORBIDDEN = "forbidden", 403, "The token may not be used for this precheck"
    NOT_FOUND = "not-found", 404, "DDM does not know this precheck"
    REJECTED = "rejected", 422, "DDM rejected the request"
    THROTTLED = "throttled", 429, "DDM limits the rate of requests", True
    PENDING = "pending", 503, "The precheck has not finished", True
    UPSTREAM_UNAVAILABLE = "upstream-unavailable", 502, "DDM is not available", True
    UPSTREAM_TIMEOUT = "upstream-timeout", 504, "DDM did not respond in time", True
    UPSTREAM_CONTRACT = "upstream-contract", 502, "DDM's response cannot be trusted"
    SINK_UNAVAILABLE = "sink-unavailable", 502, "The sink did not accept the event", True
    INTERNAL = "internal", 500, "The function failed", True


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation of a rule: the RFC 6901 pointer of the value, and the rule as ``detail``.

    No value is quoted, because any value may be the token.
    """

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True)
class UpstreamInfo:
    """Information about one request to DDM and its retries, with or without a response.

    ``status`` is None if DDM sent no response. ``elapsed_ms`` is the time of all attempts.
    """

    status: int | None
    attempts: int
    elapsed_ms: int
    request_id: str | None = None
    error_code: str | None = None
    error_msg: str | None = None


class Problem(Exception):  # noqa: N818 - RFC 9457's term; `pending` is a problem but not an error
    """An outcome without a verdict that the caller can act on.

    ``detail`` is one line for a person and never quotes the event. ``errors`` are the violations in the event or in
    DDM's result. ``upstream`` is the request to DDM, or None if no request was sent. ``retry_after`` is in seconds, or
    None if a retry cannot change the outcome. ``log_detail`` is written to the log instead of ``detail``.
    """

    def __init__(  # noqa: PLR0913 - one argument for each part of a problem
        self,
        code: ProblemCode,
        detail: str,
        *,
        errors: tuple[Violation, ...] = (),
        upstream: UpstreamInfo | None = None,
        retry_after: int = RETRY_SECONDS,
        log_detail: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.upstream = upstream
        self.retry_after = retry_after if code.retryable else None
        self.log_detail = log_detail


def invalid_event(*violations: Violation) -> Problem:
    """Return the problem `ProblemCode.INVALID_EVENT`. Its detail describes the first violation."""
    first = violations[0]
    more = f" (and {len(violations) - 1} more, see errors)" if len(violations) > 1 else ""
    return Problem(ProblemCode.INVALID_EVENT, f"{first.pointer or 'the event'} {first.detail}{more}", errors=violations)
