"""CloudEvents 1.0: decodes the received event, and encodes the event that carries a summary.

This module does not use the ``cloudevents`` package, which functions-framework depends on: version 1 decodes any JSON
with ``specversion`` as an event in structured mode, regardless of the headers, and version 2 has a different interface.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote_to_bytes

from werkzeug.datastructures import Headers

from ddm_precheck.payload import parse_base64_json
from ddm_precheck.problem import Violation, invalid_event
from ddm_precheck.redaction import contains_token, redact
from ddm_precheck.verdict import Decision

STRUCTURED_TYPE: Final = "application/cloudevents+json"
BATCH_TYPE_PREFIX: Final = "application/cloudevents-batch"

_MAX_ID_BYTES: Final = 1024
_REQUIRED: Final = ("id", "source", "type")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
# Printable ASCII without space, quote and percent: the HTTP binding does not percent-encode it (section 3.1.3.2).
_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """The parts of a CloudEvent that the function needs. ``traceparent`` is well-formed or None."""

    data: Any
    id: str
    traceparent: str | None


def decode_structured(value: Any) -> CloudEvent:
    """Decode a CloudEvent in structured mode (JSON event format 1.0, section 3).

    Raises Problem ``invalid-event`` unless the value is an object with the required attributes, ``specversion`` 1.0, an
    ID of at most 1,024 bytes, and exactly one of ``data`` and ``data_base64``, which is the base64 of JSON.
    """
    if not isinstance(value, dict):
        raise invalid_event(Violation("", "must be a CloudEvent, a JSON object"))
    event_id = _validate_attributes(value)
    if ("data" in value) == ("data_base64" in value):
        raise invalid_event(Violation("/data", "or data_base64 must be present, but not both"))
    data = value["data"] if "data" in value else parse_base64_json(value["data_base64"], "/data_base64")
    return CloudEvent(data, event_id, parse_traceparent(value.get("traceparent")))


def decode_binary(data: Any, headers: Headers) -> CloudEvent:
    """Decode a CloudEvent in binary mode, whose attributes are headers (HTTP binding 1.0.2, section 3.1).

    Raises Problem ``invalid-event`` if a required attribute is missing or invalid, or if a header cannot be decoded.
    """
    event_id = _validate_attributes({name: _header(name, headers) for name in ("specversion", *_REQUIRED)})
    return CloudEvent(data, event_id, parse_traceparent(_header("traceparent", headers)))


def parse_traceparent(value: object) -> str | None:
    """Return the value if it is a well-formed ``traceparent`` (W3C Trace Context, any version), else None."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def fits_in_header(event_id: str) -> bool:
    """Return whether an ID is short enough for a header. If the sink refused the header, each retry would fail too."""
    return len(event_id.encode("utf-8", "replace")) <= _MAX_ID_BYTES


def encode_attributes(event_id: str, traceparent: str | None, decision: Decision) -> dict[str, str]:
    """Return the attributes of the CloudEvent that carries the decision's summary.

    ``verdict`` and ``canproceed`` are extensions, so that a Trigger can filter without reading the data.
    """
    attributes = {
        "specversion": "1.0",
        "id": redact(event_id, decision.event.token),
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": decision.event.job_id,
        "time": decision.checked_at,
        "verdict": decision.verdict.value,
        "canproceed": "true" if decision.can_proceed else "false",
    }
    if traceparent and not contains_token(traceparent, decision.event.token):
        attributes["traceparent"] = traceparent
    return attributes


def encode_headers(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes as the headers of binary mode. Line breaks are percent-encoded: they would end a header."""
    return {f"ce-{name}": quote(value, safe=_SAFE) for name, value in attributes.items()}


def encode_structured(attributes: Mapping[str, str], data: bytes) -> bytes:
    """Return the CloudEvent in structured mode; ``data`` is JSON text."""
    head = json.dumps({**attributes, "datacontenttype": "application/json"}, ensure_ascii=False).encode()
    return b'%s, "data": %s}' % (head[:-1], data)


def _validate_attributes(attributes: Mapping[str, Any]) -> str:
    """Return the ID. Raises Problem ``invalid-event`` if a required attribute is missing."""
    if attributes.get("specversion") != "1.0":
        raise invalid_event(Violation("/specversion", "must be 1.0"))
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise invalid_event(Violation(f"/{name}", "is required in a CloudEvent and must be a non-empty string"))
    if not fits_in_header(attributes["id"]):
        raise invalid_event(Violation("/id", f"must have at most {_MAX_ID_BYTES} bytes"))
    return str(attributes["id"])


def _header(name: str, headers: Headers) -> str:
    """Return the attribute in a header (HTTP binding, section 3.1.3.2), or ``""`` if there is no such header."""
    value = headers.get(f"ce-{name}", "")
    if _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        # WSGI decodes a header's bytes as Latin-1. Senders that do not percent-encode send UTF-8.
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise invalid_event(Violation(f"/{name}", "must be percent-encoded UTF-8")) from None
