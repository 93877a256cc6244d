"""Problems (RFC 9457): one exception for every outcome without a summary, with a code from one table."""

from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple, Self

RETRY_SECONDS: Final = 10
"""The default for the time after which a retry can change the outcome."""


class ProblemCode(Enum):
    """The kinds of problems: the ``code`` of the response, the HTTP status, and the title of RFC 9457."""

    status: int
    title: str

    def __new__(cls, code: str, status: int, title: str) -> Self:
        member = object.__new__(cls)
        member._value_ = code
        member.status, member.title = status, title
        return member

    INVALID_EVENT = "invalid-event", 400, "The event is not valid"
    METHOD_NOT_ALLOWED = "method-not-allowed", 405, "Only POST is allowed"
    EVENT_TOO_LARGE = "event-too-large", 413, "The event is too large"
    UNAUTHORIZED = "unauthorized", 401, "DDM does not accept the token"
    FORBIDDEN = "forbidden", 403, "The token may not be used for this precheck"
    NOT_FOUND = "not-found", 404, "DDM does not know this precheck"
    REJECTED = "rejected", 422, "DDM rejected the request"
    THROTTLED = "throttled", 429, "DDM limits the rate of requests"
    PENDING = "pending", 503, "The precheck has not finished"
    UPSTREAM_UNAVAILABLE = "upstream-unavailable", 502, "DDM is not available"
    UPSTREAM_TIMEOUT = "upstream-timeout", 504, "DDM did not respond in time"
    UPSTREAM_CONTRACT = "upstream-contract", 502, "Unexpected response from DDM"
    SINK_UNAVAILABLE = "sink-unavailable", 502, "The sink did not accept the event"
    INTERNAL = "internal", 500, "Internal error"

    @property
    def retryable(self) -> bool:
        """Whether the same request can succeed later. Brokers, which see only the status, decide by the same rule."""
        return self.status == 429 or self.status >= 500


@dataclass(frozen=True, slots=True)
class Violation:
    """A violated rule. ``pointer`` is that of RFC 6901. ``detail`` quotes no value: any value may be the token."""

    pointer: str
    detail: str


class UpstreamInfo(NamedTuple):
    """A request to DDM and its retries. ``status`` is None without a response; the time is that of all attempts."""

    status: int | None
    attempts: int
    request_id: str | None = None
    error_code: str | None = None
    error_msg: str | None = None
    elapsed_ms: int = 0


class Problem(Exception):  # noqa: N818 - RFC 9457's term; `pending` is a problem but not an error
    """An outcome without a verdict that the caller can act on.

    ``detail`` is one line for a person and never quotes the event. ``errors`` are the violated rules. ``upstream`` is
    the request to DDM, or None if no request was sent. ``retry_after`` is in seconds, or None if a retry cannot change
    the outcome. ``log_detail`` is logged instead of ``detail``.
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
        self.log_detail = log_detail or detail


def invalid_event(first: Violation, *others: Violation) -> Problem:
    """Return the problem `ProblemCode.INVALID_EVENT`. Its detail describes the first violation."""
    more = f" (and {len(others)} more, see errors)" if others else ""
    return Problem(
        ProblemCode.INVALID_EVENT, f"{first.pointer or 'the event'} {first.detail}{more}", errors=(first, *others)
    )
