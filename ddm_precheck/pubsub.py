"""Pub/Sub push bodies: ``{"message": {"data": <base64>, "messageId": …}, "subscription": …}``.

Source: Google Cloud, "Push subscriptions", the wrapped message.
"""

from typing import Any

from ddm_precheck.payload import parse_base64_json
from ddm_precheck.problem import Violation, invalid_event


def is_push(value: Any) -> bool:
    """Return whether a JSON value is a Pub/Sub push body."""
    return isinstance(value, dict) and "message" in value and "subscription" in value


def parse_push(body: dict[str, Any]) -> Any:
    """Return the JSON value in ``message.data`` of a push body.

    Raises Problem ``invalid-event`` if ``message.data`` is not the base64 of strict JSON.
    """
    message = body["message"]
    if not isinstance(message, dict):
        raise invalid_event(Violation("/message", "must be an object"))
    return parse_base64_json(message.get("data"), "/message/data")


def message_id(body: dict[str, Any]) -> str | None:
    """Return the message's ID in a push body that `parse_push` has accepted, or None if it is empty or no string."""
    value = body["message"].get("messageId")
    return value if isinstance(value, str) and value else None
