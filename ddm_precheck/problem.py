"""The catalogue of problems and the one exception that carries them."""

import re
from dataclasses import dataclass
from typing import Final

from ddm_precheck.schema import Violation

_ASK_AGAIN_SECONDS: Final = 10
_NOT_TEXT: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True)
class Kind:
    """What all problems of one code have in common."""

    status: int
    title: str
    retryable: bool = False


@dataclass(frozen=True, slots=True)
class Upstream:
    """What is known of the call to DDM, however it ended.

    ``status`` is None where DDM never answered; ``elapsed_ms`` counts all attempts.
    """

    status: int | None
    attempts: int
    elapsed_ms: int
    request_id: str | None = None
    error_code: str | None = None
    error_msg: str | None = None


CATALOGUE: Final = {
    "invalid-event": Kind(400, "The event is not valid"),
    "method-not-allowed": Kind(405, "Only POST is allowed"),
    "event-too-large": Kind(413, "The event is too large"),
    "unauthorized": Kind(401, "DDM does not accept the token"),
    "forbidden": Kind(403, "The token may not read this precheck"),
    "not-found": Kind(404, "DDM does not know what the event names"),
    "rejected": Kind(422, "DDM rejected the request"),
    "throttled": Kind(429, "DDM asks for fewer requests", retryable=True),
    "pending": Kind(503, "The precheck has not finished", retryable=True),
    "upstream-unavailable": Kind(502, "DDM is not available", retryable=True),
    "upstream-timeout": Kind(504, "DDM did not answer in time", retryable=True),
    "upstream-contract": Kind(502, "DDM's answer cannot be trusted"),
    "sink-unavailable": Kind(502, "The sink did not take the event", retryable=True),
    "internal": Kind(500, "The function failed", retryable=True),
}


def one_line(text: str) -> str:
    """Return the text as one line for a person: white space and control characters become single spaces."""
    return " ".join(_NOT_TEXT.sub(" ", text).split())


class Problem(Exception):  # noqa: N818 - the field's word (RFC 9457), not every problem is an error
    """An outcome without a verdict that the caller has to know about.

    ``code`` is a key of `CATALOGUE`; ``detail`` is one line for a person and never quotes the event;
    ``retry_after`` is in seconds, None where asking again cannot help.
    """

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: tuple[Violation, ...] = (),
        upstream: Upstream | None = None,
        retry_after: int = _ASK_AGAIN_SECONDS,
    ) -> None:
        self.code = code
        self.kind = CATALOGUE[code]
        self.detail = detail
        self.errors = errors
        self.upstream = upstream
        self.retry_after = retry_after if self.kind.retryable else None

    @property
    def verdict(self) -> str:
        """``PENDING`` where only time is missing, else ``ERROR``."""
        return "PENDING" if self.code == "pending" else "ERROR"
