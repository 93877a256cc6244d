"""DDM's checks as data."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

Phase = Literal["synchronous", "asynchronous"]
"""The response with the check: that of the POST which starts the precheck, or that of the GET."""


class Check(NamedTuple):
    """One of DDM's checks. A string that is missing, empty or whitespace is None."""

    name: str
    status: Literal["SUCCESS", "WARN", "FAILED"]
    phase: Phase
    note: str | None
    suggestion: str | None
    error: str | None
    error_detail: str | None


def parse_checks(items: Iterable[Mapping[str, Any]], phase: Phase) -> tuple[Check, ...]:
    """Return the checks in a list that is valid under ``precheck-result.schema.json``."""
    return tuple(
        Check(
            item["name"],
            item["status"],
            phase,
            _text(item.get("note")),
            _text(item.get("handling_suggestion")),
            _text(item.get("error_message")),
            _text(item.get("error_detail_message")),
        )
        for item in items
    )


def pack_checks(checks: tuple[Check, ...]) -> bytes:
    """Return the checks in a form that takes less memory: many requests keep theirs while they wait for DDM."""
    return json.dumps(checks, ensure_ascii=False).encode(errors="surrogatepass")


def unpack_checks(packed: bytes) -> tuple[Check, ...]:
    return tuple(Check(*fields) for fields in json.loads(packed))


def _text(text: str | None) -> str | None:
    return text if text and not text.isspace() else None
