"""The formats of a request: which one it is, where its event is, and the reply."""

import base64
import json
import sys
from typing import Any, Final
from urllib.parse import unquote

import pytest
from helpers import tool_cache
from helpers.envelopes import (
    ATTRIBUTES,
    DELIVERIES,
    SMN_HEADERS,
    STRUCTURED_HEADERS,
    TRACEPARENT,
    base64_json,
    binary_headers,
    push_body,
    send_structured,
    smn_body,
)
from helpers.flows import HELPERS, run_json
from helpers.function import (
    EVENT,
    EVENT_WITHOUT_TOKEN,
    STRUCTURED_CONTENT_TYPE,
    TOKEN,
    Function,
    validate_summary,
)

from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment

KEY_EMOJI = "\U0001f511"  # one character, four bytes of UTF-8
STRUCTURED = ATTRIBUTES | {"data": EVENT}
EVENT_TEXT = json.dumps(EVENT)
EVENTARC_HEADERS = binary_headers(type="google.cloud.pubsub.topic.v1.messagePublished")
UNKNOWN_MESSAGE = (
    "/message is not a known field; the known fields are project_id, instance_id, db_name, job_id, token, region,"
    " proceed_on_warn, accepted_warnings, expected_checks, wait_seconds, pre_check_results (and 6 more, see errors)"
)
LINES_OF_BASE64 = base64.encodebytes(EVENT_TEXT.encode()).decode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(STRUCTURED, {"Content-Type": f"{STRUCTURED_CONTENT_TYPE}; charset=utf-8"}, id="charset"),
        pytest.param(STRUCTURED, {"Content-Type": "application/json"}, id="structured, application-json"),
        pytest.param(STRUCTURED | {"datacontenttype": "x", "subject": "x"}, {}, id="optional attributes"),
        pytest.param(ATTRIBUTES | {"data": EVENT_TEXT}, {}, id="data is JSON text"),
        pytest.param(STRUCTURED | {"data_base64": None}, {}, id="data_base64 is null"),
        pytest.param(ATTRIBUTES | {"data_base64": base64_json(EVENT)}, STRUCTURED_HEADERS, id="base64"),
        pytest.param(ATTRIBUTES | {"data_base64": base64_json(EVENT), "data": None}, {}, id="data is null"),
        pytest.param(
            ATTRIBUTES | {"data_base64": LINES_OF_BASE64.replace("\n", "\r\n")}, {}, id="base64 with CRLF line breaks"
        ),
        pytest.param(EVENT, binary_headers() | {"Content-Type": "text/plain"}, id="binary, text-plain"),
        pytest.param(EVENT_TEXT, binary_headers(), id="binary, JSON text"),
        pytest.param(STRUCTURED, binary_headers(), id="structured in binary"),
        pytest.param(push_body(EVENT), EVENTARC_HEADERS, id="push in binary"),
        pytest.param(
            push_body(EVENT, data=LINES_OF_BASE64, attributes={"a": "b"}) | {"deliveryAttempt": 5}, {}, id="push"
        ),
        pytest.param(EVENT, {"X-Goog-Pubsub-Message-Id": "7"}, id="unwrapped push, another header"),
    ],
)
@pytest.mark.sockets
def test_event_in_its_envelope(function: Function, fake_ddm: FakeDDM, body, headers):
    assert function.send(body, headers=headers).verdict == "PASS"
    assert [request.job_id for request in fake_ddm.requests] == [EVENT["job_id"]]


