"""The mistakes that senders make: the problem names what was sent and what to send instead, and quotes no value.

The kinds are from public bug reports and questions of people who call such functions.
"""

import gzip
import json
import re
from typing import Any

import pytest
from helpers.envelopes import ATTRIBUTES
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, Function

from testing.fake_ddm import FakeDDM

JSON_EVENT = json.dumps(EVENT)
KNOWN_FIELDS = ", ".join([*EVENT, "region", "proceed_on_warn", "accepted_warnings", "expected_checks"])
KNOWN_FIELDS += ", wait_seconds, pre_check_results"
SECRET_ENVELOPE = "MIIFBADTOKEN" + "z" * 40

VALUES: list[tuple[str, Any, str]] = [
    ("expected_checks", "2", "must be a number without quotes"),
    ("proceed_on_warn", "true", "must be true or false without quotes"),
    ("proceed_on_warn", 1, "must be true or false"),
    ("expected_checks", 2.5, "must be a whole number"),
    ("expected_checks", 0, "must be at least 1"),
    ("expected_checks", 5000, "must be at most 1000"),
    ("wait_seconds", -1, "must be at least 0"),
    ("accepted_warnings", "DB instance time zone", "must be a list"),
    ("accepted_warnings", ["a", 7], "must be a string, in double quotes"),
    ("accepted_warnings", [""], "is empty"),
    ("accepted_warnings", ["n" * 300], "must have at most 200 characters"),
    ("pre_check_results", '[{"name": "a", "status": "FAILED"}]', "must be a list"),
    ("pre_check_results", [{"name": "a", "status": "ok"}], "must be one of SUCCESS, FAILED, WARN"),
    ("instance_id", f"{EVENT['instance_id']}\n", "has a space or a line break; remove it"),
    ("project_id", "", "is empty"),
    ("job_id", None, "is null; it must be a string"),
    ("db_name", "Orders", "must start with a letter and may only have the characters a-z 0-9 _"),
    ("job_id", "b2a0_c4de", "may only have the characters A-Z a-z 0-9 -"),
    ("project_id", "project/1", "may only have the characters A-Z a-z 0-9 _ -"),
    ("job_id", 7, "must be a string, in double quotes"),
    ("job_id", ["x"], "must be a string"),
    ("job_id", "{{ $json.job_id }}", "is a placeholder that was not filled in; send its value"),
    ("job_id", "${JOB_ID}", "is a placeholder that was not filled in; send its value"),
    ("project_id", "$(PROJECT)", "is a placeholder that was not filled in; send its value"),
    ("instance_id", "<instance-id>", "is a placeholder that was not filled in; send its value"),
    ("instance_id", "undefined\n", "stands for a missing value; send the value itself"),
    ("job_id", '"b2a0c4de"', "has quotes around it; send it without quotes"),
    ("job_id", "'b2a0c4de'", "has quotes around it; send it without quotes"),
    ("region", "“cn-north-4”", "has quotes around it; send it without quotes"),
    ("region", "CN-NORTH-4", "must be a region such as cn-north-4"),
    ("region", "cn-north-4a", "looks like an availability zone; leave out the letter at its end"),
    ("region", "eu-west-101c", "looks like an availability zone; leave out the letter at its end"),
    ("dbName", "orders", "is not a known field; did you mean db_name?"),
    ("callback_url", "https://example.com", f"is not a known field; the known fields are {KNOWN_FIELDS}"),
    ("token", f"Bearer {SECRET_ENVELOPE}", "has a prefix such as Bearer; send the token alone"),
    ("token", f"Token {SECRET_ENVELOPE}", "has a prefix such as Bearer; send the token alone"),
    ("token", f"X-Auth-Token: {SECRET_ENVELOPE}", "has a prefix such as Bearer; send the token alone"),
    ("token", "{{ $json.token }}", "is a placeholder that was not filled in; send its value"),
    ("token", "$TOKEN", "is a placeholder that was not filled in; send its value"),
    ("token", "null", "stands for a missing value; send the value itself"),
    ("token", "None", "stands for a missing value; send the value itself"),
    ("token", "undefined", "stands for a missing value; send the value itself"),
    ("token", f'"{SECRET_ENVELOPE}"', "has quotes around it; send it without quotes"),
    ("token", f"{SECRET_ENVELOPE} {SECRET_ENVELOPE}", "has a space or a line break; remove it"),
    ("token", f"{SECRET_ENVELOPE},x", "may only have the characters A-Z a-z 0-9 + / = _ . ~ -; send the token alone"),
    ("token", 7, "must be a string"),
    ("token", {"id": SECRET_ENVELOPE}, "must be a string"),
    ("token", "t" * 70_000, "must have at most 65536 characters"),
]


