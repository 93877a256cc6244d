"""The exact texts of the messages. Each message names the fault, and its place or the correction."""

import base64
import gzip

import pytest
from helpers.envelopes import ATTRIBUTES, STRUCTURED_HEADERS, binary_headers, push_body
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN

from ddm_precheck.settings import SettingsError, from_environment
from testing.fake_behaviours import FakeResponse, check
from testing.fake_ddm import FakeDDM

KNOWN = (
    "project_id, instance_id, db_name, job_id, token, region, "
    "proceed_on_warn, accepted_warnings, expected_checks, wait_seconds"
)
NOT_JSON = "the request's body cannot be parsed: "
NOT_DOCUMENTED = "DDM's response is not as documented: "
URL = "must be an http or https URL with a host, without user, query or fragment"
SHORT_TOKEN = "p" * 8

EVENTS = {
    "empty": (b"", "the request's body is empty; send the event as a JSON object"),
    "too large": (b" " * 300_000, "The body is over 262144 bytes, the limit for an event"),
    "invalid UTF-8": (b"\xff", f"{NOT_JSON}it is not UTF-8 at byte 0"),
    "invalid JSON": (b"{\n1", f"{NOT_JSON}it is not valid JSON at line 2, column 1"),
    "nested too deeply": (b"[" * 100_000, f"{NOT_JSON}it is nested too deeply"),
    "number too long": (b"1" * 5000, f"{NOT_JSON}it contains a number that is too long"),
    "duplicate name": (b'{"a": 1, "a": 1}', f"{NOT_JSON}an object has two fields of the same name"),
    "NaN": (b"NaN", f"{NOT_JSON}NaN is not JSON"),
    "-Infinity": (b"-Infinity", f"{NOT_JSON}-Infinity is not JSON"),
    "no token": (EVENT_WITHOUT_TOKEN, "/token is required, in the event or in the header X-Auth-Token"),
    "wrong type": (EVENT | {"job_id": None}, "/job_id must be of type string"),
    "four errors": ({"token": "t"}, "/project_id is required (and 3 more, see errors)"),
    "unknown field": (EVENT | {"dbName": "a"}, f"/dbName is not a known field; the known fields are {KNOWN}"),
    "unknown field, 17 characters": (
        EVENT | {"a_name_of_17_char": 1},
        f"the event has an unknown field; the known fields are {KNOWN}",
    ),
    "unknown field, 16 characters": (
        EVENT | {"a_name_of_16_chr": 1},
        f"/a_name_of_16_chr is not a known field; the known fields are {KNOWN}",
    ),
    "unknown field named like the token": (
        EVENT | {"token": SHORT_TOKEN, SHORT_TOKEN: 1},
        "the event has a field whose name contains the token",
    ),
    "token in an ID": (
        EVENT | {"token": SHORT_TOKEN, "job_id": SHORT_TOKEN},
        "/token must not be part of an ID or of the region",
    ),
}
ENVELOPES = {
    "batch": (
        [],
        {"Content-Type": "application/cloudevents-batch+json"},
        "the event must be one event, not a batch of CloudEvents",
    ),
    "structured: list": ([], STRUCTURED_HEADERS, "the event must be a CloudEvent, a JSON object"),
    "structured: no attributes": (EVENT, STRUCTURED_HEADERS, "/specversion must be 1.0"),
    "id: empty": (ATTRIBUTES | {"id": ""}, {}, "/id is required in a CloudEvent and must be a non-empty string"),
    "id: too long": (ATTRIBUTES | {"id": "x" * 1025}, {}, "/id must have at most 1024 bytes"),
    "no data": (ATTRIBUTES, {}, "/data or data_base64 must be present, but not both"),
    "data_base64: not base64": (ATTRIBUTES | {"data_base64": "?"}, {}, "/data_base64 must be the base64 of the event"),
    "data_base64: not JSON": (
        ATTRIBUTES | {"data_base64": base64.b64encode(b"{").decode()},
        {},
        "the base64 in /data_base64 cannot be parsed: it is not valid JSON at line 1, column 2",
    ),
    "ce-id: invalid UTF-8": (EVENT, binary_headers(id="%FF"), "/id must be percent-encoded UTF-8"),
    "message: number": (push_body(EVENT) | {"message": 7}, {}, "/message must be an object"),
    "message data: empty": (push_body(EVENT, data=""), {}, "/message/data must be the base64 of the event"),
    "unknown field named like the token in the header": (
        EVENT | {SHORT_TOKEN: 1},
        {"X-Auth-Token": SHORT_TOKEN},
        "the event has a field whose name contains the token",
    ),
}
GZIP = {"Content-Encoding": "gzip"}
DDM_RESPONSES = {
    "HTML": (FakeResponse(200, b"<html>"), "DDM's response cannot be parsed: it is not valid JSON at line 1, column 1"),
    "nested too deeply": (
        FakeResponse(200, b'{"a": "\\n", "b": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        "DDM's response cannot be parsed: it is nested too deeply",
    ),
    "too large": (FakeResponse(200, b" " * 5_000_000), "DDM's response cannot be read: the body is over 1048576 bytes"),
    "Content-Encoding": (
        FakeResponse(200, b"", {"Content-Encoding": "br"}),
        "DDM's response cannot be read: the Content-Encoding is neither gzip nor identity",
    ),
    "not gzip": (FakeResponse(200, b"{}", GZIP), "DDM's response cannot be read: the gzip data is invalid"),
    "incomplete gzip": (
        FakeResponse(200, gzip.compress(b"{}")[:-1], GZIP),
        "DDM's response cannot be read: the gzip data is incomplete",
    ),
    "two gzip members": (
        FakeResponse(200, gzip.compress(b"{}") * 2, GZIP),
        "DDM's response cannot be read: more data follows the gzip data",
    ),
    "204": (FakeResponse(204, b""), "DDM responded with the unexpected status 204"),
    "list": (FakeResponse(200, []), f"{NOT_DOCUMENTED}the body must be of type object"),
    "empty object": (FakeResponse(200, {}), f"{NOT_DOCUMENTED}/job_id is required"),
    "note is a number": (
        FakeResponse(200, {"job_id": EVENT["job_id"], "pre_check_results": [check("a", "SUCCESS", note=1)]}),
        f"{NOT_DOCUMENTED}/pre_check_results/0/note must be of type string or null",
    ),
    "unknown status": (
        FakeResponse(200, {"job_id": EVENT["job_id"], "pre_check_results": [check("a", "RUNNING")]}),
        f"{NOT_DOCUMENTED}/pre_check_results/0/status must be one of SUCCESS, FAILED, WARN",
    ),
}
SETTINGS = {
    "endpoint: no URL": ("DDM_ENDPOINT", "ddm", URL),
    "endpoint: malformed URL": ("DDM_ENDPOINT", "https://[", URL),
    "endpoint: http": (
        "DDM_ENDPOINT",
        "http://ddm",
        "must start with https:// (http:// is for loopback addresses only)",
    ),
    "endpoint: braces": (
        "DDM_ENDPOINT",
        "https://{x}",
        "may contain {region}, but not in the last label of the host, and no other braces",
    ),
    "region": ("DDM_REGION", "?", "must be a region such as cn-north-4"),
    "timeout": ("DDM_TIMEOUT_SECONDS", "0", "must be a number of seconds above 0 and at most 3600"),
    "sink": ("K_SINK", "sink", URL),
    "threads": ("THREADS", "0", "must be a whole number from 1 to 9999"),
}


@pytest.mark.parametrize(("body", "message"), EVENTS.values(), ids=EVENTS)
def test_message_about_the_event(start, body, message):
    """The message names the fault in the event, and its place."""
    assert start().send(body).body["message"] == message


@pytest.mark.parametrize(("body", "headers", "message"), ENVELOPES.values(), ids=ENVELOPES)
def test_message_about_the_envelope(start, body, headers, message):
    """The message names the fault in the envelope, and its place."""
    assert start().send(body, headers=headers).body["message"] == message


@pytest.mark.parametrize(("ddm_response", "message"), DDM_RESPONSES.values(), ids=DDM_RESPONSES)
def test_message_about_ddms_response(start, fake_ddm: FakeDDM, ddm_response, message):
    """The message says why DDM's response is not a valid result."""
    fake_ddm.behaviours["invalid"] = lambda _: ddm_response
    assert start().send_event("invalid").body["message"] == message


@pytest.mark.parametrize(("name", "value", "message"), SETTINGS.values(), ids=SETTINGS)
def test_message_about_a_setting(name, value, message):
    """The message names the environment variable and its rule."""
    with pytest.raises(SettingsError) as caught:
        from_environment({name: value})
    assert str(caught.value) == f"{name} {message}"