INVALID: Final[dict[str, dict[str, tuple[Any, dict[str, str]]]]] = {
    "the event must be a JSON object, not a list; send one event in each request": {
        "batch": ([STRUCTURED], {"Content-Type": "application/cloudevents-batch+json"}),
        "structured: list": ([STRUCTURED], STRUCTURED_HEADERS),
    },
    "the event must be in an SMN message of the type Notification": {
        "SMN: UnsubscribeConfirmation": (smn_body(EVENT), {"X-SMN-MESSAGE-TYPE": "UnsubscribeConfirmation"}),
        "SMN: event in another type": (EVENT, {"X-SMN-MESSAGE-TYPE": "notification"}),
    },
    "/specversion is required in a CloudEvent and must be 1.0": {
        "event in a batch": (EVENT, {"Content-Type": "application/cloudevents-batch+json"}),
        "structured: no attributes": (EVENT, STRUCTURED_HEADERS),
        "specversion: 0.3": (STRUCTURED | {"specversion": "0.3"}, {}),
        "specversion: number": (STRUCTURED | {"specversion": 1.0}, {}),
        "ce-id only": (EVENT, {"ce-id": "1"}),
        "ce-type only": (EVENT, {"CE-Type": "t"}),
        "ce-source only": (EVENT, {"ce-source": "s"}),
        "ce-specversion: empty": (EVENT, {"ce-specversion": ""}),
    },
    "/id is required in a CloudEvent and must be a non-empty string": {
        "id: empty": (STRUCTURED | {"id": ""}, {}),
        "id: number": (STRUCTURED | {"id": 7}, {}),
        "ce-id: empty in quotes": (EVENT, binary_headers(id='""')),
    },
    "/id must have at most 1024 bytes": {
        "id: 1,025 bytes": (STRUCTURED | {"id": KEY_EMOJI * 256 + "x"}, {}),
    },
    "/type is required in a CloudEvent and must be a non-empty string": {
        "no type": ({"specversion": "1.0", "id": "1", "source": "s", "data": EVENT}, {}),
    },
    "/data or data_base64 must be present, but not both": {
        "no data": (ATTRIBUTES, {}),
        "data: twice": (STRUCTURED | {"data_base64": base64_json(EVENT)}, {}),
    },
    "/data cannot be parsed: it is not valid JSON at line 1, column 1": {
        "data: text": (ATTRIBUTES | {"data": "no JSON"}, {}),
    },
    "/data cannot be parsed: it is not UTF-8 at byte 0": {
        "data: lone surrogate": (ATTRIBUTES | {"data": "\ud800"}, {}),
    },
    "/data_base64 must be the base64 of the event": {
        "data_base64: not base64": (ATTRIBUTES | {"data_base64": "no base64!"}, {}),
        "data_base64: object": (ATTRIBUTES | {"data_base64": EVENT}, {}),
    },
    "the base64 in /data_base64 cannot be parsed: it is not valid JSON at line 1, column 2": {
        "data_base64: not JSON": (ATTRIBUTES | {"data_base64": base64.b64encode(b"{").decode()}, {}),
    },
    "/id must be percent-encoded UTF-8": {
        "ce-id: invalid UTF-8": (EVENT, binary_headers(id="%C0%A0")),
    },
    "/type must be percent-encoded UTF-8": {
        "ce-type: Latin-1": (EVENT, binary_headers(type="\u00e9")),
    },
    "the event is inside /data; send the event itself": {
        "structured in push": (push_body(STRUCTURED), {}),
    },
    "the request body is empty; send the event as a JSON object": {
        "binary: empty body": (b"", binary_headers()),
    },
    UNKNOWN_MESSAGE: {
        "push in push": (push_body(push_body(EVENT)), {}),
    },
    "/message/data must be the base64 of the event": {
        "message data: not ASCII": (push_body(EVENT, data="\u00e9"), {}),
        "message: empty": ({"message": {}, "subscription": "s"}, {}),
    },
    "the event must be a JSON object, not a string; send the object itself, not its text": {
        "message data: string": (push_body("text"), {}),
    },
    "/message cannot be parsed: it is not valid JSON at line 1, column 1": {
        "SMN: text": (smn_body("Alarm: disk full"), SMN_HEADERS),
    },
    "/message must be a string with the event as JSON": {
        "SMN: no message": (smn_body("") | {"message": None}, SMN_HEADERS),
    },
}
"""Requests that are rejected, by the message."""


@pytest.mark.parametrize(
    ("message", "body", "headers"),
    [
        pytest.param(message, body, headers, id=name)
        for message, requests in INVALID.items()
        for name, (body, headers) in requests.items()
    ],
)
def test_invalid_envelope(function: Function, fake_ddm: FakeDDM, message, body, headers):
    response = function.send(body, headers=headers)
    assert response.problem_code == "invalid-event"
    assert response.message == message
    assert fake_ddm.requests == []


@pytest.mark.parametrize("make_delivery", DELIVERIES.values(), ids=DELIVERIES)
@pytest.mark.sockets
def test_pending_delivery_is_503_so_that_the_broker_retries(function: Function, make_delivery):
    body, headers = make_delivery(EVENT | {"db_name": "pending_twice"})
    for _ in range(2):
        response = function.send(body, headers=headers)
        assert response.problem_code == "pending"
        assert response.headers["Retry-After"] == "10"
        assert response.body["verdict"] == "PENDING"
        assert response.body["upstream"]["status"] == 200
        assert response.log_entry["severity"] == "INFO"
    assert function.send(body, headers=headers).verdict == "PASS"


