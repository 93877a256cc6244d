"""The mistakes that senders make: the problem names what was sent and what to send instead, and quotes no value.

The kinds are from public bug reports and questions of people who call such functions.
"""

import base64
import gzip
import json
import os
import re
from typing import Any

import pytest
from helpers.envelopes import ATTRIBUTES, DELIVERIES, base64_json, push_body
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, Function, character_id
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testing.fake_ddm import FakeDDM

JSON_EVENT = json.dumps(EVENT)
SECRET_ENVELOPE = "MIIFBADTOKEN" + "z" * 40

VALUES: list[tuple[str, Any, str]] = [
    ("expected_checks", "2", "a number without quotes"),
    ("expected_checks", "eight", "a number without quotes"),
    ("wait_seconds", "30s", "a number without quotes"),
    ("proceed_on_warn", "true", "true or false without quotes"),
    ("proceed_on_warn", "False", "true or false without quotes"),
    ("proceed_on_warn", 1, "true or false"),
    ("expected_checks", 2.5, "a whole number"),
    ("expected_checks", 0, "at least 1"),
    ("expected_checks", 5000, "at most 1000"),
    ("wait_seconds", -1, "at least 0"),
    ("accepted_warnings", "DB instance time zone", "a list"),
    ("accepted_warnings", '["DB instance time zone"]', "a list"),
    ("accepted_warnings", ["a", 7], "a string"),
    ("accepted_warnings", [""], "is empty"),
    ("accepted_warnings", ["n" * 300], "at most 200 characters"),
    ("pre_check_results", '[{"name": "a", "status": "FAILED"}]', "a list"),
    ("pre_check_results", [{"name": "a", "status": "ok"}], "one of SUCCESS, FAILED, WARN"),
    ("instance_id", f"{EVENT['instance_id']}\n", "a space or a line break"),
    ("instance_id", f" {EVENT['instance_id']}", "a space or a line break"),
    ("project_id", "0483 b6b1", "a space or a line break"),
    ("job_id", "\tb2a0c4de", "a space or a line break"),
    ("db_name", "my orders", "a space or a line break"),
    ("region", "cn-north-4 ", "a space or a line break"),
    ("project_id", "", "is empty"),
    ("job_id", None, "is null"),
    ("db_name", "Orders", "a letter"),
    ("db_name", "my-orders", "a-z 0-9 _"),
    ("job_id", "b2a0_c4de", "A-Z a-z 0-9 -"),
    ("project_id", "project/1", "A-Z a-z 0-9 _ -"),
    ("job_id", 7, "a string"),
    ("job_id", ["x"], "a string"),
    ("job_id", "{{ $json.job_id }}", "placeholder"),
    ("job_id", "${JOB_ID}", "placeholder"),
    ("project_id", "$(PROJECT)", "placeholder"),
    ("instance_id", "<instance-id>", "placeholder"),
    ("instance_id", "undefined\n", "missing value"),
    ("job_id", '"b2a0c4de"', "quotes"),
    ("job_id", "'b2a0c4de'", "quotes"),
    ("region", "“cn-north-4”", "quotes"),
    ("region", "CN-NORTH-4", "a region such as cn-north-4"),
    ("region", "Beijing4", "a region such as cn-north-4"),
    ("region", "cn-north-4a", "availability zone"),
    ("dbName", "orders", "did you mean db_name?"),
    ("jobid", "x", "did you mean job_id?"),
    ("expectedChecks", 8, "did you mean expected_checks?"),
    ("callback_url", "https://example.com", "the known fields are project_id"),
    ("token", f"Bearer {SECRET_ENVELOPE}", "prefix such as Bearer"),
    ("token", f"Token {SECRET_ENVELOPE}", "prefix such as Bearer"),
    ("token", f"X-Auth-Token: {SECRET_ENVELOPE}", "prefix such as Bearer"),
    ("token", "{{ $json.token }}", "placeholder"),
    ("token", "${HUAWEICLOUD_TOKEN}", "placeholder"),
    ("token", "$TOKEN", "placeholder"),
    ("token", "<token>", "placeholder"),
    ("token", "null", "missing value"),
    ("token", "None", "missing value"),
    ("token", "undefined", "missing value"),
    ("token", f'"{SECRET_ENVELOPE}"', "quotes"),
    ("token", f"'{SECRET_ENVELOPE}'", "quotes"),
    ("token", f"{SECRET_ENVELOPE} {SECRET_ENVELOPE}", "a space"),
    ("token", f"{SECRET_ENVELOPE}\n{SECRET_ENVELOPE}", "line break"),
    ("token", f"{SECRET_ENVELOPE},x", "A-Z a-z 0-9"),
    ("token", f"{SECRET_ENVELOPE}\u00e9", "A-Z a-z 0-9"),
    ("token", 7, "a string"),
    ("token", {"id": SECRET_ENVELOPE}, "a string"),
    ("token", "t" * 70_000, "at most 65536 characters"),
]


