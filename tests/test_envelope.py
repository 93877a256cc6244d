"""Envelopes: an event delivery wraps the event in a CloudEvent, in a Pub/Sub push body, or in both."""

import base64
import json
from urllib.parse import unquote

import pytest
from helpers.envelopes import (
    ATTRIBUTES,
    STRUCTURED_HEADERS,
    TRACEPARENT,
    base64_json,
    binary_headers,
    push_body,
    send_structured,
)
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, STRUCTURED_CONTENT_TYPE, TOKEN, Function

from testing.fake_ddm import FakeDDM

KEY_EMOJI = "\U0001f511"  # one character, four bytes of UTF-8
EVENTARC_HEADERS = {
    "Content-Type": "application/json",
    **binary_headers(type="google.cloud.pubsub.topic.v1.messagePublished"),
}
STRUCTURED_EVENT = ATTRIBUTES | {"data": EVENT}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(STRUCTURED_EVENT, STRUCTURED_HEADERS, id="structured"),
        pytest.param(
            STRUCTURED_EVENT, {"Content-Type": f"{STRUCTURED_CONTENT_TYPE}; charset=utf-8"}, id="structured, charset"
        ),
        pytest.param(STRUCTURED_EVENT, {"Content-Type": "application/json"}, id="structured, application-json"),
        pytest.param(ATTRIBUTES | {"data_base64": base64_json(EVENT)}, STRUCTURED_HEADERS, id="structured, base64"),
        pytest.param(
            STRUCTURED_EVENT | {"datacontenttype": "application/json", "subject": "x"},
            {},
            id="structured, optional attributes",
        ),
        pytest.param(ATTRIBUTES | {"data": push_body(EVENT)}, STRUCTURED_HEADERS, id="push in structured"),
        pytest.param(EVENT, binary_headers(), id="binary"),
        pytest.param(EVENT, binary_headers() | {"Content-Type": "text/plain"}, id="binary, text-plain"),
        pytest.param(push_body(EVENT), EVENTARC_HEADERS, id="push in binary"),
        pytest.param(push_body(EVENT), {}, id="push"),
        pytest.param(
            push_body(EVENT, attributes={"a": "b"}, orderingKey="k") | {"deliveryAttempt": 5},
            {},
            id="push, optional fields",
        ),
    ],
)
def test_event_in_envelope(function: Function, fake_ddm: FakeDDM, body, headers):
    """The function detects the envelope, and requests the result of the event's job."""
    assert function.send(body, headers=headers).summary["verdict"] == "PASS"
    assert [request.job_id for request in fake_ddm.requests] == [EVENT["job_id"]]