def reject(function: Function, fake_ddm: FakeDDM, body: Any, headers: dict[str, str] | None = None) -> str:
    """Send the body, which is invalid, and return the message of the problem."""
    response = function.send(body, headers=headers)
    assert response.problem_code == "invalid-event"
    assert fake_ddm.requests == []
    return response.message


@pytest.mark.parametrize(("name", "value", "fault"), VALUES)
@pytest.mark.sockets
def test_value(function: Function, fake_ddm: FakeDDM, name, value, fault):
    pointer, _, detail = reject(function, fake_ddm, EVENT | {name: value}).partition(" ")
    assert re.fullmatch(rf"/{name}(/[01](/status)?)?", pointer)
    assert detail == fault


@pytest.mark.parametrize(
    ("value", "fault"), [(value, fault) for name, value, fault in VALUES if name == "token" and isinstance(value, str)]
)
def test_token_in_the_header(function: Function, fake_ddm: FakeDDM, value, fault):
    message = reject(function, fake_ddm, EVENT_WITHOUT_TOKEN, {"X-Auth-Token": value})
    assert message == f"/token in the header X-Auth-Token {fault}"


FOREIGN_ENVELOPES: dict[str, tuple[Any, str]] = {
    "proxy integration": ({"body": EVENT}, "/body"),
    "after other JSON texts": ({"a": "{", "b": "{\ud800", "c": "{}", "body": f" \n{JSON_EVENT}"}, "/body"),
    "only two of the IDs": ({"x": {"project_id": "p", "job_id": "j"}, "db_name": "orders"}, "/x"),
    "in a long name": ({"n" * 129: EVENT}, ""),
    "body as JSON text": ({"body": JSON_EVENT, "headers": {}}, "/body"),
    "EventBridge": ({"detail": EVENT, "source": "x", "detail-type": "y"}, "/detail"),
    "SNS": ({"Type": "Notification", "MessageId": "1", "Message": JSON_EVENT}, "/Message"),
    "GraphQL": ({"variables": EVENT, "query": "q"}, "/variables"),
    "Event Grid of Azure": ({"eventType": "x", "data": EVENT}, "/data"),
    "n8n item": ({"json": EVENT}, "/json"),
    "Step Functions": ({"Payload": EVENT, "StatusCode": 200}, "/Payload"),
    "workflow input": ({"input": EVENT}, "/input"),
    "without the token": ({"event": EVENT_WITHOUT_TOKEN, "token": TOKEN}, "/event"),
    "only three of the IDs": (
        {"params": {name: EVENT[name] for name in ("project_id", "instance_id", "job_id")}, "db_name": "orders"},
        "/params",
    ),
    "CloudEvent in a CloudEvent": (ATTRIBUTES | {"data": ATTRIBUTES | {"data": EVENT}}, "/data"),
    "Pub/Sub message without a subscription": ({"message": EVENT}, "/message"),
}


@pytest.mark.parametrize(("body", "place"), FOREIGN_ENVELOPES.values(), ids=FOREIGN_ENVELOPES)
@pytest.mark.sockets
def test_foreign_envelope(function: Function, fake_ddm: FakeDDM, body, place):
    response = function.send(body)
    assert response.message == f"the event is inside {place or 'one of its fields'}; send the event itself"
    assert response.body["errors"] == [{"pointer": place, "detail": "holds the event; send the event itself"}]
    assert fake_ddm.requests == []


def test_object_with_as_many_ids_as_the_event_is_not_the_event(function: Function, fake_ddm: FakeDDM):
    message = reject(function, fake_ddm, {"project_id": "p", "x": {"project_id": "p"}})
    assert message.startswith("/x is not a known field; ")


