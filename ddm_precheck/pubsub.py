"""Pub/Sub push bodies: ``{"message": {"data": <base64>, "messageId": …}, "subscription": …}``.

Source: Google Cloud, "Push subscriptions", the wrapped message.
"""

from dataclasses import dataclass
from typing import Any

from ddm_precheck.payload import parse_base64_json
from ddm_precheck.problem import Violation, invalid_event


@dataclass(frozen=True, slots=True)
class PushMessage:
    """The parts of a Pub/Sub message that the function needs. ``id`` is None if it is missing, empty or no string."""

    data: Any
    id: str | None


def is_push(value: Any) -> bool:
    """Return whether a JSON value is a Pub/Sub push body."""
    return isinstance(value, dict) and "message" in value and "subscription" in value


def parse_push(body: dict[str, Any]) -> PushMessage:
    """Return the message in a push body, with the JSON value in ``message.data``.

    Raises Problem ``invalid-event`` if ``message.data`` is not the base64 of strict JSON.
    """
    message = body["message"]
    if not isinstance(message, dict):
        raise invalid_event(Violation("/message", "must be an object"))
    message_id = message.get("messageId")
    return PushMessage(
        data=parse_base64_json(message.get("data"), "/message/data"),
        id=message_id if isinstance(message_id, str) and message_id else None,
    )
