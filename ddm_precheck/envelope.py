"""HTTP request -> Envelope: the event's JSON value, and the kind of request.

The body of a *direct request* is the event. An *event delivery* is a request from a broker: the event is in a
CloudEvent or in a Pub/Sub push body. The headers and the body determine the kind, without configuration.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final
from uuid import uuid4

from flask import Request

from ddm_precheck import cloudevents, pubsub
from ddm_precheck.payload import parse_json
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event

_MAX_BYTES: Final = 256 * 1024
_MAX_DRAINED_BYTES: Final = 32 * 1024 * 1024
_CHUNK_SIZE: Final = 64 * 1024


class Mode(Enum):
    """The kind of request, which decides the format of the response."""

    DIRECT = auto()
    STRUCTURED = auto()
    BINARY = auto()
    PUSH = auto()


@dataclass(frozen=True, slots=True)
class Envelope:
    """The event's JSON value, not yet validated, and the kind of request.

    ``id`` is the ID of the CloudEvent or the Pub/Sub message. ``traceparent`` is well-formed or None. For a direct
    request, both are unused.
    """

    data: Any
    mode: Mode
    id: str = ""
    traceparent: str | None = None

    @property
    def is_delivery(self) -> bool:
        """Whether the request is an event delivery, which only the broker can retry."""
        return self.mode is not Mode.DIRECT


def read_body(request: Request) -> bytes:
    """Return the request's body.

    Raises Problem ``event-too-large``, or ``invalid-event`` if the body is shorter than its Content-Length.
    """
    body = bytearray()
    size = 0
    for chunk in _chunks(request):
        size += len(chunk)
        if size <= _MAX_BYTES:
            body += chunk
    if size > _MAX_BYTES:
        raise Problem(ProblemCode.EVENT_TOO_LARGE, f"The body is over {_MAX_BYTES} bytes, the limit for an event")
    if size < (request.content_length or 0):
        raise _truncated_body()
    return bytes(body)


def drain_body(request: Request) -> None:
    """Read the request's body, up to 32 MiB, and discard it.

    Raises Problem ``invalid-event`` if the body ends too early.
    """
    for _ in _chunks(request):
        pass


def unwrap(body: bytes, request: Request) -> Envelope:
    """Parse the request's body and return the envelope.

    Raises Problem ``invalid-event`` if the body is not strict JSON or the envelope is not valid.
    """
    if request.mimetype.startswith(cloudevents.BATCH_TYPE_PREFIX):
        raise invalid_event(Violation("", "must be one event, not a batch of CloudEvents"))
    value = parse_json(body, "the request's body")
    if request.mimetype == cloudevents.STRUCTURED_TYPE:
        return _structured(value, request)
    if "ce-specversion" in request.headers:
        return _from_cloudevent(cloudevents.decode_binary(value, request.headers), Mode.BINARY, request)
    if isinstance(value, dict) and "specversion" in value:
        return _structured(value, request)
    if pubsub.is_push(value):
        message = pubsub.parse_push(value)
        message_id = message.id if message.id and cloudevents.fits_in_header(message.id) else str(uuid4())
        return Envelope(message.data, Mode.PUSH, message_id, _traceparent(request))
    return Envelope(value, Mode.DIRECT)


def _structured(value: Any, request: Request) -> Envelope:
    return _from_cloudevent(cloudevents.decode_structured(value), Mode.STRUCTURED, request)


def _from_cloudevent(event: cloudevents.CloudEvent, mode: Mode, request: Request) -> Envelope:
    """Return the envelope. If the CloudEvent's data is a Pub/Sub push body (Eventarc), parse the push body as well."""
    data = pubsub.parse_push(event.data).data if pubsub.is_push(event.data) else event.data
    return Envelope(data, mode, event.id, event.traceparent or _traceparent(request))


def _traceparent(request: Request) -> str | None:
    return cloudevents.parse_traceparent(request.headers.get("traceparent"))


def _chunks(request: Request) -> Iterator[bytes]:
    """Yield the request's body in chunks, up to 32 MiB. The platforms accept no larger body.

    The body of a refused request is read as well. Otherwise a client that still sends the body could not read the
    response, and functions-framework would read the rest of the body into memory without a limit.
    """
    stream, request.stream = request.stream, io.BytesIO()
    remaining = _MAX_DRAINED_BYTES
    try:
        while remaining > 0 and (chunk := stream.read(_CHUNK_SIZE)):
            remaining -= len(chunk)
            yield chunk
    except Exception:  # noqa: BLE001 - each server has its own exceptions; those of gunicorn have no common base class
        raise _truncated_body() from None


def _truncated_body() -> Problem:
    return invalid_event(Violation("", "is incomplete: the body ended too early; send it again"))