COMPRESSED = "is compressed with gzip; send it without compression"
FORM = "is a form; send the event as a JSON object"
SINGLE_QUOTES = "has single quotes; JSON needs double quotes"
UTF16 = "is not UTF-8 but UTF-16 or UTF-32; send UTF-8"
XML = "is XML or HTML; send the event as a JSON object"
NOT_JSON: dict[str, tuple[bytes, dict[str, str], str]] = {
    "gzip": (gzip.compress(JSON_EVENT.encode()), {"Content-Encoding": "gzip"}, COMPRESSED),
    "form": (b"project_id=1&db_name=orders", {"Content-Type": "application/x-www-form-urlencoded"}, FORM),
    "form with JSON": (b"payload=%7B%7D", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, FORM),
    "multipart form": (b"--b\r\n\r\n{}\r\n--b--", {"Content-Type": "multipart/form-data; boundary=b"}, FORM),
    "JSON of curl": (
        b" {]",
        {"Content-Type": "application/x-www-form-urlencoded"},
        "cannot be parsed: it is not valid JSON at line 1, column 3",
    ),
    "single quotes": (JSON_EVENT.replace('"', "'").encode(), {}, SINGLE_QUOTES),
    "in single quotes": (f" '{JSON_EVENT}'".encode(), {}, SINGLE_QUOTES),
    "single quotes on two lines": (b"\n{\n  'db_name': 'orders'}", {}, SINGLE_QUOTES),
    "UTF-16, big-endian, Chinese": (b"\xfe\xff" + "检查项".encode("utf-16-be"), {}, UTF16),
    "UTF-16, little-endian, Chinese": (b"\xff\xfe" + "检查项".encode("utf-16-le"), {}, UTF16),
    "UTF-16 without a byte order mark": (JSON_EVENT.encode("utf-16-le"), {}, UTF16),
    "UTF-16, big-endian": (JSON_EVENT.encode("utf-16-be"), {}, UTF16),
    "XML": (b"\n<event><db_name>orders</db_name></event>", {"Content-Type": "text/xml"}, XML),
    "Latin-1": (b'{"db_name": "\xe4"}', {}, "cannot be parsed: it is not UTF-8 at byte 13"),
    "zero": (b'{"a": "\0"}', {}, "cannot be parsed: it is not valid JSON at line 1, column 8"),
    "trailing comma": (b'{"a": 1,\n}', {}, "cannot be parsed: it is not valid JSON at line 2, column 1"),
    "empty": (b" \n", {}, "is empty; send the event as a JSON object"),
    "duplicate key": (b'{"a": 1, "a": 1}', {}, "cannot be parsed: an object has a duplicate key"),
    "NaN": (b'{"a": NaN}', {}, "cannot be parsed: NaN is not JSON"),
    "infinite": (b'{"a": -Infinity}', {}, "cannot be parsed: -Infinity is not JSON"),
    "too deep": (b"[" * 100_000, {}, "cannot be parsed: it is nested too deeply"),
    "too many digits": (b"1" * 5000, {}, "cannot be parsed: it contains a number that is too long"),
}
NO_OBJECT: dict[str, tuple[bytes, dict[str, str], str]] = {
    "list": (json.dumps([EVENT]).encode(), {}, "a JSON object, not a list; send one event in each request"),
    "JSON text of the JSON text": (
        json.dumps(JSON_EVENT).encode(),
        {},
        "a JSON object, not a string; send the object itself, not its text",
    ),
    "integer": (b"7", {}, "a JSON object, not a number"),
    "number": (b"7.5", {}, "a JSON object, not a number"),
    "boolean": (b"true", {}, "a JSON object, not a boolean"),
    "null": (b"null", {}, "a JSON object, not null"),
}


@pytest.mark.parametrize(("body", "headers", "fault"), NOT_JSON.values(), ids=NOT_JSON)
@pytest.mark.sockets
def test_body_in_another_format(function: Function, fake_ddm: FakeDDM, body, headers, fault):
    assert reject(function, fake_ddm, body, headers) == f"the request body {fault}"


@pytest.mark.parametrize(("body", "headers", "fault"), NO_OBJECT.values(), ids=NO_OBJECT)
def test_json_that_is_not_an_event(function: Function, fake_ddm: FakeDDM, body, headers, fault):
    assert reject(function, fake_ddm, body, headers) == f"the event must be {fault}"


@pytest.mark.parametrize(("name", "misspelled"), [("job_id", "JOB-ID"), ("db_name", "dbName"), ("token", "tokens")])
def test_misspelled_name_gets_a_hint(function: Function, fake_ddm: FakeDDM, name, misspelled):
    event = {misspelled if field == name else field: value for field, value in EVENT.items()}
    message = f"/{misspelled} is not a known field; did you mean {name}? (and 1 more, see errors)"
    assert reject(function, fake_ddm, event) == message
