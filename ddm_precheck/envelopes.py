"""The formats of a request: each class recognizes one, takes the event out of it, and replies in the same format.

The body of a *direct request* is the event. An *event delivery* is a request from a broker: the event is in an
envelope, and only the status of the response counts. A *handshake* has no event. The headers and the body determine the
format, without configuration. To add a format, add a class, and its place in `ENVELOPES`.
"""

import base64
import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final, Self
from uuid import uuid4

from ddm_precheck import cloudevents, strict_json
from ddm_precheck.messages import MAX_BODY_BYTES, Incoming, Outgoing
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event
from ddm_precheck.settings import Settings
from ddm_precheck.text import encodable
from ddm_precheck.verdict import Decision

ALLOWED_METHODS: Final = "POST, OPTIONS"
_SMN_TYPE: Final = "x-smn-message-type"
_ORIGIN: Final = re.compile(r"[!-~]{1,253}")  # a DNS name or a pattern
# No user, and no backslash before the path: a browser would open another host.
_SUBSCRIBE_URL: Final = re.compile(r"https://([a-z0-9.-]+)(?::[0-9]+)?/[!-~]{0,2000}")


@dataclass(frozen=True)
class Envelope:
    """One format of a request. ``id`` is that of the event in an event delivery, ``traceparent`` that of its trace."""

    is_delivery: ClassVar[bool] = True

    id: str = ""
    traceparent: str | None = None

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> "tuple[Self, Any] | None":
        """Return the envelope and the JSON value of the event, or None if the request has another format.

        ``value`` is the JSON value of the body. Raises Problem ``invalid-event`` if it violates a rule of the format.
        """
        raise NotImplementedError

    def reply(self, decision: Decision, summary: bytes) -> Outgoing:
        """Return the response with the summary, which is JSON."""
        return _json_response(decision, summary, summary)


class Handshake(Envelope):
    """A request without an event, which gets its response immediately. ``open`` returns its JSON value."""

    @staticmethod
    def answer(incoming: Incoming, value: Any, settings: Settings) -> tuple[Outgoing, str]:
        """Return the response and the message for the log."""
        raise NotImplementedError


class Options(Handshake):
    """``OPTIONS``, with the consent to a CloudEvents web hook (HTTP 1.1 Web Hooks for Event Delivery, section 4)."""

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        return (cls(), value) if incoming.method == "OPTIONS" else None

    @staticmethod
    def answer(incoming: Incoming, value: Any, settings: Settings) -> tuple[Outgoing, str]:
        headers = {"Allow": ALLOWED_METHODS}
        origin = incoming.header("webhook-request-origin")
        if _ORIGIN.fullmatch(origin):
            headers |= {"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"}
        return Outgoing(204, headers), "OPTIONS: the allowed methods"


class SubscriptionConfirmation(Handshake):
    """SMN's request to confirm an HTTP subscription. The operator opens its URL: the function never does.

    Source: SMN User Guide, "HTTP/HTTPS Messages".
    """

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        is_confirmation = incoming.header(_SMN_TYPE) == "SubscriptionConfirmation" and isinstance(value, dict)
        return (cls(), value) if is_confirmation else None

    @staticmethod
    def answer(incoming: Incoming, value: Any, settings: Settings) -> tuple[Outgoing, str]:
        url = value.get("subscribe_url")
        match = _SUBSCRIBE_URL.fullmatch(url) if isinstance(url, str) else None
        is_trusted = match is not None and settings.is_trusted(match[1])
        shown = url if is_trusted else "not shown, because its host is not one of Huawei Cloud"
        return Outgoing(200, {}), f"SMN subscription: open this URL to confirm it: {shown}"


class SMNNotification(Envelope):
    """A notification of Huawei Cloud's SMN over HTTP: the event is JSON in ``message``."""

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        if not incoming.header(_SMN_TYPE) or not isinstance(value, dict):
            return None
        if incoming.header(_SMN_TYPE) != "Notification":
            raise invalid_event(Violation("", "must be in an SMN message of the type Notification"))
        return cls(message_id(value.get("message_id"))), _parse_text(value.get("message"), "/message")


class StructuredCloudEvent(Envelope):
    """CloudEvents 1.0 in structured mode (JSON event format, section 3)."""

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        is_structured = _content_type(incoming).startswith("application/cloudevents")  # a batch is a list
        if not isinstance(value, dict) or not (is_structured or "specversion" in value):
            return None
        event_id = cloudevents.validate_attributes(value)
        data, encoded = value.get("data"), value.get("data_base64")
        if (data is None) == (encoded is None):
            raise invalid_event(Violation("/data", "or data_base64 must be present, but not both"))
        event = _event_in(_parse_base64_json(encoded, "/data_base64") if data is None else data)
        return cls(event_id, value.get("traceparent")), event

    def reply(self, decision: Decision, summary: bytes) -> Outgoing:
        attributes = cloudevents.encode_attributes(self.id, self.traceparent, decision)
        body = cloudevents.encode_structured(attributes, summary)
        return _json_response(decision, body, summary, cloudevents.STRUCTURED_TYPE)


class BinaryCloudEvent(Envelope):
    """CloudEvents 1.0 in binary mode, whose attributes are headers (HTTP binding 1.0.2, section 3.1)."""

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        if not any(f"ce-{name}" in incoming.headers for name in cloudevents.REQUIRED_ATTRIBUTES):
            return None  # if only some are missing, the event is not valid
        names = (*cloudevents.REQUIRED_ATTRIBUTES, "traceparent")
        attributes = {name: cloudevents.decode_header(name, incoming.header(f"ce-{name}")) for name in names}
        return cls(cloudevents.validate_attributes(attributes), attributes["traceparent"]), _event_in(value)

    def reply(self, decision: Decision, summary: bytes) -> Outgoing:
        response = _json_response(decision, summary, summary)
        attributes = cloudevents.encode_attributes(self.id, self.traceparent, decision)
        return replace(response, headers={**response.headers, **cloudevents.encode_headers(attributes)})


