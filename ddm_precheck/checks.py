"""DDM's checks as data."""

from dataclasses import dataclass
from typing import Literal, NotRequired, TypedDict

from ddm_precheck.problem import UpstreamInfo


class Check(TypedDict):
    """One of DDM's checks, with DDM's names of the fields. It may have further fields, which are not redacted.

    The texts may be empty: DDM sends an empty text for a field without a value.
    """

    name: str
    status: Literal["SUCCESS", "WARN", "FAILED"]
    note: NotRequired[str | None]
    handling_suggestion: NotRequired[str | None]
    error_message: NotRequired[str | None]
    error_detail_message: NotRequired[str | None]


@dataclass(frozen=True, slots=True)
class PrecheckResult:
    """DDM's checks, in DDM's order, and information about the exchange.

    ``redacted_names`` are the names that redaction has changed: they are not exactly DDM's names.
    """

    checks: list[Check]
    upstream: UpstreamInfo
    redacted_names: frozenset[str] = frozenset()