@pytest.mark.parametrize("make_delivery", DELIVERIES.values(), ids=DELIVERIES)
def test_token_in_the_header_of_a_delivery(function: Function, fake_ddm: FakeDDM, make_delivery):
    body, headers = make_delivery(EVENT_WITHOUT_TOKEN)
    assert function.send(body, headers=headers | {"X-Auth-Token": TOKEN}).status == 200
    assert [request.token for request in fake_ddm.requests] == [TOKEN]


# Replies


@pytest.mark.sockets
def test_reply_to_a_structured_cloudevent(function: Function):
    response = send_structured(function, data=EVENT | {"db_name": "fail"}, traceparent=TRACEPARENT)
    assert response.headers["Content-Type"] == STRUCTURED_CONTENT_TYPE
    attributes = response.body
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


@pytest.mark.sockets
def test_reply_to_a_binary_cloudevent(function: Function):
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


@pytest.mark.parametrize("name", [None, "Pub/Sub", "unwrapped Pub/Sub", "SMN"])
def test_other_replies_have_no_attributes(function: Function, name):
    body, headers = DELIVERIES[name](EVENT) if name else (EVENT, {})
    response = function.send(body, headers=headers | {"traceparent": TRACEPARENT})
    assert response.headers["Content-Type"] == "application/json"
    assert not [header for header, _ in response.headers.items() if header.lower().startswith("ce-")]


@pytest.mark.parametrize(
    ("value", "ce_id"),
    [
        ('"a b"', "a b"),
        (r'"say \"hi\" \\o/"', r'say "hi" \o/'),
        ('"50%25"', "50%"),
        ('"open', '"open'),
        ("%c3%A9", "\u00e9"),
        ("\u00e9".encode().decode("latin-1"), "\u00e9"),
    ],
    ids=["quoted", "escaped", "quoted and encoded", "one quote only", "percent-encoded", "UTF-8, not encoded"],
)
def test_id_header_is_decoded(function: Function, value, ce_id):
    assert unquote(function.send(EVENT, headers=binary_headers(id=value)).headers["ce-id"]) == ce_id


def test_all_attributes_may_be_quoted(function: Function):
    headers = {name: f'"{value}"' for name, value in binary_headers(traceparent=TRACEPARENT).items()}
    assert function.send(EVENT, headers=headers).headers["ce-traceparent"] == TRACEPARENT


@pytest.mark.parametrize(
    "ce_id",
    ["a b", 'say "hi"', "50%", "50%25", f"\u00e9{KEY_EMOJI}", "line\r\nX-Evil: 1", "nul\0\x7f", KEY_EMOJI * 256],
    ids=["space", "quote", "percent", "encoded", "not ASCII", "line break", "control characters", "1,024 bytes"],
)
@pytest.mark.sockets
def test_id_is_returned(function: Function, ce_id):
    assert send_structured(function, id=ce_id, data=EVENT).body["id"] == ce_id
    encoded = "".join(f"%{byte:02X}" for byte in ce_id.encode())
    response = function.send(EVENT, headers=binary_headers(id=encoded))
    returned = response.headers["ce-id"]
    assert unquote(returned) == ce_id
    assert returned.isascii()
    assert returned.isprintable()
    assert " " not in returned
    assert "X-Evil" not in response.headers


def test_lone_surrogate_in_an_id_becomes_a_question_mark(function: Function):
    assert function.send(json.dumps(STRUCTURED | {"id": "a\ud800"}).encode()).body["id"] == "a?"


@pytest.mark.parametrize(
    ("headers", "attributes", "traceparent"),
    [
        pytest.param({"traceparent": TRACEPARENT}, {}, TRACEPARENT, id="header"),
        pytest.param(
            {"traceparent": TRACEPARENT},
            {"traceparent": TRACEPARENT.replace("4bf9", "0000")},
            TRACEPARENT.replace("4bf9", "0000"),
            id="attribute before header",
        ),
        pytest.param({"traceparent": "nonsense"}, {}, None, id="malformed header"),
        pytest.param({}, {"traceparent": f"{TRACEPARENT}\r\nX-Evil: 1"}, None, id="malformed attribute"),
        pytest.param({}, {"traceparent": 7}, None, id="number"),
    ],
)
def test_traceparent_of_the_reply(function: Function, headers, attributes, traceparent):
    assert function.send(STRUCTURED | attributes, headers=headers).body.get("traceparent") == traceparent


# Handshakes


