"""The event function of FunctionGraph, with events in the formats that its triggers send."""

import base64
import copy
import json
import os
from functools import cache

import pytest
from helpers.envelopes import TRACEPARENT, push_body
from helpers.event_function import (
    CLOUDEVENT,
    DELIVERIES,
    FOREIGN,
    PASSWORD,
    Context,
    EventFunction,
    cloudevent,
    gateway,
    is_alone,
    published,
    queue,
    smn,
    text,
    timer,
)
from helpers.function import COMMON_FIELDS, EVENT, EVENT_WITHOUT_TOKEN, TOKEN, InProcessFunction
from helpers.platform_token import AGENCY_VARIABLES, sent_tokens
from helpers.sink import Sink
from hypothesis import given
from hypothesis import strategies as st

import event_function
from testing.fake_behaviours import BEHAVIOURS, check, results

IDS = ["project_id", "instance_id", "db_name", "job_id"]
SLIM_FIELDS = [*COMMON_FIELDS, *IDS, "covers", "counts", "report", "checked_at"]
http_function = cache(InProcessFunction)
deliveries = pytest.mark.parametrize("deliver", DELIVERIES.values(), ids=DELIVERIES)


NOT_JSON = "cannot be parsed: it is not valid JSON at line 1, column 1"
NOT_UTF8 = "cannot be parsed: it is not UTF-8 at byte 0"
CANNOT_BE_READ = "the event cannot be read: it is truncated, not base64, not JSON or nested too deeply"
NO_EVENT = "which holds no precheck event"
OTHER_TRIGGER = "a record of another trigger or without messages"
NOT_OBJECT = "must be a JSON object, not null"


@pytest.fixture
def start(environment, capsys):
    """Start the event function with further environment variables."""

    def start_function(**variables: str) -> EventFunction:
        environment.update(variables)
        return EventFunction(capsys)

    yield start_function
    event_function._function.cache_clear()


@pytest.fixture
def function(start) -> EventFunction:
    return start()


def event(db_name: str = "pass", **fields) -> dict:
    return EVENT | {"db_name": db_name} | fields


# Direct invocations


@pytest.mark.parametrize("db_name", ["pass", "warn", "fail", "pending"])
def test_a_direct_invocation_returns_the_summary(function, db_name):
    result = function(event(db_name))
    assert result["verdict"] == db_name.upper()
    assert "checks" in result
    assert function.log[0]["verdict"] == db_name.upper()


CHECKS = st.lists(
    st.builds(check, st.sampled_from(["A", "B", "C"]), st.sampled_from(["SUCCESS", "WARN", "FAILED"])), max_size=4
)
OPTIONS = st.fixed_dictionaries(
    {"db_name": st.sampled_from(["generated", *set(BEHAVIOURS) - {"slow", "many", "down", "down_twice"}])},
    optional={
        "pre_check_results": CHECKS,
        "accepted_warnings": st.lists(st.sampled_from(["A", "B", "C"]), max_size=3),
        "proceed_on_warn": st.booleans(),
        "expected_checks": st.integers(-1, 4) | st.sampled_from(["2", None]),
        "region": st.sampled_from(["cn-north-4", "cn-north-4a", ""]),
        "job_id": st.sampled_from(["b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90", "", "a b"]),
        "unknown": st.none(),
    },
)


@given(checks=CHECKS, options=OPTIONS)
def test_both_entry_points_agree(function, fake_ddm, capsys, checks, options):
    http = http_function(capsys)
    outcomes = []
    for send in (function, lambda value: http.exchange("POST", json.dumps(value).encode(), {}).body):
        fake_ddm.reset()
        fake_ddm.behaviours["generated"] = results(*checks)
        outcomes.append(without_changing_values(send(EVENT | options)))
    assert outcomes[0] == outcomes[1]


def without_changing_values(body: dict) -> dict:
    body = copy.deepcopy(body)
    body.pop("checked_at", None)
    if "report" in body:
        body["report"] = [line for line in body["report"].splitlines() if not line.startswith("Job ")]
    if body.get("upstream"):
        body["upstream"].pop("request_id")
    return body


# Deliveries