@pytest.mark.parametrize(
    ("body", "headers", "pointers"),
    [
        pytest.param([STRUCTURED_EVENT], {"Content-Type": "application/cloudevents-batch+json"}, [""], id="batch"),
        pytest.param(EVENT, {"Content-Type": "application/cloudevents-batch"}, [""], id="batch, no suffix"),
        pytest.param([STRUCTURED_EVENT], STRUCTURED_HEADERS, [""], id="structured: list"),
        pytest.param(EVENT, STRUCTURED_HEADERS, ["/specversion"], id="structured: no attributes"),
        pytest.param(STRUCTURED_EVENT | {"specversion": "0.3"}, {}, ["/specversion"], id="specversion: 0.3"),
        pytest.param(STRUCTURED_EVENT | {"specversion": 1.0}, {}, ["/specversion"], id="specversion: number"),
        pytest.param(STRUCTURED_EVENT | {"id": ""}, {}, ["/id"], id="id: empty"),
        pytest.param(STRUCTURED_EVENT | {"id": 7}, {}, ["/id"], id="id: number"),
        pytest.param(STRUCTURED_EVENT | {"id": "x" * 1025}, {}, ["/id"], id="id: too long"),
        pytest.param(STRUCTURED_EVENT | {"id": KEY_EMOJI * 257}, {}, ["/id"], id="id: too many bytes"),
        pytest.param(EVENT, binary_headers(id="%F0%9F%94%91" * 257), ["/id"], id="ce-id: too many bytes"),
        pytest.param(STRUCTURED_EVENT | {"source": None}, {}, ["/source"], id="source: null"),
        pytest.param(
            {"specversion": "1.0", "id": "1", "source": "s", "data": EVENT}, {}, ["/type"], id="type: missing"
        ),
        pytest.param(ATTRIBUTES, {}, ["/data"], id="data: missing"),
        pytest.param(STRUCTURED_EVENT | {"data_base64": base64_json(EVENT)}, {}, ["/data"], id="data: twice"),
        pytest.param(ATTRIBUTES | {"data": 7}, {}, [""], id="data: number"),
        pytest.param(ATTRIBUTES | {"data": json.dumps(EVENT)}, {}, [""], id="data: event as a string"),
        pytest.param(ATTRIBUTES | {"data": None}, {}, [""], id="data: null"),
        pytest.param(ATTRIBUTES | {"data_base64": "no base64!"}, {}, ["/data_base64"], id="data_base64: not base64"),
        pytest.param(ATTRIBUTES | {"data_base64": EVENT}, {}, ["/data_base64"], id="data_base64: object"),
        pytest.param(ATTRIBUTES | {"data_base64": base64.b64encode(b"{").decode()}, {}, [], id="data_base64: not JSON"),
        pytest.param(ATTRIBUTES | {"data": push_body(push_body(EVENT))}, {}, None, id="push in push in structured"),
        pytest.param(
            EVENT, {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s"}, ["/type"], id="ce-type: missing"
        ),
        pytest.param(EVENT, binary_headers(specversion="0.3"), ["/specversion"], id="ce-specversion: 0.3"),
        pytest.param(EVENT, {"ce-specversion": ""}, ["/specversion"], id="ce-specversion: empty"),
        pytest.param(EVENT, binary_headers(id='""'), ["/id"], id="ce-id: empty in quotes"),
        pytest.param(EVENT, binary_headers(id="%C0%A0"), ["/id"], id="ce-id: invalid UTF-8"),
        pytest.param(EVENT, binary_headers(source="%ED%A0%80"), ["/source"], id="ce-source: lone surrogate"),
        pytest.param(EVENT, binary_headers(type="\u00e9"), ["/type"], id="ce-type: Latin-1"),
        pytest.param(STRUCTURED_EVENT, binary_headers(), None, id="structured in binary"),
        pytest.param(b"", binary_headers(), [], id="binary: empty body"),
        pytest.param(push_body(push_body(EVENT)), {}, None, id="push in push"),
        pytest.param(push_body(STRUCTURED_EVENT), {}, None, id="structured in push"),
        pytest.param(push_body(EVENT, data="no base64!"), {}, ["/message/data"], id="message data: not base64"),
        pytest.param(push_body(EVENT, data=7), {}, ["/message/data"], id="message data: number"),
        pytest.param(push_body(EVENT, data="\u00e9"), {}, ["/message/data"], id="message data: not ASCII"),
        pytest.param(
            push_body(EVENT, data=base64.b64encode(TOKEN.encode()).decode()), {}, [], id="message data: the token"
        ),
        pytest.param({"message": {}, "subscription": "s"}, {}, ["/message/data"], id="message: empty"),
        pytest.param({"message": TOKEN, "subscription": "s"}, {}, ["/message"], id="message: the token"),
        pytest.param(push_body("text"), {}, [""], id="message data: string"),
    ],
)
def test_invalid_envelope(function: Function, fake_ddm: FakeDDM, body, headers, pointers):
    """A malformed envelope, or an envelope in an envelope, is `invalid-event`. DDM receives no request."""
    response = function.send(body, headers=headers)
    assert (response.status, response.problem_code) == (400, "invalid-event")
    assert pointers is None or response.pointers == pointers
    assert fake_ddm.requests == []


def test_response_in_structured_mode(function: Function):
    """The response to a CloudEvent in structured mode is a CloudEvent in structured mode."""
    response = send_structured(function, data=EVENT | {"db_name": "fail"}, traceparent=TRACEPARENT)
    assert response.headers["Content-Type"] == STRUCTURED_CONTENT_TYPE
    attributes = dict(response.body)
    data = attributes.pop("data")
    assert attributes == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": EVENT["job_id"],
        "time": data["checked_at"],
        "datacontenttype": "application/json",
        "verdict": "FAIL",
        "canproceed": "false",
        "traceparent": TRACEPARENT,
    }


def test_response_in_binary_mode(function: Function):
    """The response to a CloudEvent in binary mode is a CloudEvent in binary mode."""
    response = function.send(EVENT | {"db_name": "warn"}, headers=binary_headers(traceparent=TRACEPARENT))
    assert response.headers["Content-Type"] == "application/json"
    assert {name.lower(): value for name, value in response.headers.items() if name.lower().startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": "e-1",
        "ce-source": "ddm-precheck",
        "ce-type": "ddm.precheck.verdict.v1",
        "ce-subject": EVENT["job_id"],
        "ce-time": response.body["checked_at"],
        "ce-verdict": "WARN",
        "ce-canproceed": "false",
        "ce-traceparent": TRACEPARENT,
    }


@pytest.mark.parametrize("body", [EVENT, push_body(EVENT)], ids=["direct request", "push"])
def test_response_without_envelope(function: Function, body):
    """A direct request and a Pub/Sub push request get the summary without a CloudEvent's attributes."""
    response = function.send(body, headers={"traceparent": TRACEPARENT})
    assert response.headers["Content-Type"] == "application/json"
    assert not [name for name, _ in response.headers.items() if name.lower().startswith("ce-")]


@pytest.mark.parametrize(
    ("value", "ce_id"),
    [
        pytest.param('"a b"', "a b", id="quoted"),
        pytest.param(r'"say \"hi\" \\o/"', r'say "hi" \o/', id="quoted, escaped"),
        pytest.param('"50%25"', "50%", id="quoted, percent-encoded"),
        pytest.param('"open', '"open', id="one quote only"),
        pytest.param("%c3%A9", "\u00e9", id="percent-encoded, both cases"),
        pytest.param("\u00e9".encode().decode("latin-1"), "\u00e9", id="UTF-8, not encoded"),
    ],
)
def test_ce_id_header_is_decoded(function: Function, value, ce_id):
    """The value of `ce-id` is decoded according to the HTTP binding and its earlier versions."""
    assert unquote(function.send(EVENT, headers=binary_headers(id=value)).headers["ce-id"]) == ce_id