def reject(function: Function, fake_ddm: FakeDDM, body: Any, headers: dict[str, str] | None = None) -> str:
    """Send the body, which is invalid, and return the message of the problem."""
    response = function.send(body, headers=headers)
    assert response.problem_code == "invalid-event"
    assert fake_ddm.requests == []
    details = " ".join(error["detail"] for error in response.body["errors"])
    assert "match" not in details
    return f"{response.message} {details}"


@pytest.mark.parametrize(("name", "value", "words"), VALUES, ids=lambda value: character_id(str(value))[:40])
@pytest.mark.sockets
def test_value(function: Function, fake_ddm: FakeDDM, name, value, words):
    message = reject(function, fake_ddm, EVENT | {name: value})
    assert words in message
    assert f"/{name}" in message
    values = value if isinstance(value, list) else [value]
    assert not any(isinstance(each, str) and len(each) > 7 and each in message for each in values)
    assert SECRET_ENVELOPE not in message


@pytest.mark.parametrize(
    "value", [f"Bearer {SECRET_ENVELOPE}", "{{ token }}", '"x"', "a b", f"{SECRET_ENVELOPE}!", "null"]
)
def test_token_in_the_header(function: Function, fake_ddm: FakeDDM, value):
    message = reject(function, fake_ddm, EVENT_WITHOUT_TOKEN, {"X-Auth-Token": value})
    assert "in the header X-Auth-Token" in message
    assert SECRET_ENVELOPE not in message