@deliveries
@pytest.mark.parametrize("db_name", ["pass", "warn", "fail"])
def test_a_delivery_returns_a_slim_summary(function, deliver, db_name):
    result = function(deliver(event(db_name)))
    assert list(result) == SLIM_FIELDS
    whole = without_changing_values(function(event(db_name)))
    assert without_changing_values(result).items() <= whole.items()


@deliveries
@pytest.mark.parametrize(
    ("db_name", "code"),
    [
        ("pending", "pending"),
        ("unauthorized", "unauthorized"),
        ("broken", "upstream-unavailable"),
        ("B", "invalid-event"),
    ],
)
def test_a_delivery_without_a_verdict_raises(function, deliver, db_name, code):
    failure = function.failure(deliver(event(db_name)))
    assert failure.startswith(f"{code}: ")
    assert function.log[0]["code"] == code


@pytest.mark.parametrize("batch", [smn, queue])
def test_a_batch_returns_a_list(function, batch):
    assert [each["verdict"] for each in function(batch(event("pass"), event("fail")))] == ["PASS", "FAIL"]


@pytest.mark.parametrize(("batch", "place"), [(smn, "/record/2/smn/message"), (queue, "/records/0/messages/2")])
def test_one_bad_message_of_five_does_not_stop_the_others(start, fake_ddm, batch, place):
    names = ["pass", "warn", "unauthorized", "fail", "two_warnings"]
    with Sink() as sink:
        function = start(K_SINK=sink.url)
        failure = function.failure(batch(*map(event, names)))
        assert [body["db_name"] for _, body in sink.received] == ["pass", "warn", "fail", "two_warnings"]
    assert failure.startswith("unauthorized: ")
    assert failure.endswith(f" hours) (in {place})")
    assert [request.db_name for request in fake_ddm.requests] == names
    assert len(function.log) == 5


def test_several_bad_messages_are_counted(function):
    failure = function.failure(queue(event("pass"), "hello", event("pending"), event("throttled")))
    assert failure == f"invalid-event: /records/0/messages/1 {NOT_JSON} (and 2 more of 4 messages)"
    failure = function.failure(smn(event("pass"), event("pending"), "hello"))
    assert failure.endswith(" try again later (in /record/1/smn/message) (and 1 more of 3 messages)")


def test_the_sink_receives_the_summary_with_the_id_of_the_message(start):
    with Sink() as sink:
        function = start(K_SINK=sink.url)
        assert function(smn(event("fail")))["verdict"] == "FAIL"
        function(cloudevent(event("fail")))
    assert [headers["ce-id"] for headers, _ in sink.received] == ["m-0", CLOUDEVENT["id"]]
    assert [len(summary["checks"]) for _, summary in sink.received] == [3, 3]


# Contents that are not ours


@pytest.mark.parametrize("service", FOREIGN)
def test_records_of_other_services(function, fake_ddm, service):
    """They raise, so that nothing is lost silently, and no byte of the record leaves the function."""
    failure = function.failure(FOREIGN[service])
    assert failure.startswith("invalid-event: ")
    assert service in failure
    assert PASSWORD not in f"{failure}{function.log}"
    assert fake_ddm.requests == []
    assert function.log[0]["http_status"] == 400


