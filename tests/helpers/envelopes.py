"""The envelopes of an event: CloudEvents in both modes, and the body of a Pub/Sub push request."""

import base64
import json
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


def send_structured(function: Function, **attributes: Any) -> FunctionResponse:
    """Send a CloudEvent in structured mode, and return the validated response."""
    return function.send(ATTRIBUTES | attributes, headers=STRUCTURED_HEADERS)