FOREIGN_ENVELOPES: dict[str, tuple[Any, str]] = {
    "proxy integration": ({"body": EVENT}, "/body"),
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
    assert response.message == f"the event is inside {place}; send the event itself"
    assert response.pointers == [place]
    assert fake_ddm.requests == []


@pytest.mark.parametrize("make_delivery", DELIVERIES.values(), ids=DELIVERIES)
def test_foreign_envelope_in_a_delivery(function: Function, fake_ddm: FakeDDM, make_delivery):
    body, headers = make_delivery({"detail": EVENT})
    assert "the event is inside /detail" in reject(function, fake_ddm, body, headers)


names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
other_values = st.none() | st.booleans() | st.integers() | st.text(max_size=9) | st.lists(st.integers(), max_size=2)
recognized = {"specversion", "subscription", "message", *EVENT}


@settings(
    max_examples=int(os.environ.get("EXAMPLES", "100")),
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    name=names.filter(lambda name: name not in recognized),
    others=st.dictionaries(names.filter(lambda name: name not in recognized), other_values, max_size=4),
    as_text=st.booleans(),
    event=st.sampled_from([EVENT, EVENT_WITHOUT_TOKEN, EVENT | {"wait_seconds": 3}]),
)
def test_any_object_around_the_event(function: Function, name, others, as_text, event):
    response = function.send(others | {name: json.dumps(event) if as_text else event})
    assert response.message == f"the event is inside /{name}; send the event itself"


NOT_JSON: dict[str, tuple[bytes, dict[str, str], str]] = {
    "gzip": (gzip.compress(JSON_EVENT.encode()), {"Content-Encoding": "gzip"}, "gzip"),
    "gzip without a header": (gzip.compress(b"{}"), {}, "gzip"),
    "form": (b"project_id=1&db_name=orders", {"Content-Type": "application/x-www-form-urlencoded"}, "form"),
    "form with JSON": (b"payload=%7B%7D", {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}, "form"),
    "multipart form": (b"--b\r\n\r\n{}\r\n--b--", {"Content-Type": "multipart/form-data; boundary=b"}, "form"),
    "single quotes": (JSON_EVENT.replace('"', "'").encode(), {}, "single quotes"),
    "Python's repr": (repr(EVENT).encode(), {}, "single quotes"),
    "in single quotes": (f"'{JSON_EVENT}'".encode(), {}, "single quotes"),
    "single quotes on two lines": (b"{\n  'db_name': 'orders'}", {}, "single quotes"),
    "UTF-16": (JSON_EVENT.encode("utf-16"), {}, "UTF-16"),
    "UTF-16 without a byte order mark": (JSON_EVENT.encode("utf-16-le"), {}, "UTF-16"),
    "UTF-16, big-endian": (JSON_EVENT.encode("utf-16-be"), {}, "UTF-16"),
    "XML": (b"<event><db_name>orders</db_name></event>", {"Content-Type": "text/xml"}, "XML"),
    "HTML": (b"<!doctype html>", {}, "HTML"),
    "Latin-1": (b'{"db_name": "\xe4"}', {}, "not UTF-8 at byte 13"),
    "trailing comma": (JSON_EVENT[:-1].encode() + b",}", {}, "line 1, column"),
    "empty": (b" \n", {}, "is empty"),
    "duplicate key": (b'{"a": 1, "a": 1}', {}, "duplicate key"),
    "NaN": (b'{"a": NaN}', {}, "NaN is not JSON"),
    "list": (json.dumps([EVENT]).encode(), {}, "a list; send one event in each request"),
    "JSON text of the JSON text": (json.dumps(JSON_EVENT).encode(), {}, "send the object itself"),
    "CloudEvents batch": (
        b"[]",
        {"Content-Type": "application/cloudevents-batch+json"},
        "one event, not a batch of CloudEvents",
    ),
}


@pytest.mark.parametrize(("body", "headers", "words"), NOT_JSON.values(), ids=NOT_JSON)
@pytest.mark.sockets
def test_body_in_another_format(function: Function, fake_ddm: FakeDDM, body, headers, words):
    assert words in reject(function, fake_ddm, body, headers)


@pytest.mark.parametrize(
    ("body", "headers", "words"),
    [
        (push_body(EVENT, data=base64.b64encode(b"{'a': 1}").decode()), {}, "the base64 in /message/data has single"),
        (ATTRIBUTES | {"data_base64": base64_json(EVENT)[:-3] + "*"}, {}, "/data_base64 must be the base64"),
        (ATTRIBUTES | {"data": "db_name=orders"}, {}, "/data cannot be parsed"),
        (ATTRIBUTES | {"data": ""}, {}, "/data is empty"),
    ],
)
def test_place_of_the_fault_in_an_envelope(function: Function, fake_ddm: FakeDDM, body, headers, words):
    assert words in reject(function, fake_ddm, body, headers)


FIELD_NAMES = [*EVENT, "region", "expected_checks", "accepted_warnings", "proceed_on_warn", "wait_seconds"]
README_EVENT = EVENT | {
    "region": "cn-north-4",
    "expected_checks": 2,
    "accepted_warnings": ["a"],
    "proceed_on_warn": False,
    "wait_seconds": 0,
}


def misspellings(name: str) -> list[str]:
    camel = re.sub(r"_(.)", lambda match: match[1].upper(), name)
    spellings = {name.upper(), name.replace("_", "-"), name.replace("_", ""), camel, name + "s", name[:-1], f" {name}"}
    return sorted(spellings - {name})


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_misspelled_name_gets_a_hint(function: Function, fake_ddm: FakeDDM, name):
    for misspelled in misspellings(name):
        event = {misspelled if field == name else field: value for field, value in README_EVENT.items()}
        assert f"did you mean {name}?" in reject(function, fake_ddm, event)
