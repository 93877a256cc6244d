"""CloudEvents 1.0, both ways: decode the event that comes in, encode the event that carries a summary.

The format is read here and not by the ``cloudevents`` package that functions-framework brings: its 1.x takes any JSON
with ``specversion`` for a structured event, whatever the headers say, and its 2.x has another interface.
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
from ddm_precheck.redaction import redact
from ddm_precheck.verdict import Decision

STRUCTURED_TYPE: Final = "application/cloudevents+json"
BATCH_TYPES: Final = "application/cloudevents-batch"

_MAX_ID_BYTES: Final = 1024
_REQUIRED: Final = ("id", "source", "type")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
# Printable ASCII without space, quote and percent: what the HTTP binding leaves as it is (section 3.1.3.2).
_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """The parts of a CloudEvent that the function needs. ``traceparent`` is well-formed or None."""

    data: Any
    id: str
    traceparent: str | None


def decode_structured(envelope: Any) -> CloudEvent:
    """Decode a CloudEvent in structured mode (JSON event format 1.0, section 3).

    Raises Problem ``invalid-event`` where a required attribute is missing, or the data is missing or not JSON.
    """
    if not isinstance(envelope, dict):
        raise invalid_event(Violation("", "must be a CloudEvent, a JSON object"))
    event_id = _checked_id(envelope)
    if ("data" in envelope) == ("data_base64" in envelope):
        raise invalid_event(Violation("/data", "is required: the event, or its base64 in data_base64, not both"))
    data = envelope["data"] if "data" in envelope else parse_base64_json(envelope["data_base64"], "/data_base64")
    return CloudEvent(data, event_id, valid_traceparent(envelope.get("traceparent")))


def decode_binary(data: Any, headers: Headers) -> CloudEvent:
    """Decode a CloudEvent in binary mode, whose attributes are headers (HTTP binding 1.0.2, section 3.1).

    Raises Problem ``invalid-event`` where a required attribute is missing or not decodable.
    """
    event_id = _checked_id({name: _header(name, headers) for name in ("specversion", *_REQUIRED)})
    return CloudEvent(data, event_id, valid_traceparent(_header("traceparent", headers)))


def valid_traceparent(value: object) -> str | None:
    """Return a well-formed ``traceparent`` (W3C Trace Context, version 00) as it is, None for anything else."""
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def is_usable_id(event_id: str) -> bool:
    """Return whether an ID fits into a header: a sink that refuses the header would get the event again and again."""
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
    return attributes | ({"traceparent": traceparent} if traceparent else {})


def encode_headers(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes as the headers of binary mode, percent-encoded so that no value can break a header."""
    return {f"ce-{name}": quote(value, safe=_SAFE) for name, value in attributes.items()}


def encode_structured(attributes: Mapping[str, str], data: bytes) -> bytes:
    """Return the CloudEvent in structured mode; ``data`` is JSON text."""
    head = json.dumps({**attributes, "datacontenttype": "application/json"}, ensure_ascii=False).encode()
    return b'%s, "data": %s}' % (head[:-1], data)


def _checked_id(attributes: Mapping[str, Any]) -> str:
    """Return the ID of a CloudEvent that has all required attributes."""
    if attributes.get("specversion") != "1.0":
        raise invalid_event(Violation("/specversion", "must be 1.0"))
    for name in _REQUIRED:
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise invalid_event(Violation(f"/{name}", "is required in a CloudEvent, a string that is not empty"))
    if not is_usable_id(attributes["id"]):
        raise invalid_event(Violation("/id", f"must have at most {_MAX_ID_BYTES} bytes"))
    return str(attributes["id"])


def _header(name: str, headers: Headers) -> str:
    """Return the attribute in a header, empty where there is none (HTTP binding, section 3.1.3.2)."""
    value = headers.get(f"ce-{name}", "")
    if _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        # WSGI gives a header's bytes as Latin-1; senders that do not percent-encode send UTF-8.
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise invalid_event(Violation(f"/{name}", "must be percent-encoded UTF-8")) from None
