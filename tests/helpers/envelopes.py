"""The formats of a request: CloudEvents in both modes, Pub/Sub push with and without its envelope, and SMN."""

import base64
import json
from collections.abc import Callable
from typing import Any, Final

from helpers.function import STRUCTURED_CONTENT_TYPE, Function, FunctionResponse

TRACEPARENT: Final = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ATTRIBUTES: Final[dict[str, Any]] = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "/scheduler",
    "type": "precheck.wanted",
}
STRUCTURED_HEADERS: Final = {"Content-Type": STRUCTURED_CONTENT_TYPE}
UNWRAPPED_HEADERS: Final = {"x-goog-pubsub-subscription-name": "projects/p/subscriptions/s"}
SMN_HEADERS: Final = {"X-SMN-MESSAGE-TYPE": "Notification"}


def base64_json(value: Any) -> str:
    """Return the base64 of the value's JSON."""
    return base64.b64encode(json.dumps(value).encode()).decode()


def push_body(value: Any, **message_fields: Any) -> dict[str, Any]:
    """Return the body of a Pub/Sub push request whose message contains the value and further fields."""
    message = {"data": base64_json(value), "messageId": "m-1", "publishTime": "2026-11-23T08:00:00Z"}
    return {"message": message | message_fields, "subscription": "projects/p/subscriptions/s"}


def binary_headers(**attributes: str) -> dict[str, str]:
    """Return the headers of a CloudEvent in binary mode."""
    return {f"ce-{name}": value for name, value in (ATTRIBUTES | attributes).items()}


def smn_body(message: Any, **fields: Any) -> dict[str, Any]:
    """Return the body of an SMN message. A message that is not a string is serialized as JSON."""
    text = message if isinstance(message, str) else json.dumps(message)
    return {"type": "Notification", "message_id": "m-1", "topic_urn": "urn:smn:t", "message": text} | fields


DELIVERIES: Final[dict[str, Callable[[Any], tuple[Any, dict[str, str]]]]] = {
    "structured": lambda event: (ATTRIBUTES | {"data": event}, STRUCTURED_HEADERS),
    "binary": lambda event: (event, binary_headers()),
    "Pub/Sub": lambda event: (push_body(event), {}),
    "unwrapped Pub/Sub": lambda event: (event, UNWRAPPED_HEADERS),
    "Eventarc": lambda event: (ATTRIBUTES | {"data": push_body(event)}, STRUCTURED_HEADERS),
    "SMN": lambda event: (smn_body(event), SMN_HEADERS),
}
"""Format of an event delivery: builds its body and headers."""


def send_structured(function: Function, **attributes: Any) -> FunctionResponse:
    """Send a CloudEvent in structured mode, and return the validated response."""
    return function.send(ATTRIBUTES | attributes, headers=STRUCTURED_HEADERS)