def test_all_attributes_quoted(function: Function):
    """Each attribute of a CloudEvent in binary mode may be quoted."""
    headers = {name: f'"{value}"' for name, value in binary_headers(traceparent=TRACEPARENT).items()}
    response = function.send(EVENT, headers=headers)
    assert (response.summary["verdict"], response.headers["ce-traceparent"]) == ("PASS", TRACEPARENT)


@pytest.mark.parametrize(
    ("headers", "attributes", "traceparent"),
    [
        pytest.param({"traceparent": TRACEPARENT}, {}, TRACEPARENT, id="header"),
        pytest.param(
            {"traceparent": TRACEPARENT},
            {"traceparent": TRACEPARENT.replace("4bf9", "0000")},
            TRACEPARENT.replace("4bf9", "0000"),
            id="header and attribute",
        ),
        pytest.param({"traceparent": "nonsense"}, {}, None, id="malformed header"),
        pytest.param({}, {"traceparent": f"{TRACEPARENT}\r\nX-Evil: 1"}, None, id="malformed attribute"),
        pytest.param({}, {"traceparent": 7}, None, id="number"),
    ],
)
def test_traceparent(function: Function, headers, attributes, traceparent):
    """The response has the `traceparent` of the attribute, or else of the header. A malformed value is ignored."""
    response = function.send(STRUCTURED_EVENT | attributes, headers=headers)
    assert response.body.get("traceparent") == traceparent


@pytest.mark.parametrize(
    "ce_id",
    ["a b", 'say "hi"', "50%", "50%25", f"\u00e9{KEY_EMOJI}", "line\r\nX-Evil: 1", "nul\0\x7f", KEY_EMOJI * 256],
    ids=["space", "quote", "percent", "percent-encoded", "not ASCII", "line break", "control characters", "max bytes"],
)
def test_id_is_returned(function: Function, ce_id):
    """The response has the id of the CloudEvent. In a header, the id is percent-encoded."""
    assert send_structured(function, id=ce_id, data=EVENT).body["id"] == ce_id
    encoded = "".join(f"%{byte:02X}" for byte in ce_id.encode())
    response = function.send(EVENT, headers=binary_headers(id=encoded))
    assert unquote(response.headers["ce-id"]) == ce_id
    assert response.headers["ce-id"].isascii()
    assert response.headers["ce-id"].isprintable()
    assert " " not in response.headers["ce-id"]
    assert "X-Evil" not in response.headers


def test_id_that_contains_the_token(function: Function):
    """The token is redacted in the id of the response."""
    assert send_structured(function, id=f"job {TOKEN}", data=EVENT).body["id"] == "job ***"


def test_id_with_a_lone_surrogate(function: Function):
    """A lone surrogate in the id becomes a question mark in the response."""
    body = json.dumps(STRUCTURED_EVENT | {"id": "a\ud800"}).encode()
    assert function.send(body).body["id"] == "a?"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(ATTRIBUTES | {"data": EVENT | {"db_name": "pending_twice"}}, {}, id="structured"),
        pytest.param(EVENT | {"db_name": "pending_twice"}, binary_headers(), id="binary"),
        pytest.param(push_body(EVENT | {"db_name": "pending_twice"}), {}, id="push"),
    ],
)
def test_pending_event_delivery(function: Function, body, headers):
    """While the verdict is PENDING, an event delivery gets the problem `pending` with 503, and the broker retries."""
    for _ in range(2):
        response = function.send(body, headers=headers)
        assert (response.status, response.problem_code, response.headers["Retry-After"]) == (503, "pending", "10")
        assert (response.body["verdict"], response.body["can_proceed"]) == ("PENDING", False)
        assert response.log_entry["severity"] == "INFO"
        assert response.body["upstream"]["status"] == 200
    assert function.send(body, headers=headers).summary["verdict"] == "PASS"


@pytest.mark.parametrize(("db_name", "status"), [("unauthorized", 401), ("throttled", 429), ("broken", 502)])
def test_problem_of_an_event_delivery(function: Function, db_name, status):
    """A problem has the same status and Content-Type for an event delivery as for a direct request."""
    response = send_structured(function, data=EVENT | {"db_name": db_name})
    assert (response.status, response.headers["Content-Type"]) == (status, "application/json")


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(ATTRIBUTES | {"data": EVENT_WITHOUT_TOKEN}, {}, id="structured"),
        pytest.param(EVENT_WITHOUT_TOKEN, binary_headers(), id="binary"),
    ],
)
def test_token_header_of_an_event_delivery(function: Function, fake_ddm: FakeDDM, body, headers):
    """If the event in an envelope has no token, the header `X-Auth-Token` is used."""
    assert function.send(body, headers=headers | {"X-Auth-Token": TOKEN}).status == 200
    assert [request.token for request in fake_ddm.requests] == [TOKEN]
