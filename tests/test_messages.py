"""What the function says to people, word for word: each message names the fault and what to do about it."""

import base64

import pytest
from conftest import EVENT
from test_envelope import ATTRIBUTES, STRUCTURED, binary_headers, push

from ddm_precheck.settings import SettingsError, from_environment
from deploy.fake_ddm import FakeDDM, FakeResponse, check

WITHOUT_TOKEN = {name: value for name, value in EVENT.items() if name != "token"}
MEMBERS = "project_id, instance_id, db_name, job_id, token, region, proceed_on_warn, expected_checks"
NOT_JSON = "the request's body is not JSON that can be trusted: "


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"", {}, "the request's body is empty; send the event as a JSON object"),
        (b" " * 300_000, {}, "The request's body is over 262144 bytes; an event is far smaller"),
        (b"\xff", {}, f"{NOT_JSON}it is not UTF-8 at byte 0"),
        (b"{\n1", {}, f"{NOT_JSON}it is not valid JSON at line 2, column 1"),
        (b"[" * 100_000, {}, f"{NOT_JSON}it is nested too deeply"),
        (b"1" * 5000, {}, f"{NOT_JSON}it holds a number that is too long"),
        (b'{"a": 1, "a": 1}', {}, f"{NOT_JSON}an object names a member twice"),
        (b"NaN", {}, f"{NOT_JSON}NaN is not JSON"),
        (b"-Infinity", {}, f"{NOT_JSON}-Infinity is not JSON"),
        (WITHOUT_TOKEN, {}, "/token is required, here or as the header X-Auth-Token"),
        ({"token": "t"} | WITHOUT_TOKEN | {"job_id": None}, {}, "/job_id must be of type string"),
        ({"token": "t"}, {}, "/project_id is required (and 3 more, see errors)"),
        (EVENT | {"dbName": "a"}, {}, f"/dbName is not a member; known are {MEMBERS}"),
        (EVENT | {"a_name_of_17_char": 1}, {}, f"the event has a member that is not known; known are {MEMBERS}"),
        (EVENT | {"a_name_of_16_chr": 1}, {}, f"/a_name_of_16_chr is not a member; known are {MEMBERS}"),
        (EVENT | {"token": "p" * 8, "p" * 8: 1}, {}, "the event has a member with the token in its name"),
        (EVENT | {"p" * 8: 1}, {"X-Auth-Token": "p" * 8}, "the event has a member with the token in its name"),
        (EVENT | {"token": "p" * 8, "job_id": "p" * 8}, {}, "/token must not be part of an ID or of the region"),
        (
            [],
            {"Content-Type": "application/cloudevents-batch+json"},
            "the event must be one event, not a batch of CloudEvents",
        ),
        ([], {"Content-Type": STRUCTURED}, "the event must be a CloudEvent, a JSON object"),
        (EVENT, {"Content-Type": STRUCTURED}, "/specversion must be 1.0"),
        (ATTRIBUTES | {"id": ""}, {}, "/id is required in a CloudEvent, a string that is not empty"),
        (ATTRIBUTES | {"id": "x" * 1025}, {}, "/id must have at most 1024 bytes"),
        (ATTRIBUTES, {}, "/data is required: the event, or its base64 in data_base64, and not both"),
        (ATTRIBUTES | {"data_base64": "?"}, {}, "/data_base64 must be base64 of the event"),
        (
            ATTRIBUTES | {"data_base64": base64.b64encode(b"{").decode()},
            {},
            "what /data_base64 holds is not JSON that can be trusted: it is not valid JSON at line 1, column 2",
        ),
        (EVENT, binary_headers(id="%FF"), "/id must be percent-encoded UTF-8"),
        (push(EVENT) | {"message": 7}, {}, "/message must be an object"),
        (push(EVENT, data=""), {}, "/message/data must be base64 of the event"),
    ],
)
def test_event(start, body, headers, message):
    """What is wrong with the event, and where."""
    assert start().send(body, headers=headers).body["message"] == message


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (FakeResponse(200, b"<html>"), "DDM's answer is not JSON: it is not valid JSON at line 1, column 1"),
        (
            FakeResponse(200, b'{"a": "\\n", "b": ' + b"[" * 900 + b"]" * 900 + b"}"),
            "DDM's answer is not JSON: it is nested too deeply",
        ),
        (FakeResponse(200, b" " * 5_000_000), "DDM's answer is over 4 MiB or cannot be decoded"),
        (FakeResponse(204, b""), "DDM answered with the unexpected status 204"),
        (FakeResponse(200, []), "DDM's answer is not as documented: it must be of type object"),
        (FakeResponse(200, {}), "DDM's answer is not as documented: /pre_check_results is required"),
        (
            FakeResponse(200, {"pre_check_results": [check("a", "SUCCESS", note=1)]}),
            "DDM's answer is not as documented: /pre_check_results/0/note must be of type string or null",
        ),
        (
            FakeResponse(200, {"pre_check_results": [check("a", "RUNNING")]}),
            "DDM's answer is not as documented: /pre_check_results/0/status must be one of SUCCESS, FAILED, WARN",
        ),
    ],
)
def test_answer_of_ddm(start, fake_ddm: FakeDDM, reply, message):
    """Why DDM's answer is not taken."""
    fake_ddm.behaviours["doubt"] = lambda _: reply
    assert start().ask("doubt").body["message"] == message


URL = "must be an http or https URL with a host, without user, query or fragment"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("DDM_ENDPOINT", "ddm", URL),
        ("DDM_ENDPOINT", "https://[", URL),
        ("DDM_ENDPOINT", "http://ddm", "must start with https:// (http:// is for loopback addresses only)"),
        (
            "DDM_ENDPOINT",
            "https://{x}",
            "may contain {region} and no other braces, and not in the last label of the host",
        ),
        ("DDM_REGION", "?", "must be a region such as cn-north-4"),
        ("DDM_TIMEOUT_SECONDS", "0", "must be a number of seconds above 0 and at most 3600"),
        ("K_SINK", "sink", URL),
        ("THREADS", "0", "must be a whole number from 1 to 9999"),
    ],
)
def test_setting(name, value, message):
    """What a variable must be."""
    with pytest.raises(SettingsError) as caught:
        from_environment({name: value})
    assert str(caught.value) == f"{name} {message}"
