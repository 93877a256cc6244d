"""The formats of a request: which one it is, where its event is, and the reply."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from helpers import tool_cache
from helpers.envelopes import (
    ATTRIBUTES,
    DELIVERIES,
    SMN_HEADERS,
    STRUCTURED_HEADERS,
    TRACEPARENT,
    UNWRAPPED_HEADERS,
    base64_json,
    binary_headers,
    push_body,
    send_structured,
    smn_body,
)
from helpers.function import (
    EVENT,
    EVENT_WITHOUT_TOKEN,
    STRUCTURED_CONTENT_TYPE,
    TOKEN,
    Function,
    character_id,
    validate_summary,
)

from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment

KEY_EMOJI = "\U0001f511"  # one character, four bytes of UTF-8
STRUCTURED = ATTRIBUTES | {"data": EVENT}
EVENT_TEXT = json.dumps(EVENT)
EVENTARC_HEADERS = binary_headers(type="google.cloud.pubsub.topic.v1.messagePublished")
LINES_OF_BASE64 = base64.encodebytes(EVENT_TEXT.encode()).decode()


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(STRUCTURED, STRUCTURED_HEADERS, id="structured"),
        pytest.param(STRUCTURED, {"Content-Type": f"{STRUCTURED_CONTENT_TYPE}; charset=utf-8"}, id="charset"),
        pytest.param(STRUCTURED, {"Content-Type": "application/json"}, id="structured, application-json"),
        pytest.param(STRUCTURED | {"datacontenttype": "x", "subject": "x"}, {}, id="optional attributes"),
        pytest.param(ATTRIBUTES | {"data": EVENT_TEXT}, {}, id="data is JSON text"),
        pytest.param(STRUCTURED | {"data_base64": None}, {}, id="data_base64 is null"),
        pytest.param(ATTRIBUTES | {"data_base64": base64_json(EVENT)}, STRUCTURED_HEADERS, id="base64"),
        pytest.param(ATTRIBUTES | {"data_base64": base64_json(EVENT), "data": None}, {}, id="data is null"),
        pytest.param(ATTRIBUTES | {"data_base64": LINES_OF_BASE64}, {}, id="base64 with line breaks"),
        pytest.param(
            ATTRIBUTES | {"data_base64": LINES_OF_BASE64.replace("\n", "\r\n")}, {}, id="base64 with CRLF line breaks"
        ),
        pytest.param(ATTRIBUTES | {"data": push_body(EVENT)}, STRUCTURED_HEADERS, id="push in structured"),
        pytest.param(EVENT, binary_headers(), id="binary"),
        pytest.param(EVENT, binary_headers() | {"Content-Type": "text/plain"}, id="binary, text-plain"),
        pytest.param(EVENT_TEXT, binary_headers(), id="binary, JSON text"),
        pytest.param(push_body(EVENT), EVENTARC_HEADERS, id="push in binary"),
        pytest.param(push_body(EVENT), {}, id="push"),
        pytest.param(push_body(EVENT, attributes={"a": "b"}) | {"deliveryAttempt": 5}, {}, id="push, optional fields"),
        pytest.param(push_body(EVENT, data=LINES_OF_BASE64), {}, id="push, line breaks"),
        pytest.param(EVENT, UNWRAPPED_HEADERS, id="unwrapped push"),
        pytest.param(EVENT, {"X-Goog-Pubsub-Message-Id": "7"}, id="unwrapped push, another header"),
        pytest.param(smn_body(EVENT), SMN_HEADERS, id="SMN"),
        pytest.param(smn_body(f" {EVENT_TEXT}\n"), {"x-smn-message-type": "Notification"}, id="SMN, spaces"),
    ],
)
@pytest.mark.sockets
def test_event_in_its_envelope(function: Function, fake_ddm: FakeDDM, body, headers):
    assert function.send(body, headers=headers).verdict == "PASS"
    assert [request.job_id for request in fake_ddm.requests] == [EVENT["job_id"]]


def without(attribute: str) -> dict[str, str]:
    return {name: value for name, value in binary_headers().items() if name != f"ce-{attribute}"}


@pytest.mark.parametrize(
    ("body", "headers", "pointers"),
    [
        pytest.param([STRUCTURED], {"Content-Type": "application/cloudevents-batch+json"}, [""], id="batch"),
        pytest.param(EVENT, {"Content-Type": "application/cloudevents-batch"}, [""], id="batch, no suffix"),
        pytest.param([STRUCTURED], STRUCTURED_HEADERS, [""], id="structured: list"),
        pytest.param(EVENT, STRUCTURED_HEADERS, ["/specversion"], id="structured: no attributes"),
        pytest.param(STRUCTURED | {"specversion": "0.3"}, {}, ["/specversion"], id="specversion: 0.3"),
        pytest.param(STRUCTURED | {"specversion": 1.0}, {}, ["/specversion"], id="specversion: number"),
        pytest.param(STRUCTURED | {"specversion": None}, {}, ["/specversion"], id="specversion: null"),
        pytest.param(STRUCTURED | {"id": ""}, {}, ["/id"], id="id: empty"),
        pytest.param(STRUCTURED | {"id": 7}, {}, ["/id"], id="id: number"),
        pytest.param(STRUCTURED | {"id": KEY_EMOJI * 256 + "x"}, {}, ["/id"], id="id: 1,025 bytes"),
        pytest.param(EVENT, binary_headers(id="%F0%9F%94%91" * 257), ["/id"], id="ce-id: too many bytes"),
        pytest.param(STRUCTURED | {"source": None}, {}, ["/source"], id="source: null"),
        pytest.param({"specversion": "1.0", "id": "1", "source": "s", "data": EVENT}, {}, ["/type"], id="no type"),
        pytest.param(ATTRIBUTES, {}, ["/data"], id="no data"),
        pytest.param(ATTRIBUTES | {"data": None, "data_base64": None}, {}, ["/data"], id="data: null twice"),
        pytest.param(STRUCTURED | {"data_base64": base64_json(EVENT)}, {}, ["/data"], id="data: twice"),
        pytest.param(ATTRIBUTES | {"data": 7}, {}, [""], id="data: number"),
        pytest.param(ATTRIBUTES | {"data": "no JSON"}, {}, [], id="data: text"),
        pytest.param(ATTRIBUTES | {"data": "\ud800"}, {}, [], id="data: lone surrogate"),
        pytest.param(ATTRIBUTES | {"data_base64": "no base64!"}, {}, ["/data_base64"], id="data_base64: not base64"),
        pytest.param(ATTRIBUTES | {"data_base64": EVENT}, {}, ["/data_base64"], id="data_base64: object"),
        pytest.param(ATTRIBUTES | {"data_base64": base64.b64encode(b"{").decode()}, {}, [], id="data_base64: not JSON"),
        pytest.param(EVENT, without("specversion"), ["/specversion"], id="ce-specversion: missing"),
        pytest.param(EVENT, {"ce-id": "1"}, ["/specversion"], id="ce-id only"),
        pytest.param(EVENT, {"CE-Type": "t"}, ["/specversion"], id="ce-type only"),
        pytest.param(EVENT, {"ce-source": "s"}, ["/specversion"], id="ce-source only"),
        pytest.param(EVENT, without("type"), ["/type"], id="ce-type: missing"),
        pytest.param(EVENT, binary_headers(specversion="0.3"), ["/specversion"], id="ce-specversion: 0.3"),
        pytest.param(EVENT, {"ce-specversion": ""}, ["/specversion"], id="ce-specversion: empty"),
        pytest.param(EVENT, binary_headers(id='""'), ["/id"], id="ce-id: empty in quotes"),
        pytest.param(EVENT, binary_headers(id="%C0%A0"), ["/id"], id="ce-id: invalid UTF-8"),
        pytest.param(EVENT, binary_headers(source="%ED%A0%80"), ["/source"], id="ce-source: lone surrogate"),
        pytest.param(EVENT, binary_headers(type="\u00e9"), ["/type"], id="ce-type: Latin-1"),
        pytest.param(STRUCTURED, binary_headers(), ["/data"], id="structured in binary"),
        pytest.param(b"", binary_headers(), [], id="binary: empty body"),
        pytest.param(push_body(push_body(EVENT)), {}, None, id="push in push"),
        pytest.param(ATTRIBUTES | {"data": push_body(push_body(EVENT))}, {}, None, id="push in push in structured"),
        pytest.param(push_body(STRUCTURED), {}, ["/data"], id="structured in push"),
        pytest.param(push_body(EVENT, data="no base64!"), {}, ["/message/data"], id="message data: not base64"),
        pytest.param(push_body(EVENT, data=7), {}, ["/message/data"], id="message data: number"),
        pytest.param(push_body(EVENT, data="\u00e9"), {}, ["/message/data"], id="message data: not ASCII"),
        pytest.param({"message": {}, "subscription": "s"}, {}, ["/message/data"], id="message: empty"),
        pytest.param({"message": TOKEN, "subscription": "s"}, {}, ["/message"], id="message: the token"),
        pytest.param(push_body("text"), {}, [""], id="message data: string"),
        pytest.param(smn_body("Alarm: disk full"), SMN_HEADERS, [], id="SMN: text"),
        pytest.param(smn_body("") | {"message": None}, SMN_HEADERS, ["/message"], id="SMN: no message"),
        pytest.param(
            smn_body(EVENT), {"X-SMN-MESSAGE-TYPE": "UnsubscribeConfirmation"}, [""], id="SMN: UnsubscribeConfirmation"
        ),
    ],
)
def test_invalid_envelope(function: Function, fake_ddm: FakeDDM, body, headers, pointers):
    response = function.send(body, headers=headers)
    assert response.problem_code == "invalid-event"
    assert pointers is None or response.pointers == pointers
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
@pytest.mark.parametrize(("db_name", "status"), [("unauthorized", 401), ("throttled", 429), ("broken", 502)])
def test_problem_of_a_delivery_is_plain_json_with_its_status(function: Function, make_delivery, db_name, status):
    body, headers = make_delivery(EVENT | {"db_name": db_name})
    response = function.send(body, headers=headers)
    assert response.status == status
    assert response.headers["Content-Type"] == "application/json"


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


@pytest.mark.sockets
def test_options(function: Function):
    response = function.send(b"", method="OPTIONS")
    assert response.status == 204
    assert response.headers["Allow"] == "POST, OPTIONS"
    assert "Content-Type" not in response.headers
    assert not [name for name, _ in response.headers.items() if name.lower().startswith("webhook-")]
    assert response.log_entry["verdict"] is None


@pytest.mark.parametrize("origin", ["eventemitter.example.com", "eventgrid.azure.net"])
@pytest.mark.sockets
def test_consent_to_a_web_hook(function: Function, origin):
    response = function.send(b"", method="OPTIONS", headers={"WebHook-Request-Origin": origin})
    assert response.status == 204
    assert response.headers["WebHook-Allowed-Origin"] == origin
    assert response.headers["WebHook-Allowed-Rate"] == "*"
    assert response.headers["Allow"] == "POST, OPTIONS"


def confirm(function: Function, url: object) -> str:
    """Send a request to confirm a subscription with this URL, and return the log message."""
    body = {"type": "SubscriptionConfirmation", "message_id": "m-1", "message": "Confirm.", "subscribe_url": url}
    response = function.send(body, headers={"X-SMN-MESSAGE-TYPE": "SubscriptionConfirmation"})
    assert response.status == 200
    assert response.text == ""
    assert response.log_entry["severity"] == "INFO"
    return str(response.log_entry["message"])


@pytest.mark.parametrize(
    "url",
    [
        "https://smn.cn-north-4.myhuaweicloud.com/smn/subscription/subscribe?token=abc",
        "https://smn.eu-west-101.myhuaweicloud.eu/x",
        "https://console.huaweicloud.com/smn/x",
        "https://smn.cloud.example.org:8443/x",
    ],
)
def test_subscription_url_of_a_trusted_host_is_logged(start, fake_ddm: FakeDDM, url):
    assert url in confirm(start(DDM_ENDPOINT="https://ddm.cloud.example.org"), url)
    assert fake_ddm.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/x",
        "https://myhuaweicloud.com.evil.example/x",
        "https://evilmyhuaweicloud.com/x",
        "https://smn.myhuaweicloud.com@evil.example/x",
        "http://smn.cn-north-4.myhuaweicloud.com/x",
        "https://[::1",
        "https://smn.myhuaweicloud.com/\n",
        "https://smn.myhuaweicloud.com/\u00e9",
        "https://smn.myhuaweicloud.com/" + "x" * 3000,
        "https://ddm.other.org/x",
        "https://169.254.169.254/x",
        "javascript:x",
        "",
        None,
        7,
    ],
    ids=lambda value: character_id(str(value))[:45],
)
def test_subscription_url_of_another_host_is_not_logged(start, url):
    message = confirm(start(DDM_ENDPOINT="https://ddm.cloud.example.org"), url)
    assert "http" not in message
    assert "example" not in message


# A sender that others wrote


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.no_mutation
def test_version_2_of_the_cloudevents_sdk(served_function, fake_ddm: FakeDDM, mode):
    """functions-framework does not support this version."""
    sdk = tool_cache.packages("cloudevents-2.2.0", "cloudevents==2.2.0")
    ce_id = 'run 7 / "höchst" %'
    attributes = {"id": ce_id, "source": "/scheduler", "type": "precheck.wanted", "traceparent": TRACEPARENT}
    arguments = {"url": served_function.url, "mode": mode, "attributes": attributes, "data": EVENT}
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "helpers" / "sdk_client.py"],
        input=json.dumps(arguments),
        env=clean_environment() | {"PYTHONPATH": str(sdk)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parsed = json.loads(done.stdout)
    validate_summary(parsed["data"])
    attributes = parsed["attributes"]
    assert attributes["id"] == ce_id
    assert attributes["verdict"] == "PASS"
    assert attributes["canproceed"] == "true"
    assert attributes["traceparent"] == TRACEPARENT
