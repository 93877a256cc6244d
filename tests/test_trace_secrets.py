"""Trace IDs in the log: an ID that contains the token of its request is not logged."""

import base64
import json

import pytest
from helpers.envelopes import ATTRIBUTES, base64_json, push_body
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, Function

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EVENT_WITH_TRACE_AS_TOKEN = EVENT | {"token": TRACE}
INVALID_EVENT = EVENT_WITH_TRACE_AS_TOKEN | {"db_name": "?"}
TRACE_HEADERS = {
    "traceparent": {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"},
    "X-Cloud-Trace-Context": {"X-Cloud-Trace-Context": f"{TRACE}/1;o=1"},
}
MALFORMED = json.dumps(EVENT_WITH_TRACE_AS_TOKEN).encode()[:-1]
BODIES_WITH_THE_TOKEN = {
    "valid event": json.dumps(EVENT_WITH_TRACE_AS_TOKEN).encode(),
    "part of the trace": json.dumps(EVENT | {"token": TRACE[4:20]}).encode(),
    "invalid event": json.dumps(INVALID_EVENT).encode(),
    "malformed event": MALFORMED,
    "token of the wrong type": json.dumps(EVENT | {"token": [TRACE]}).encode(),
    "token in a name": json.dumps(EVENT | {TRACE: ""}).encode(),
    "event as a string": json.dumps(json.dumps(EVENT_WITH_TRACE_AS_TOKEN)).encode(),
    "half of the token": MALFORMED.replace(TRACE.encode(), TRACE[:16].encode()),
    "invalid push": json.dumps(push_body(INVALID_EVENT)).encode(),
    "malformed push": json.dumps(
        {"subscription": "s", "message": {"data": base64.b64encode(MALFORMED).decode()}}
    ).encode(),
    "push with escaped slashes": json.dumps(push_body(INVALID_EVENT | {"x": "???>>>"})).replace("/", "\\/").encode(),
    "invalid CloudEvent": json.dumps(ATTRIBUTES | {"data": INVALID_EVENT}).encode(),
    "invalid CloudEvent in base64": json.dumps(ATTRIBUTES | {"data_base64": base64_json(INVALID_EVENT)}).encode(),
    "invalid push in a CloudEvent": json.dumps(
        ATTRIBUTES | {"data_base64": base64_json(push_body(INVALID_EVENT))}
    ).encode(),
    "event too large": json.dumps(EVENT_WITH_TRACE_AS_TOKEN | {"unknown": "x" * 300_000}).encode(),
}


@pytest.mark.parametrize("headers", TRACE_HEADERS.values(), ids=TRACE_HEADERS)
@pytest.mark.parametrize("body", BODIES_WITH_THE_TOKEN.values(), ids=BODIES_WITH_THE_TOKEN)
def test_token_of_the_event(function: Function, headers, body):
    """A trace ID that contains the event's token is not logged, even if the function cannot parse the token."""
    assert function.send(body, headers=headers).log_entry["trace"] is None


@pytest.mark.parametrize("headers", TRACE_HEADERS.values(), ids=TRACE_HEADERS)
@pytest.mark.parametrize("body", [json.dumps(EVENT_WITHOUT_TOKEN).encode(), b"{"], ids=["valid", "malformed"])
def test_token_of_the_header(function: Function, headers, body):
    """A trace ID that contains the token of the header `X-Auth-Token` is not logged."""
    assert function.send(body, headers=headers | {"X-Auth-Token": TRACE}).log_entry["trace"] is None


@pytest.mark.parametrize("method", ["PUT", "OPTIONS"])
def test_token_of_another_method(function: Function, method):
    """With another method than POST, the token is not known, and no trace ID is logged."""
    response = function.send(EVENT_WITH_TRACE_AS_TOKEN, method=method, headers=TRACE_HEADERS["traceparent"])
    assert response.log_entry["trace"] is None


def test_another_token(function: Function):
    """A trace ID that contains no token is logged."""
    assert function.send_event(headers=TRACE_HEADERS["traceparent"]).log_entry["trace"] == TRACE