@pytest.mark.parametrize(
    ("value", "message"),
    [
        pytest.param(timer("Hello world"), f"/user_event {NOT_JSON}", id="timer-text"),
        pytest.param(timer("\ud800"), f"/user_event {NOT_UTF8}", id="timer-surrogate"),
        pytest.param(timer("7"), "the event must be a JSON object, not a number (in /user_event)", id="timer-number"),
        pytest.param(smn("this is a message"), f"/record/0/smn/message {NOT_JSON}", id="SMN-text"),
        pytest.param({"record": [{"smn": 1}]}, f"the event {NOT_OBJECT} (in /record/0/smn/message)", id="SMN-number"),
        pytest.param({"record": [7]}, f"the event {NOT_OBJECT} (in /record/0/smn/message)", id="SMN-list-of-numbers"),
        pytest.param({"record": [{}]}, f"the event {NOT_OBJECT} (in /record/0/smn/message)", id="SMN-no-message"),
        pytest.param(queue("a message"), f"/records/0/messages/0 {NOT_JSON}", id="Kafka-text"),
        pytest.param(queue(), f"/trigger_type belongs to {OTHER_TRIGGER}, {NO_EVENT}", id="Kafka-no-message"),
        pytest.param(
            queue() | {"records": [1, {"messages": 1}]},
            f"/trigger_type belongs to {OTHER_TRIGGER}, {NO_EVENT}",
            id="Kafka-number",
        ),
        pytest.param(
            {"trigger_type": "IOTDA", "x": 1},
            f"/trigger_type belongs to {OTHER_TRIGGER}, {NO_EVENT}",
            id="another-trigger",
        ),
        pytest.param(
            {"events": [cloudevent(EVENT)] * 2}, "/events must have exactly one CloudEvent", id="two-CloudEvents"
        ),
        pytest.param(published("a text"), f"/data {NOT_JSON} (in /events/0)", id="CloudEvent-text"),
        pytest.param(
            {"events": [EVENT]},
            "/specversion is required in a CloudEvent and must be 1.0 (in /events/0)",
            id="CloudEvent-without-attributes",
        ),
        pytest.param(CLOUDEVENT, "/data or data_base64 must be present, but not both", id="CloudEvent-without-data"),
    ],
)
def test_a_delivery_of_something_else_raises(function, fake_ddm, value, message):
    assert function.failure(value) == f"invalid-event: {message}"
    assert fake_ddm.requests == []


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("", "the event is empty; send the event as a JSON object"),
        ("hello", f"the event {NOT_JSON}"),
        ("\ud800", f"the event {NOT_UTF8}"),
        (None, "the event must be a JSON object, not null"),
        ({"httpMethod": "POST"} | EVENT, "/httpMethod is not a known field; the known fields are project_id,"),
        ({"record": []} | EVENT, "/record is not a known field; the known fields are project_id,"),
        ({"record": 1} | EVENT, "/record is not a known field; the known fields are project_id,"),
        ({"headers": {}} | EVENT, "/headers is not a known field; the known fields are project_id,"),
        (EVENT | {"db_name": "\ud800"}, "/db_name must have at least 2 characters"),
        (EVENT | {"job_id": "\ud800"}, "/job_id may only have the characters A-Z a-z 0-9 -"),
    ],
    ids=range(10),
)
def test_a_direct_invocation_with_something_else(function, fake_ddm, value, message):
    assert function(value)["message"].startswith(message)
    assert fake_ddm.requests == []


NAMES = st.text(max_size=9) | st.sampled_from([*EVENT, TOKEN])  # errors quote a name, so that none is the password
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from([TOKEN, PASSWORD]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner),
    max_leaves=10,
)
TRIGGER_FIELDS = ("specversion", "events", "trigger_type", "record", "records", "Records", "cts", "lts", "httpMethod")


@given(JSON.filter(lambda value: not (isinstance(value, dict) and value.keys() & set(TRIGGER_FIELDS))))
def test_a_direct_invocation_never_raises(function, value):
    result = function(value)
    assert result["code"] == "invalid-event"
    assert PASSWORD not in f"{result}{function.log}"


@given(st.sampled_from(TRIGGER_FIELDS[:-1]), JSON)
def test_a_misshapen_delivery_raises_or_is_a_problem(function, name, value):
    try:
        result = json.dumps(function({name: value}))
    except Exception as failure:  # noqa: BLE001 - its type and text are the subject
        result = f"{type(failure).__name__}: {failure}"
    assert "invalid-event" in result
    assert PASSWORD not in f"{result}{function.log}"


# The token of the agency


def test_the_token_of_the_agency(start, fake_ddm):
    function = start(**AGENCY_VARIABLES)
    assert function(smn(EVENT_WITHOUT_TOKEN), Context(f"{TOKEN}\n"))["verdict"] == "PASS"
    assert sent_tokens(fake_ddm) == [TOKEN]
    assert function.log[0]["token_from"] == "agency"


@pytest.mark.parametrize(
    "context", [Context("null"), Context(None), object(), None], ids=["null", "None", "without the method", "none"]
)
def test_without_a_token_of_the_agency(start, fake_ddm, context):
    function = start(**AGENCY_VARIABLES)
    assert function.failure(timer(EVENT_WITHOUT_TOKEN), context).startswith("invalid-event: /token ")
    assert function(EVENT_WITHOUT_TOKEN, context)["code"] == "invalid-event"
    assert fake_ddm.requests == []


