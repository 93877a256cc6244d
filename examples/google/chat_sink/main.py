"""A sink for K_SINK: receives each summary as a CloudEvent, and posts its report to a chat.

A chat's webhook cannot be the sink: a webhook accepts ``{"text": …}`` and rejects a CloudEvent. Environment variables:

- CHAT_WEBHOOK: the URL of a webhook that accepts ``{"text": …}``, such as in Slack, Google Chat and Mattermost.
- SINK_KEY: the path at which this service accepts events. Only the function knows the path.

The function sends no identity to its sink, so this service is public, and the key in the path protects it. Both
variables are secrets.
"""

import hmac
import json
import os
from typing import Any, Final

import functions_framework
import requests
from flask import Request

TIMEOUT_SECONDS: Final = 4
"""Less than the 5 s that the function waits for its sink."""

CHAT_WEBHOOK: Final = os.environ["CHAT_WEBHOOK"]
SINK_KEY: Final = os.environ["SINK_KEY"]


@functions_framework.http
def receive(request: Request) -> tuple[str, int]:
    """Post the report of one summary to the chat, and respond 204 once the chat has accepted it.

    For any other outcome, respond with an error status: the function then responds ``sink-unavailable``, and the broker
    retries.
    """
    if not hmac.compare_digest(request.path.strip("/").encode(), SINK_KEY.encode()):
        return "", 404
    report = read_report(request.get_data())
    if request.method != "POST" or report is None:
        return "", 400
    try:
        response = requests.post(
            CHAT_WEBHOOK, json={"text": report}, timeout=TIMEOUT_SECONDS, allow_redirects=False, stream=True
        )
        response.close()
    except requests.RequestException as error:
        return f"The chat cannot be reached ({type(error).__name__})", 502
    if not 200 <= response.status_code <= 299:
        return f"The chat responded {response.status_code}", 502
    return "", 204


def read_report(body: bytes) -> str | None:
    """Return the report in a summary, or None if the body is not a summary."""
    try:
        summary: Any = json.loads(body)
        report = summary["report"]
    except (ValueError, RecursionError, KeyError, TypeError):
        return None
    return report if isinstance(report, str) else None
