"""Random cases: an event in an envelope, the settings of the function, and DDM's response."""

import base64
import json
import random
from collections.abc import Callable
from typing import Any, Final

from tools.fuzz.events import OTHER_TOKEN, random_event
from tools.fuzz.model import Case, Settings
from tools.fuzz.results import random_response

SETTINGS: Final = (
    Settings(region="cn-north-4"),
    Settings(expected_checks=3),
    Settings(region_in_url=True),
    Settings(region="cn-south-1", region_in_url=True, expected_checks=2),
)
_Wrap = Callable[[bytes, random.Random], tuple[bytes, dict[str, str]]]


def random_case(seed: str) -> Case:
    """Return the case of a seed."""
    source = random.Random(seed)
    event = random_event(source)
    body = json.dumps(event, ensure_ascii=source.random() < 0.5).encode()
    if source.random() < 0.03:
        body = source.choice(_broken_json(body))
    wrap = source.choice([_direct, _direct, _structured, _binary, _push, _eventarc])
    body, headers = wrap(body, source)
    if source.random() < 0.4:
        headers["X-Auth-Token"] = source.choice([OTHER_TOKEN, OTHER_TOKEN, "", "a b"])
    if source.random() < 0.2:
        headers["Accept"] = source.choice(["*/*", "application/problem+json", "application/json"])
    method = source.choice(["GET", "PUT", "DELETE", "OPTIONS"]) if source.random() < 0.02 else "POST"
    job_id = event.get("job_id") if isinstance(event, dict) else None
    response = random_response(job_id if isinstance(job_id, str) else "job", source)
    return Case(source.choice(SETTINGS), method, headers, body, response)


def _broken_json(body: bytes) -> list[bytes]:
    return [
        b"",
        body[:-1],
        body + b",",
        body.replace(b"{", b'{"job_id":"a","job_id":"b",', 1),
        body.replace(b"{", b'{"expected_checks":NaN,', 1),
        body.replace(b"{", b'{"a":' + b"[" * 50_000 + b"]" * 50_000 + b",", 1),
        body + b"\xff",
        body + b" " * 256 * 1024,
    ]


def _direct(body: bytes, source: random.Random) -> tuple[bytes, dict[str, str]]:
    types = ["application/json", "application/octet-stream", "text/plain; charset=utf-8"]
    return body, {"Content-Type": source.choice(types)}


def _structured(body: bytes, source: random.Random) -> tuple[bytes, dict[str, str]]:
    envelope = _attributes(source)
    fields: list[bytes] = []
    if source.random() < 0.3:
        envelope["data_base64"] = base64.b64encode(body).decode()
    else:
        fields.append(b'"data":' + body)
    if source.random() < 0.05:
        envelope["data_base64"] = source.choice(["", "%%%%", "e30", None, 1])
    fields.append(json.dumps(envelope)[1:-1].encode())
    types = ["application/cloudevents+json", "application/cloudevents+json; charset=utf-8", "application/json"]
    if source.random() < 0.02:
        types = ["application/cloudevents-batch+json"]
    return b"{" + b",".join(fields) + b"}", {"Content-Type": source.choice(types)}


def _binary(body: bytes, source: random.Random) -> tuple[bytes, dict[str, str]]:
    attributes = {f"ce-{name}": value for name, value in _attributes(source).items() if isinstance(value, str)}
    return body, attributes | {"ce-specversion": attributes.get("ce-specversion", ""), "Content-Type": "text/json"}


def _push(body: bytes, source: random.Random) -> tuple[bytes, dict[str, str]]:
    message: Any = {"data": base64.b64encode(body).decode(), "messageId": "7"}
    if source.random() < 0.1:
        message = source.choice([None, [], {}, {"data": ""}, {"data": "%%%%"}, {"data": 1}, {"data": "e30="}])
    push = {"message": message, "subscription": "projects/p/subscriptions/s"}
    return json.dumps(push).encode(), {"Content-Type": "application/json"}


def _eventarc(body: bytes, source: random.Random) -> tuple[bytes, dict[str, str]]:
    pushed, _ = _push(body, source)
    return source.choice([_structured, _binary])(pushed, source)


def _attributes(source: random.Random) -> dict[str, Any]:
    attributes: dict[str, Any] = {"specversion": "1.0", "id": source.choice(["1", "a b%ü", "x" * 1000])}
    attributes |= {"source": "/fuzz", "type": "precheck.wanted"}
    if source.random() < 0.1:
        for name in source.sample(list(attributes), source.choice([1, 1, 2])):
            attributes[name] = source.choice(["", None, 1, "0.3", "2"])
    if source.random() < 0.2:
        attributes["traceparent"] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    return attributes