@deliveries
def test_a_token_that_ddm_repeats_is_redacted(start, fake_ddm, deliver):
    """The token is in no result, exception or log line; `EventFunction` searches them."""
    function = start(**AGENCY_VARIABLES)
    context = Context(TOKEN)
    fake_ddm.behaviours["pass"] = results(check("Primary keys", "FAILED", error_message=f"Bad {TOKEN}!"))
    assert "Bad ***!" in function(deliver(EVENT_WITHOUT_TOKEN), context)["report"]
    fake_ddm.behaviours["pass"] = BEHAVIOURS["rejected"]
    function.failure(deliver(EVENT_WITHOUT_TOKEN), context)


@deliveries
@pytest.mark.parametrize("place", ["db_name", "job_id", "unknown", "region", "accepted_warnings"])
def test_a_token_in_a_wrong_field_is_not_repeated(function, deliver, place):
    fields = {place: [TOKEN, 1] if place == "accepted_warnings" else TOKEN}
    function.failure(deliver(EVENT | fields))
    function.failure(deliver(f"{TOKEN}"))


# API Gateway


@pytest.mark.parametrize("is_base64", [False, True])
@pytest.mark.parametrize(
    ("db_name", "status"), [("pass", 200), ("fail", 200), ("unauthorized", 401), ("throttled", 429)]
)
def test_an_api_gateway_event_returns_a_response(function, db_name, status, is_base64):
    result = function(gateway(text(event(db_name)), is_base64=is_base64))
    assert result.keys() == {"statusCode", "headers", "body", "isBase64Encoded"}
    assert (result["statusCode"], result["isBase64Encoded"]) == (status, False)
    assert result["headers"]["Content-Type"] == "application/json"
    assert result["headers"].get("Retry-After") == ("7" if db_name == "throttled" else None)
    assert without_changing_values(json.loads(result["body"])) == without_changing_values(function(event(db_name)))


@pytest.mark.parametrize(
    ("envelop", "headers"),
    [
        pytest.param(cloudevent, {"content_type": "application/cloudevents+json"}, id="structured"),
        pytest.param(lambda value: value, {f"CE_{name}": value for name, value in CLOUDEVENT.items()}, id="binary"),
        pytest.param(lambda value: {"message": text(value)}, {"X_SMN_MESSAGE_TYPE": "Notification"}, id="SMN"),
        pytest.param(push_body, {"traceparent": TRACEPARENT}, id="Pub/Sub"),
    ],
)
@pytest.mark.parametrize(("db_name", "status"), [("fail", 200), ("pending", 503)])
def test_envelopes_inside_an_api_gateway_event(function, envelop, headers, db_name, status):
    assert function(gateway(text(envelop(event(db_name))), **headers))["statusCode"] == status


def test_a_sink_receives_the_verdict_of_an_api_gateway_event(start):
    with Sink() as sink:
        headers = {f"CE_{name}": value for name, value in CLOUDEVENT.items()}
        result = start(K_SINK=sink.url)(gateway(text(EVENT), **headers))
    assert result == {"statusCode": 202, "headers": {}, "body": "", "isBase64Encoded": False}
    assert len(sink.received) == 1


@pytest.mark.parametrize("method", ["GET", "post", ""])
def test_other_methods(function, method):
    result = function(gateway("", method=method))
    assert result["statusCode"] == 405
    assert result["headers"] == {"Content-Type": "application/json", "Allow": "POST, OPTIONS"}


@pytest.mark.parametrize(
    ("event", "result"),
    [
        (
            gateway("", method="OPTIONS", webhook_request_origin="example.com"),
            {
                "statusCode": 204,
                "headers": {
                    "Allow": "POST, OPTIONS",
                    "WebHook-Allowed-Origin": "example.com",
                    "WebHook-Allowed-Rate": "*",
                },
            },
        ),
        (gateway("{}", X_SMN_MESSAGE_TYPE="SubscriptionConfirmation"), {"statusCode": 200, "headers": {}}),
    ],
    ids=["web hook", "SMN"],
)
def test_handshakes(function, event, result):
    assert function(event) == result | {"body": "", "isBase64Encoded": False}


