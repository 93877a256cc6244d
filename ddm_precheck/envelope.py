"""HTTP request to the event's document, whatever envelope it came in.

The envelope is recognised by what it is. CloudEvents are read here and not by the ``cloudevents`` package that
functions-framework brings: its 1.x takes any JSON with ``specversion`` for a structured event, whatever the headers
say, and its 2.x has another interface. What we need of the format are four attributes and the data.
"""

import base64
import binascii
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final
from urllib.parse import unquote_to_bytes
from uuid import uuid4

from flask import Request

from ddm_precheck import strict_json
from ddm_precheck.problem import Problem
from ddm_precheck.schema import Violation

_MOST_BYTES: Final = 256 * 1024
_MOST_DRAINED_BYTES: Final = 32 * 1024 * 1024
_MOST_ID_BYTES: Final = 1024
_CHUNK_BYTES: Final = 64 * 1024
_STRUCTURED_TYPE: Final = "application/cloudevents+json"
_BATCH_TYPES: Final = "application/cloudevents-batch"
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"')


class Mode(Enum):
    """How the event was delivered, which is how it is answered."""

    PLAIN = auto()
    STRUCTURED = auto()
    BINARY = auto()
    PUSH = auto()


@dataclass(frozen=True, slots=True)
class Delivery:
    """The event's document, not yet validated, and what has to be known of its envelope.

    ``id`` is the CloudEvent's or the Pub/Sub message's; ``traceparent`` is a well-formed W3C one or None. A plain call
    has neither: nothing that carries them goes out for it.
    """

    document: Any
    mode: Mode
    id: str = ""
    traceparent: str | None = None

    @property
    def is_event(self) -> bool:
        """Whether a broker delivered it, so that redelivery is the only way to ask again."""
        return self.mode is not Mode.PLAIN


def receive(request: Request) -> Delivery:
    """Read the request's body and unwrap it.

    Raises Problem ``event-too-large``, or ``invalid-event`` for a body that is not strict JSON or an envelope that
    is not whole.
    """
    body = _read(request)
    if request.mimetype.startswith(_BATCH_TYPES):
        raise _invalid("", "must be one event, not a batch of CloudEvents")
    document = _json(body, "the request's body")
    if request.mimetype == _STRUCTURED_TYPE:
        return _structured(document, request)
    if "ce-specversion" in request.headers:
        return _binary(document, request)
    if isinstance(document, dict) and "specversion" in document:
        return _structured(document, request)
    if _is_push(document):
        return _push(document, request)
    return Delivery(document, Mode.PLAIN)


def discard(request: Request) -> None:
    """Read the request's body and keep nothing of it."""
    for _ in _chunks(request):
        pass


def _read(request: Request) -> bytes:
    body = bytearray()
    size = 0
    for chunk in _chunks(request):
        size += len(chunk)
        if size <= _MOST_BYTES:
            body += chunk
    if size > _MOST_BYTES:
        raise Problem("event-too-large", f"The request's body is over {_MOST_BYTES} bytes; an event is far smaller")
    if size < (request.content_length or 0):
        raise _cut_short()
    return bytes(body)


def _chunks(request: Request) -> Iterator[bytes]:
    """Yield the request's body, up to a bound that no platform lets through.

    A body that is refused is read all the same: who still sends gets to read the answer, and functions-framework,
    which reads what is left of a body into memory without a limit, finds nothing.
    """
    stream, request.stream = request.stream, io.BytesIO()
    left = _MOST_DRAINED_BYTES
    try:
        while left > 0 and (chunk := stream.read(_CHUNK_BYTES)):
            left -= len(chunk)
            yield chunk
    except Exception:  # noqa: BLE001 - every server has kinds of its own, and gunicorn's for bad chunks share no base
        raise _cut_short() from None


def _cut_short() -> Problem:
    return _invalid("", "ended before it was whole; send it again")


def _traceparent(request: Request) -> str | None:
    """Return the request's trace context (W3C ``traceparent``), None where it is missing or malformed."""
    return _well_formed(request.headers.get("traceparent"))


