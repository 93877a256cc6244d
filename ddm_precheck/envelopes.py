"""The formats of a request: each class recognizes one, takes the event out of it, and replies in the same format.

The body of a *direct request* is the event. An *event delivery* is a request from a broker: the event is in an
envelope, and only the status of the response counts. A *handshake* has no event. The headers and the body determine the
format, without configuration. To add a format, add a class, and its place in `ENVELOPES`.
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self
from urllib.parse import urlsplit
from uuid import uuid4

from ddm_precheck import cloudevents, strict_json
from ddm_precheck.messages import MAX_BODY_BYTES, Incoming, Outgoing
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event
from ddm_precheck.settings import Settings
from ddm_precheck.text import one_line
from ddm_precheck.verdict import Decision

ALLOWED_METHODS: Final = "POST, OPTIONS"
_MAX_URL_LENGTH: Final = 2048


@dataclass(frozen=True, slots=True)
class Envelope:
    """One format of a request. ``id`` is the ID of the event in an event delivery."""

    is_delivery: ClassVar[bool] = True

    id: str = ""
    traceparent: str | None = None

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        """Return whether the request has this format. ``value`` is the JSON value of its body."""
        raise NotImplementedError

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any]:
        """Return the envelope and the JSON value of the event. Raises Problem ``invalid-event``."""
        raise NotImplementedError

    def reply(self, decision: Decision, summary: bytes) -> Outgoing:
        """Return the response with the summary, which is JSON."""
        return _json_response(decision, summary, summary)


class Handshake(Envelope):
    """A request without an event, which gets its response immediately."""

    __slots__ = ()

    @classmethod
    def answer(cls, incoming: Incoming, value: Any, settings: Settings) -> tuple[Outgoing, str]:
        """Return the response and the message for the log."""
        raise NotImplementedError


class Options(Handshake):
    """``OPTIONS``, with the consent to a CloudEvents web hook (HTTP 1.1 Web Hooks for Event Delivery, section 4)."""

    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        return incoming.method == "OPTIONS"

    @classmethod
    def answer(cls, incoming: Incoming, value: Any, settings: Settings) -> tuple[Outgoing, str]:
        headers = {"Allow": ALLOWED_METHODS}
        if origin := incoming.header("webhook-request-origin"):
            headers |= {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}
        return Outgoing(204, headers), "OPTIONS: the allowed methods"


class SubscriptionConfirmation(Handshake):
    """SMN's request to confirm an HTTP subscription. The operator opens its URL: the function never does.

    Source: SMN User Guide, "HTTP/HTTPS Messages".
    """

    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        return incoming.header("x-smn-message-type") == "SubscriptionConfirmation" and isinstance(value, dict)

    @classmethod
    def answer(cls, incoming: Incoming, value: Any, settings: Settings) -> tuple[Outgoing, str]:
        url = value.get("subscribe_url")
        shown = (
            url if _is_trusted(url, settings) else "in SMN's message (not shown: its host is not one of Huawei Cloud)"
        )
        return Outgoing(200, {}), f"SMN subscription: open this URL to confirm it: {shown}"


class SMNNotification(Envelope):
    """A notification of Huawei Cloud's SMN over HTTP: the event is JSON in ``message``."""

    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        return bool(incoming.header("x-smn-message-type")) and isinstance(value, dict)

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any]:
        if incoming.header("x-smn-message-type") != "Notification":
            raise invalid_event(Violation("", "must be in an SMN message of the type Notification"))
        event = parse_json(_bytes(value.get("message"), "/message"), "/message")
        return cls(message_id(value.get("message_id")), _traceparent(incoming)), event