def test_an_agency_header_from_outside_is_dropped(start, fake_ddm):
    function = start(**AGENCY_VARIABLES)
    request = gateway(text(EVENT_WITHOUT_TOKEN), X_CFF_Auth_Token="forged-by-a-caller")
    assert function(request)["statusCode"] == 400
    assert function(request, Context(TOKEN))["statusCode"] == 200
    assert sent_tokens(fake_ddm) == [TOKEN]


@given(body=JSON | st.just(text(EVENT)), headers=JSON, method=JSON | st.just("POST"), is_base64=JSON | st.booleans())
def test_an_api_gateway_event_never_raises(function, body, headers, method, is_base64):
    result = function({"httpMethod": method, "headers": headers, "body": body, "isBase64Encoded": is_base64})
    assert result["statusCode"] in {200, 204, 400, 405, 413}
    assert PASSWORD not in f"{result}{function.log}"


@pytest.mark.parametrize(
    ("body", "is_base64", "message"),
    [
        (7, False, "the event must be a JSON object, not a number"),
        (None, False, "the request body is empty; send the event as a JSON object"),
        ("", True, "the request body is empty; send the event as a JSON object"),
        ("\ud800", False, f"the request body {NOT_UTF8}"),
        (text(EVENT), True, CANNOT_BE_READ),
        ("e3*0=", True, CANNOT_BE_READ),
        ("e", True, CANNOT_BE_READ),
    ],
)
def test_an_api_gateway_event_with_another_body(function, body, is_base64, message):
    result = function(gateway("") | {"body": body, "isBase64Encoded": is_base64})
    assert result["statusCode"] == function.log[0]["http_status"] == 400
    assert json.loads(result["body"])["message"] == message


def test_base64_may_have_line_breaks(function):
    body = base64.encodebytes(text(EVENT).encode()).decode()
    assert function(gateway(body) | {"isBase64Encoded": True})["statusCode"] == 200


def test_the_limit_of_the_size_is_that_of_the_shortest_json(function):
    """The platform passes parsed JSON: neither spaces nor escape sequences count."""
    note = {"name": "a", "status": "SUCCESS", "note": "检" * 80_000 + "\U0001f511"}
    largest = EVENT | {"pre_check_results": [note]}
    size = len(json.dumps(largest, ensure_ascii=False, separators=(",", ":")).encode())
    note["note"] += "x" * (256 * 1024 - size)
    assert function(largest)["verdict"] == "PASS"
    note["note"] += "x"
    assert function(largest)["code"] == "event-too-large"


# Settings


@pytest.mark.parametrize(
    "call", [lambda: event_function.handler(EVENT, None), lambda: event_function.initializer(None)]
)
@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"DDM_TIMEOUT_SECONDS": "soon"}, "DDM_TIMEOUT_SECONDS must be a number of seconds from 0 to 3600"),
        (
            {"RUNTIME_USERDATA": json.dumps({"DDM_MAX_WAIT_SECONDS": "x"})},
            "DDM_MAX_WAIT_SECONDS must be a number of seconds from 0 to 3600",
        ),
        ({"RUNTIME_USERDATA": "{"}, "RUNTIME_USERDATA must be a JSON object of environment variables"),
        ({"RUNTIME_USERDATA": "[]"}, "RUNTIME_USERDATA must be a JSON object of environment variables"),
    ],
)
def test_a_wrong_setting_is_one_line(start, call, variables, reason):
    start(**variables)
    with pytest.raises(event_function.StartError) as raised:
        call()
    assert str(raised.value) == f"ddm-precheck cannot start: {reason}"
    assert is_alone(raised.value)


def test_settings_in_the_user_data(start, fake_ddm):
    """FunctionGraph provides the function's variables in RUNTIME_USERDATA; real variables come first."""
    user_data = {"DDM_EXPECTED_CHECKS": "3", "DDM_ENDPOINT": "https://unused.example.com", "OTHER": 1}
    function = start(RUNTIME_USERDATA=json.dumps(user_data))
    event_function.initializer(None)
    assert function(event())["verdict"] == "PENDING"
    assert os.environ["DDM_ENDPOINT"] == fake_ddm.url


def test_an_event_that_is_not_json(function):
    """The runtime parses JSON, so only a caller in Python can pass such an event."""
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (event(more=b"x"), event(more=deep)):
        assert function(value)["message"] == CANNOT_BE_READ
    function.log.clear()
    while deep:  # without this, Python frees the nested lists recursively
        deep = deep.pop()