def _well_formed(value: object) -> str | None:
    return value if isinstance(value, str) and _TRACEPARENT.fullmatch(value) else None


def _json(data: bytes, what: str) -> Any:
    if not data:
        raise Problem("invalid-event", f"{what} is empty; send the event as a JSON object")
    try:
        return strict_json.loads(data)
    except strict_json.NotJSONError as error:
        raise Problem("invalid-event", f"{what} is not JSON that can be trusted: {error}") from None


def _structured(envelope: Any, request: Request) -> Delivery:
    """Unwrap a CloudEvent in the JSON format (CloudEvents JSON event format 1.0, section 3)."""
    if not isinstance(envelope, dict):
        raise _invalid("", "must be a CloudEvent, a JSON object")
    identity = _identity(envelope)
    if ("data" in envelope) == ("data_base64" in envelope):
        raise _invalid("/data", "is required: the event, or its base64 in data_base64, and not both")
    data = envelope["data"] if "data" in envelope else _base64_json(envelope["data_base64"], "/data_base64")
    trace = _well_formed(envelope.get("traceparent")) or _traceparent(request)
    return Delivery(_unwrapped(data), Mode.STRUCTURED, identity, trace)


def _binary(data: Any, request: Request) -> Delivery:
    """Unwrap a CloudEvent whose attributes are headers (CloudEvents HTTP binding 1.0.2, section 3.1)."""
    identity = _identity({name: _header(name, request) for name in ("specversion", "id", "source", "type")})
    trace = _well_formed(_header("traceparent", request)) or _traceparent(request)
    return Delivery(_unwrapped(data), Mode.BINARY, identity, trace)


def _header(name: str, request: Request) -> str:
    """Return the attribute that a header holds, empty where there is none (HTTP binding, section 3.1.3.2)."""
    value = request.headers.get(f"ce-{name}", "")
    if _QUOTED.fullmatch(value):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        # WSGI gives a header's bytes as Latin-1; senders that do not percent-encode send UTF-8.
        return unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        raise _invalid(f"/{name}", "must be percent-encoded UTF-8") from None


def _identity(attributes: Mapping[str, Any]) -> str:
    """Return the id of a CloudEvent that has all it must have."""
    if attributes.get("specversion") != "1.0":
        raise _invalid("/specversion", "must be 1.0")
    for name in ("id", "source", "type"):
        value = attributes.get(name)
        if not isinstance(value, str) or not value:
            raise _invalid(f"/{name}", "is required in a CloudEvent, a string that is not empty")
    if not _fits_a_header(attributes["id"]):
        raise _invalid("/id", f"must have at most {_MOST_ID_BYTES} bytes")
    return str(attributes["id"])


def _fits_a_header(identity: str) -> bool:
    """Tell whether an id can be told on: one that no sink takes would be delivered again without end."""
    return len(identity.encode("utf-8", "replace")) <= _MOST_ID_BYTES


def _is_push(document: Any) -> bool:
    return isinstance(document, dict) and "message" in document and "subscription" in document


def _unwrapped(data: Any) -> Any:
    """Return a CloudEvent's data, or the event in it where the data is a Pub/Sub push body, as Eventarc's is."""
    return _pushed(data) if _is_push(data) else data


def _push(document: dict[str, Any], request: Request) -> Delivery:
    data = _pushed(document)
    message_id = document["message"].get("messageId")
    usable = isinstance(message_id, str) and message_id and _fits_a_header(message_id)
    return Delivery(data, Mode.PUSH, message_id if usable else str(uuid4()), _traceparent(request))


def _pushed(document: dict[str, Any]) -> Any:
    """Return the event in a Pub/Sub push body: base64 in ``message.data``."""
    message = document["message"]
    if not isinstance(message, dict):
        raise _invalid("/message", "must be an object")
    return _base64_json(message.get("data"), "/message/data")


def _base64_json(text: Any, pointer: str) -> Any:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise _invalid(pointer, "must be base64 of the event")
    return _json(data, f"what {pointer} holds")


def _invalid(pointer: str, detail: str) -> Problem:
    return Problem("invalid-event", f"{pointer or 'the event'} {detail}", errors=(Violation(pointer, detail),))