class StructuredCloudEvent(Envelope):
    """CloudEvents 1.0 in structured mode (JSON event format, section 3)."""

    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        content_type = _content_type(incoming)
        is_cloudevent = content_type == cloudevents.STRUCTURED_TYPE or content_type.startswith(
            cloudevents.BATCH_TYPE_PREFIX
        )
        return is_cloudevent or (
            isinstance(value, dict) and "specversion" in value and not BinaryCloudEvent.match(incoming, value)
        )

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any]:
        if _content_type(incoming).startswith(cloudevents.BATCH_TYPE_PREFIX):
            raise invalid_event(Violation("", "must be one event, not a batch of CloudEvents"))
        if not isinstance(value, dict):
            raise invalid_event(Violation("", "must be a CloudEvent, a JSON object"))
        event_id = cloudevents.validate_attributes(value)
        data, encoded = value.get("data"), value.get("data_base64")
        if (data is None) == (encoded is None):
            raise invalid_event(Violation("/data", "or data_base64 must be present, but not both"))
        event = _event_in(parse_base64_json(encoded, "/data_base64") if data is None else data)
        return cls(event_id, cloudevents.parse_traceparent(value.get("traceparent")) or _traceparent(incoming)), event

    def reply(self, decision: Decision, summary: bytes) -> Outgoing:
        attributes = cloudevents.encode_attributes(self.id, self.traceparent, decision)
        body = cloudevents.encode_structured(attributes, summary)
        return _json_response(decision, body, summary, cloudevents.STRUCTURED_TYPE)


class BinaryCloudEvent(Envelope):
    """CloudEvents 1.0 in binary mode, whose attributes are headers (HTTP binding 1.0.2, section 3.1)."""

    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        return any(f"ce-{name}" in incoming.headers for name in cloudevents.REQUIRED_ATTRIBUTES)

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any]:
        names = (*cloudevents.REQUIRED_ATTRIBUTES, "traceparent")
        attributes = {name: cloudevents.decode_header(name, incoming.header(f"ce-{name}")) for name in names}
        event_id = cloudevents.validate_attributes(attributes)
        traceparent = cloudevents.parse_traceparent(attributes["traceparent"]) or _traceparent(incoming)
        return cls(event_id, traceparent), _event_in(value)

    def reply(self, decision: Decision, summary: bytes) -> Outgoing:
        response = _json_response(decision, summary, summary)
        attributes = cloudevents.encode_attributes(self.id, self.traceparent, decision)
        return Outgoing(200, {**response.headers, **cloudevents.encode_headers(attributes)}, summary, summary)


class PubSubPush(Envelope):
    """A Pub/Sub push body: ``{"message": {"data": <base64>, "messageId": …}, "subscription": …}``.

    Source: Google Cloud, "Push subscriptions", the wrapped message.
    """

    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        return isinstance(value, dict) and "message" in value and "subscription" in value

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any]:
        event = _pushed_event(value)
        return cls(message_id(value["message"].get("messageId")), _traceparent(incoming)), event


class UnwrappedPubSub(Envelope):
    """The event in the body, from a Pub/Sub subscription with payload unwrapping and written metadata."""

    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        return any(name.startswith("x-goog-pubsub-") for name in incoming.headers)

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any]:
        return cls(message_id(incoming.header("x-goog-pubsub-message-id")), _traceparent(incoming)), value


class Direct(Envelope):
    """The event without an envelope. The caller reads the response."""

    is_delivery: ClassVar[bool] = False
    __slots__ = ()

    @classmethod
    def match(cls, incoming: Incoming, value: Any) -> bool:
        return True

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any]:
        return cls(), value


ENVELOPES: Final[tuple[type[Envelope], ...]] = (
    Options,
    SubscriptionConfirmation,
    SMNNotification,
    StructuredCloudEvent,
    BinaryCloudEvent,
    PubSubPush,
    UnwrappedPubSub,
    Direct,
)
"""All formats. The first one that matches applies."""


def read_value(incoming: Incoming) -> Any:
    """Return the JSON value of the body; None for OPTIONS.

    Raises Problem ``method-not-allowed``, ``event-too-large``, or ``invalid-event`` if the body is truncated or is not
    strict JSON.
    """
    if incoming.method == "OPTIONS":
        return None
    if incoming.method != "POST":
        raise Problem(ProblemCode.METHOD_NOT_ALLOWED, "Send the event with POST")
    if incoming.body is None:
        raise invalid_event(Violation("", "is truncated; send it again"))
    if len(incoming.body) > MAX_BODY_BYTES:
        raise Problem(ProblemCode.EVENT_TOO_LARGE, f"The body is over {MAX_BODY_BYTES} bytes, the limit for an event")
    return parse_json(incoming.body, incoming.place, _content_type(incoming))


