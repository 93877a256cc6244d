"""The CPU time of the served function's worker for one hostile event or one hostile response of DDM."""

import re

import pytest
from helpers import hostile_responses
from helpers.callers import event_body, outcomes, send_in_sequence
from helpers.function import ServedFunction

from testing.fake_behaviours import FakeResponse
from testing.fake_ddm import FakeDDM
from testing.hostile_bodies import hostile_events

MAX_SECONDS_PER_MIB = 1
MAX_SECONDS_PER_EVENT = 0.5
RUNS = 2
HOSTILE_EVENTS = hostile_events() | {
    "not closed": b"[" + b'{"a":0},' * 32_000,
    "white space": b" " * 262_144,
    "escapes": b'{"token":"' + b"\\u0041" * 43_000 + b'"}',
}
LARGE_CHECK = {"note": "a" * 400, "handling_suggestion": "b" * 200, "error_message": "", "error_detail_message": None}
VALID_RESULT = hostile_responses.checks_body(1000, **LARGE_CHECK, status="SUCCESS")
INVALID_RESULTS = {
    "last status": b"RUNNING".join(VALID_RESULT.rsplit(b"SUCCESS", 1)),
    "error beside the list": VALID_RESULT[:-1] + b',"error":"aborted"}',
    "all statuses": hostile_responses.checks_body(1000, **LARGE_CHECK, status="RUNNING"),
    "no statuses": hostile_responses.checks_body(1000, **LARGE_CHECK),
    "wrong types": hostile_responses.checks_body(1000, **dict.fromkeys(LARGE_CHECK, 1), status="SUCCESS"),
    "everything wrong": hostile_responses.checks_body(1000, **dict.fromkeys(LARGE_CHECK, True), status=0),
    "blank names": re.sub(
        rb'"Check \d+"', b'"' + b" " * 500 + b'"', hostile_responses.checks_body(1000, status="SUCCESS")
    ),
}


@pytest.fixture
def warm_function(served_function: ServedFunction, fake_ddm: FakeDDM) -> ServedFunction:
    """The served function after its first response."""
    send_in_sequence(served_function, [event_body()])
    return served_function


def cpu_seconds(function: ServedFunction, body: bytes, *, times: int = 1) -> float:
    """Send the body this many times, in two rounds. Return the worker's CPU time for each body in the faster round."""
    measured = []
    for _ in range(RUNS):
        before = function.server.cpu_seconds()
        send_in_sequence(function, [body] * times)
        measured.append(function.server.cpu_seconds() - before)
    return min(measured) / times


@pytest.mark.parametrize("body", HOSTILE_EVENTS.values(), ids=HOSTILE_EVENTS)
def test_event(warm_function: ServedFunction, body):
    """An event of 256 KiB takes at most half a second, even if `accepted_warnings` is a long list of objects."""
    assert outcomes(send_in_sequence(warm_function, [body])) == {"invalid-event": 1}
    assert cpu_seconds(warm_function, body) < MAX_SECONDS_PER_EVENT


@pytest.mark.parametrize("name", [*hostile_responses.RESULTS, *hostile_responses.ERRORS])
def test_response_of_ddm(warm_function: ServedFunction, fake_ddm: FakeDDM, name):
    """A response of 1 MiB, valid or not, takes at most a second."""
    db_name = hostile_responses.add_behaviours(fake_ddm)[name]
    assert cpu_seconds(warm_function, event_body(db_name)) < MAX_SECONDS_PER_MIB


@pytest.mark.parametrize("body", INVALID_RESULTS.values(), ids=INVALID_RESULTS)
def test_invalid_result(warm_function: ServedFunction, fake_ddm: FakeDDM, body):
    """An invalid result with 1,000 checks takes at most 1.5 times as long as a valid result of the same size."""
    padding = " " * (len(body) - len(VALID_RESULT))
    valid = VALID_RESULT[:-1] + padding.encode() + b"}"
    fake_ddm.behaviours |= {"valid": lambda _: FakeResponse(200, valid), "invalid": lambda _: FakeResponse(200, body)}
    both = [event_body("valid"), event_body("invalid")]
    assert outcomes(send_in_sequence(warm_function, both)) == {"PASS": 1, "upstream-contract": 1}
    valid_seconds, invalid_seconds = (cpu_seconds(warm_function, event, times=10) for event in both)
    assert invalid_seconds < 1.5 * valid_seconds