@pytest.mark.parametrize("origin", [None, "eventgrid.azure.net"])
@pytest.mark.sockets
def test_options(function: Function, origin):
    response = function.send(b"", method="OPTIONS", headers={"WebHook-Request-Origin": origin} if origin else {})
    assert response.status == 204
    assert response.headers["Allow"] == "POST, OPTIONS"
    assert "Content-Type" not in response.headers
    assert response.headers.get("WebHook-Allowed-Origin") == origin
    assert response.headers.get("WebHook-Allowed-Rate") == ("*" if origin else None)
    assert response.log_entry["verdict"] is None
    assert response.log_entry["message"] == "OPTIONS: the allowed methods"


def confirm(function: Function, url: object) -> str:
    """Send a request to confirm a subscription with this URL, and return the log message."""
    body = {"type": "SubscriptionConfirmation", "message_id": "m-1", "message": "Confirm.", "subscribe_url": url}
    response = function.send(body, headers={"X-SMN-MESSAGE-TYPE": "SubscriptionConfirmation"})
    assert response.status == 200
    assert response.text == ""
    assert response.log_entry["severity"] == "INFO"
    return str(response.log_entry["message"])


NOT_SHOWN = "SMN subscription: open this URL to confirm it: not shown, because its host is not one of Huawei Cloud"
OWN_ENDPOINT = "https://ddm.cloud.example.org"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        (OWN_ENDPOINT, "https://smn.cn-north-4.myhuaweicloud.com/smn/subscription/subscribe?token=abc"),
        (OWN_ENDPOINT, "https://smn.eu-west-101.myhuaweicloud.eu/x"),
        (OWN_ENDPOINT, "https://console.huaweicloud.com/smn/x"),
        (OWN_ENDPOINT, "https://smn.cloud.example.org:8443/x"),
        (OWN_ENDPOINT, "https://ddm.cloud.example.org/x"),
        ("https://ddm.{region}.example.org", "https://smn.cn-north-4.example.org/x"),
        ("https://ddm.{region}.cloud.example.org", "https://smn.cloud.example.org/x"),
        ("https://ddm.2.example", "https://ddm.2.example/x"),
        ("https://10.0.0.7", "https://10.0.0.7/x"),
        ("https://ddm", "https://ddm/x"),
    ],
)
def test_subscription_url_of_a_trusted_host_is_logged(start, fake_ddm: FakeDDM, endpoint, url):
    assert confirm(start(DDM_ENDPOINT=endpoint), url) == f"SMN subscription: open this URL to confirm it: {url}"
    assert fake_ddm.requests == []


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("https://10.0.0.7", "https://9.0.0.7/x"),
        ("https://ddm.example", "https://smn.example/x"),
        ("https://ddm.{region}.example", "https://smn.cn-north-4.example/x"),
        ("https://{region}.ddm.example.org", "https://smn.example.org/x"),
        ("https://gateway.example.org/{region}", "https://evil.org/x"),
    ],
)
def test_subscription_url_of_a_host_beside_the_endpoint(start, endpoint, url):
    assert confirm(start(DDM_ENDPOINT=endpoint), url) == NOT_SHOWN


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://myhuaweicloud.com.evil.example/x",
        "https://evilmyhuaweicloud.com/x",
        "https://smn.myhuaweicloud.com@evil.example/x",
        "http://smn.cn-north-4.myhuaweicloud.com/x",
        "https://smn.myhuaweicloud.com/\n",
        "https://smn.myhuaweicloud.com/\u00e9",
        "https://smn.myhuaweicloud.com/" + "x" * 3000,
        "https://ddm.other.org/x",
        7,
    ],
)
def test_subscription_url_of_another_host_is_not_logged(start, url):
    assert confirm(start(DDM_ENDPOINT=OWN_ENDPOINT), url) == NOT_SHOWN


# A sender that others wrote


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.no_mutation
def test_version_2_of_the_cloudevents_sdk(served_function, fake_ddm: FakeDDM, mode):
    """functions-framework does not support this version."""
    sdk = tool_cache.packages("cloudevents-2.2.0", "cloudevents==2.2.0")
    ce_id = 'run 7 / "höchst" %'
    attributes = {"id": ce_id, "source": "/scheduler", "type": "precheck.wanted", "traceparent": TRACEPARENT}
    arguments = {"url": served_function.url, "mode": mode, "attributes": attributes, "data": EVENT}
    command = [sys.executable, str(HELPERS / "sdk_client.py")]
    parsed = run_json(command, arguments, clean_environment() | {"PYTHONPATH": str(sdk)})
    validate_summary(parsed["data"])
    attributes = parsed["attributes"]
    assert attributes["id"] == ce_id
    assert attributes["verdict"] == "PASS"
    assert attributes["canproceed"] == "true"
    assert attributes["traceparent"] == TRACEPARENT
