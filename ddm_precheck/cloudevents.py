"""CloudEvents 1.0: decodes the received event, and encodes the event that carries a summary.

This module does not use the ``cloudevents`` package, which functions-framework depends on: version 1 does not
percent-decode the headers, and its errors quote the body.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from ddm_precheck.problem import Violation, invalid_event
from ddm_precheck.verdict import Decision

STRUCTURED_TYPE: Final = "application/cloudevents+json"

REQUIRED_ATTRIBUTES: Final = ("specversion", "id", "source", "type")

_MAX_ID_BYTES: Final = 1024
"""If the sink rejected a longer header, each retry would fail too."""

_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
# Printable ASCII without space, quote and percent: the HTTP binding does not percent-encode it (section 3.1.3.2).
_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


def validate_attributes(attributes: Mapping[str, Any]) -> str:
    """Return the ID. Raises Problem ``invalid-event`` if a required attribute is missing or the ID is too long."""
    if attributes.get("specversion") != "1.0":
        raise invalid_event(Violation("/specversion", "is required in a CloudEvent and must be 1.0"))
    for name in REQUIRED_ATTRIBUTES:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise invalid_event(Violation(f"/{name}", "is required in a CloudEvent and must be a non-empty string"))
    if len(attributes["id"].encode(errors="replace")) > _MAX_ID_BYTES:
        raise invalid_event(Violation("/id", f"must have at most {_MAX_ID_BYTES} bytes"))
    return str(attributes["id"])


def decode_header(name: str, value: str) -> str:
    """Return the attribute in the header ``ce-<name>`` (HTTP binding 1.0.2, section 3.1.3.2).

    Raises Problem ``invalid-event`` if the header is not percent-encoded UTF-8.
    """
    if _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        # WSGI decodes a header's bytes as Latin-1. Senders that do not percent-encode send UTF-8.
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise invalid_event(Violation(f"/{name}", "must be percent-encoded UTF-8")) from None


def parse_traceparent(value: object) -> str | None:
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def encode_attributes(event_id: str, traceparent: str | None, decision: Decision) -> dict[str, str]:
    """Return the attributes of the summary. A Trigger can filter by the extensions ``verdict`` and ``canproceed``."""
    attributes = {
        "specversion": "1.0",
        "id": event_id,
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": decision.precheck.job_id,
        "time": decision.checked_at,
        "verdict": decision.verdict.value,
        "canproceed": "true" if decision.can_proceed else "false",
    }
    return attributes | ({"traceparent": traceparent} if traceparent else {})


def encode_headers(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes as the headers of binary mode. Line breaks are percent-encoded: they would end a header."""
    return {f"ce-{name}": quote(value, safe=_SAFE) for name, value in attributes.items()}


def encode_structured(attributes: Mapping[str, str], data: bytes) -> bytes:
    head = json.dumps({**attributes, "datacontenttype": "application/json"}).encode()
    return b'%s, "data": %s}' % (head[:-1], data)
