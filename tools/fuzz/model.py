"""The data types that the modules of the fuzzer share."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class DDMResponse:
    """The response of DDM to each request of a case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the function that change an outcome.

    ``region_in_url`` is true if DDM's URL contains the region.
    """

    region: str | None = None
    expected_checks: int | None = None
    region_in_url: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One request to the function, and the response of DDM."""

    settings: Settings
    method: str
    headers: Mapping[str, str]
    body: bytes
    ddm: DDMResponse


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected outcome of a case.

    - ``fields`` are fields of the response's body with their values.
    - ``pointers`` are required in ``errors``. ``possible`` pointers are allowed in ``errors``. If there are only
      possible pointers, at least one of them is required.
    - ``attempts`` is the number of requests that DDM receives, each with ``url`` and ``token``.
    - ``attributes`` are the attributes of the CloudEvent that carries the summary, in ``mode``.
    """

    status: int
    fields: Mapping[str, Any] = field(default_factory=dict)
    pointers: frozenset[str] = frozenset()
    possible: frozenset[str] = frozenset()
    attempts: int = 0
    url: str | None = None
    token: str | None = None
    mode: str = "direct"
    attributes: Mapping[str, str] = field(default_factory=dict)


PROBLEMS: dict[str, tuple[int, bool]] = {
    "invalid-event": (400, False),
    "method-not-allowed": (405, False),
    "event-too-large": (413, False),
    "unauthorized": (401, False),
    "forbidden": (403, False),
    "not-found": (404, False),
    "rejected": (422, False),
    "throttled": (429, True),
    "pending": (503, True),
    "upstream-unavailable": (502, True),
    "upstream-timeout": (504, True),
    "upstream-contract": (502, False),
}
"""Problem code: HTTP status, and whether a retry can change the outcome."""


def problem(code: str, *, retry_after: int = 10, **options: Any) -> Expected:
    """Return the expected outcome of a problem."""
    status, retryable = PROBLEMS[code]
    fields = {
        "verdict": "PENDING" if code == "pending" else "ERROR",
        "can_proceed": False,
        "retryable": retryable,
        "retry_after_seconds": retry_after if retryable else None,
        "type": f"urn:problem-type:ddm-precheck:{code}",
        "status": status,
        "code": code,
    }
    return Expected(status, fields | options.pop("fields", {}), **options)
