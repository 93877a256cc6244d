"""Sends events to a served function, at the same time or in sequence, and counts the outcomes."""

import http.client
import json
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from helpers.function import EVENT, FunctionResponse, ServedFunction

CALLERS: Final = 64
"""The number of concurrent requests. An instance that ``deploy.sh`` deploys handles the same number."""

_TIMEOUT_SECONDS: Final = 60
_HEADERS: Final = {"Content-Type": "application/json"}


def event_body(db_name: str = "pass") -> bytes:
    """Return the JSON of `EVENT` with this database schema."""
    return json.dumps(EVENT | {"db_name": db_name}).encode()


def send_concurrently(function: ServedFunction, bodies: Sequence[bytes]) -> list[FunctionResponse]:
    """Send each body on its own connection, `CALLERS` at the same time. Return the responses in the same order."""
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(lambda body: send_in_sequence(function, [body])[0], bodies))


def send_in_sequence(function: ServedFunction, bodies: Sequence[bytes]) -> list[FunctionResponse]:
    """Send one body after the other on one connection, and return the responses."""
    connection = http.client.HTTPConnection("127.0.0.1", function.port, timeout=_TIMEOUT_SECONDS)
    responses = []
    try:
        for body in bodies:
            connection.request("POST", "/", body, _HEADERS)
            response = connection.getresponse()
            responses.append(FunctionResponse(response.status, dict(response.headers), response.read().decode()))
    finally:
        connection.close()
    return responses


def outcomes(responses: Sequence[FunctionResponse]) -> Counter[str]:
    """Count the responses by problem code or verdict."""
    return Counter(response.outcome for response in responses)