def find_format(incoming: Incoming, value: Any) -> type[Envelope]:
    """Return the format of the request."""
    return next(envelope for envelope in ENVELOPES if envelope.match(incoming, value))


def parse_json(data: bytes, place: str, content_type: str = "") -> Any:
    """Parse JSON. ``place`` names the part of the request that contains the JSON, for the message of the problem.

    Raises Problem ``invalid-event`` if the data is empty or not strict JSON.
    """
    if not data.strip():
        raise Problem(ProblemCode.INVALID_EVENT, f"{place} is empty; send the event as a JSON object")
    try:
        return strict_json.loads(data)
    except strict_json.InvalidJSONError as error:
        reason = _other_format(data, content_type) or f"cannot be parsed: {error}"
        raise Problem(ProblemCode.INVALID_EVENT, f"{place} {reason}") from None


def parse_base64_json(text: Any, pointer: str) -> Any:
    """Decode base64, which may have line breaks, and parse the JSON in it. ``pointer`` is that of the base64.

    Raises Problem ``invalid-event`` if the text is not the base64 of strict JSON.
    """
    try:
        data = base64.b64decode("".join(text.splitlines()), validate=True) if isinstance(text, str) else b""
    except (binascii.Error, ValueError):
        data = b""
    if not data:
        raise invalid_event(Violation(pointer, "must be the base64 of the event"))
    return parse_json(data, f"the base64 in {pointer}")


def _other_format(data: bytes, content_type: str) -> str | None:
    """Return what to say about a body in a format that people send instead of JSON in UTF-8."""
    start = data.lstrip()
    if data.startswith(b"\x1f\x8b"):
        return "is compressed with gzip; send it without compression"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        return "is not UTF-8 but UTF-16 or UTF-32; send UTF-8"
    if start.startswith((b"'", b"{'")) or start[1:].lstrip().startswith(b"'"):
        return "has single quotes; JSON needs double quotes"
    if content_type in {"application/x-www-form-urlencoded", "multipart/form-data"} and not start.startswith(b"{"):
        return "is a form; send the event as a JSON object"
    if start.startswith(b"<"):
        return "is XML or HTML; send the event as a JSON object"
    return None


def _event_in(data: Any) -> Any:
    """Return the event in the data of a CloudEvent, which can be JSON text or a Pub/Sub push body (Eventarc)."""
    if isinstance(data, str):
        data = parse_json(_bytes(data, "/data"), "/data")
    return _pushed_event(data) if isinstance(data, dict) and "message" in data and "subscription" in data else data


def _pushed_event(body: dict[str, Any]) -> Any:
    if not isinstance(body["message"], dict):
        raise invalid_event(Violation("/message", "must be an object"))
    return parse_base64_json(body["message"].get("data"), "/message/data")


def _bytes(text: Any, pointer: str) -> bytes:
    if not isinstance(text, str):
        raise invalid_event(Violation(pointer, "must be a string with the event as JSON"))
    return text.encode("utf-8", "surrogatepass")  # strict JSON rejects a lone surrogate


def message_id(value: object) -> str:
    """Return the ID of a message; a new one if it is missing or too long for a header."""
    return value if isinstance(value, str) and value and cloudevents.has_valid_length(value) else str(uuid4())


def _is_trusted(url: object, settings: Settings) -> bool:
    if not isinstance(url, str) or len(url) > _MAX_URL_LENGTH or one_line(url) != url or not url.isascii():
        return False
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme == "https" and settings.is_trusted(parts.hostname or "")


def _traceparent(incoming: Incoming) -> str | None:
    return cloudevents.parse_traceparent(incoming.header("traceparent"))


def _content_type(incoming: Incoming) -> str:
    return incoming.header("content-type").partition(";")[0].strip().lower()


def _json_response(decision: Decision, body: bytes, summary: bytes, content_type: str = "application/json") -> Outgoing:
    headers = {"Content-Type": content_type}
    if decision.retry_after is not None:
        headers["Retry-After"] = str(decision.retry_after)
    return Outgoing(200, headers, body, summary)