class PubSubPush(Envelope):
    """A Pub/Sub push body: ``{"message": {"data": <base64>, "messageId": …}, "subscription": …}``.

    Source: Google Cloud, "Push subscriptions", the wrapped message.
    """

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        if not _is_push(value):
            return None
        return cls(message_id(value["message"].get("messageId"))), _pushed_event(value)


class UnwrappedPubSub(Envelope):
    """The event in the body, from a Pub/Sub subscription with payload unwrapping and written metadata."""

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        if not any(name.startswith("x-goog-pubsub-") for name in incoming.headers):
            return None
        return cls(message_id(incoming.header("x-goog-pubsub-message-id"))), value


class Message(Envelope):
    """The event in a message that the platform has taken out of its own envelope."""

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        return None if incoming.message_id is None else (cls(incoming.message_id), _event_in(value))


class Direct(Envelope):
    is_delivery: ClassVar[bool] = False

    @classmethod
    def open(cls, incoming: Incoming, value: Any) -> tuple[Self, Any] | None:
        return cls(), value


ENVELOPES: Final[tuple[type[Envelope], ...]] = (
    Options,
    SubscriptionConfirmation,
    SMNNotification,
    StructuredCloudEvent,
    BinaryCloudEvent,
    PubSubPush,
    UnwrappedPubSub,
    Message,
    Direct,
)
"""All formats. The first one that opens the request applies."""


def open_envelope(incoming: Incoming) -> tuple[Envelope, Any]:
    """Return the envelope of a request and the JSON value of its event.

    Raises Problem ``method-not-allowed``, ``event-too-large``, or ``invalid-event`` if the body is truncated, is not
    strict JSON, or violates a rule of its format.
    """
    value = None if incoming.method == "OPTIONS" else _read_value(incoming)
    envelope, event = next(opened for envelope in ENVELOPES if (opened := envelope.open(incoming, value)))
    parse = cloudevents.parse_traceparent
    return replace(envelope, traceparent=parse(envelope.traceparent) or parse(incoming.header("traceparent"))), event


def decode_base64(text: object) -> bytes | None:
    """Return the bytes of a base64 string, which may have line breaks, or None."""
    try:
        return base64.b64decode("".join(text.split()), validate=True) if isinstance(text, str) else None
    except ValueError:
        return None


def message_id(value: object) -> str:
    return encodable(value) if isinstance(value, str) and value else str(uuid4())


def _read_value(incoming: Incoming) -> Any:
    if incoming.method != "POST":
        raise Problem(ProblemCode.METHOD_NOT_ALLOWED, "Send the event with POST")
    if incoming.body is None:
        raise invalid_event(Violation("", "cannot be read: it is truncated, not base64, not JSON or nested too deeply"))
    if len(incoming.body) > MAX_BODY_BYTES:
        raise Problem(ProblemCode.EVENT_TOO_LARGE, f"The body is over {MAX_BODY_BYTES} bytes, the limit for an event")
    return _parse_json(incoming.body, incoming.place, _content_type(incoming))


def _parse_json(data: bytes, place: str, content_type: str = "") -> Any:
    if not data.strip():
        raise Problem(ProblemCode.INVALID_EVENT, f"{place} is empty; send the event as a JSON object")
    try:
        return strict_json.loads(data)
    except strict_json.InvalidJSONError as error:
        reason = _other_format(data, content_type) or f"cannot be parsed: {error}"
        raise Problem(ProblemCode.INVALID_EVENT, f"{place} {reason}") from None


def _parse_text(text: Any, pointer: str) -> Any:
    if not isinstance(text, str):
        raise invalid_event(Violation(pointer, "must be a string with the event as JSON"))
    return _parse_json(text.encode(errors="surrogatepass"), pointer)  # strict JSON rejects a lone surrogate


def _parse_base64_json(text: Any, pointer: str) -> Any:
    data = decode_base64(text)
    if not data:
        raise invalid_event(Violation(pointer, "must be the base64 of the event"))
    return _parse_json(data, f"the base64 in {pointer}")


def _other_format(data: bytes, content_type: str) -> str | None:
    start = data.lstrip()
    if data.startswith(b"\x1f\x8b"):
        return "is compressed with gzip; send it without compression"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:4]:
        return "is not UTF-8 but UTF-16 or UTF-32; send UTF-8"
    if start.startswith(b"'") or start[1:].lstrip().startswith(b"'"):
        return "has single quotes; JSON needs double quotes"
    if content_type in {"application/x-www-form-urlencoded", "multipart/form-data"} and not start.startswith(b"{"):
        return "is a form; send the event as a JSON object"
    if start.startswith(b"<"):
        return "is XML or HTML; send the event as a JSON object"
    return None


def _event_in(data: Any) -> Any:
    if isinstance(data, str):
        data = _parse_text(data, "/data")
    return _pushed_event(data) if _is_push(data) else data


def _is_push(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("message"), dict) and "subscription" in value


def _pushed_event(body: dict[str, Any]) -> Any:
    return _parse_base64_json(body["message"].get("data"), "/message/data")


def _content_type(incoming: Incoming) -> str:
    return incoming.header("content-type").partition(";")[0].strip().lower()


def _json_response(decision: Decision, body: bytes, summary: bytes, content_type: str = "application/json") -> Outgoing:
    headers = {"Content-Type": content_type}
    if decision.retry_after is not None:
        headers["Retry-After"] = str(decision.retry_after)
    return Outgoing(200, headers, body, summary)
