"""The kinds of requests, how often each kind is sent, and the outcomes that are expected."""

import base64
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from testing import EVENT, TOKEN
from testing.fake_behaviours import SYNCHRONOUS_CHECKS, Behaviour, fault
from testing.fault_server import Action, complete_response, reset, response_head, send, send_slowly, wait_for_close
from testing.hostile_bodies import EVENT_BYTES, INVALID_RESULTS, SCRIPTS, VALID_RESULTS, hostile_events

Outcome = tuple[int, str]
"""The HTTP status, and the verdict of a summary, the code of a problem, or "" for a response without a body."""

_UNAVAILABLE, _CONTRACT = (502, "upstream-unavailable"), (502, "upstream-contract")
_INVALID, _NOT_FOUND = (400, "invalid-event"), (404, "not-found")
_TIMEOUT: Final = (504, "upstream-timeout")
"""Expected for each event that causes a request to DDM: a busy machine may exceed the timeout."""

_ATTRIBUTES: Final = {"specversion": "1.0", "id": "soak-1", "source": "/soak", "type": "precheck.wanted"}
_ERROR: Final = complete_response(
    b'{"error_code":"DBS.300400","error_msg":"The job does not exist."}', "400 Bad Request"
)
_UNFINISHED: Final = response_head(Content_Length=1000)

_FAULTS: Final[dict[str, tuple[Sequence[Action], set[Outcome]]]] = {
    "closed": ([], {_UNAVAILABLE}),
    "reset": ([reset], {_UNAVAILABLE}),
    "reset_in_body": ([send(_UNFINISHED + b"{"), reset], {_UNAVAILABLE, _CONTRACT}),
    "truncated": ([send(_UNFINISHED + b"{")], {_UNAVAILABLE, _CONTRACT}),
    "slow_head": ([send_slowly(response_head(X_Slow="1" * 1000))], {_TIMEOUT}),
    "slow_body": ([send(_UNFINISHED), send_slowly(b" " * 1000)], {_TIMEOUT}),
    "silent": ([wait_for_close], {_TIMEOUT}),
    "interim": ([send(response_head("103 Early Hints") + _ERROR)], {_NOT_FOUND}),
    "unread_bytes": ([send(_ERROR + complete_response()), wait_for_close], {_NOT_FOUND}),
    "redirect": ([send(complete_response(b"", "302 Found", Location="http://127.0.0.1:9/"))], {_CONTRACT}),
    "html": ([send(complete_response(b"<html></html>"))], {_CONTRACT}),
}

_SHARES: Final = {"good": 50, "delivery": 15, "rejected": 20, "fault": 10, "hostile event": 4, "hostile result": 1}
"""The percentage of the requests in each group."""


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request.

    ``reading_delay`` is the number of seconds that the client waits before it reads the response. If ``cut`` is set,
    the client sends this number of bytes of the body and closes the connection.
    """

    group: str
    name: str
    body: bytes
    outcomes: set[Outcome] = field(default_factory=set)
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    reading_delay: float = 0
    cut: int | None = None


def behaviours() -> dict[str, Behaviour]:
    """Return the behaviours of the fake DDM that the cases need in addition to the standard ones."""
    scripts = {name: actions for name, (actions, _) in _FAULTS.items()}
    scripts |= {_db_name(name): actions for name, actions in SCRIPTS.items()}
    scripts |= {
        _db_name(name): [send(complete_response(body))] for name, body in (VALID_RESULTS | INVALID_RESULTS).items()
    }
    return {name: fault(*actions) for name, actions in scripts.items()}


def _db_name(name: str) -> str:
    return "x_" + "".join(character if character.isalnum() else "_" for character in name.lower())


def schedule(count: int, seed: int) -> list[Case]:
    """Return about ``count`` requests in random order: each group by its share, its cases about equally often."""
    source = random.Random(seed)
    chosen = []
    for group, share in _SHARES.items():
        cases = [case for case in all_cases() if case.group == group]
        source.shuffle(cases)
        chosen += [cases[number % len(cases)] for number in range(max(count * share // 100, 1))]
    source.shuffle(chosen)
    return chosen


def all_cases() -> list[Case]:
    """Return each kind of request once."""
    return [*_good(), *_deliveries(), *_rejected(), *_upstream()]


def _event(db_name: str = "pass", **fields: Any) -> dict[str, Any]:
    return EVENT | {"db_name": db_name, "expected_checks": 2, "token": TOKEN} | fields


def _bytes(event: object) -> bytes:
    return event if isinstance(event, bytes) else json.dumps(event).encode()


def _good() -> Iterator[Case]:
    for name, verdict in {"pass": "PASS", "warn": "WARN", "fail": "FAIL", "pending": "PENDING"}.items():
        yield Case("good", name, _bytes(_event(name)), {(200, verdict), _TIMEOUT})
        whole = _event(name, pre_check_results=SYNCHRONOUS_CHECKS)
        yield Case("good", f"{name}, both phases", _bytes(whole), {(200, verdict), _TIMEOUT})
    many = _event(pre_check_results=[{"name": str(number), "status": "WARN"} for number in range(1000)])
    yield Case("good", "1,000 synchronous checks", _bytes(many), {(200, "WARN"), _TIMEOUT})
    slow = _bytes(_event(_db_name("1,000 texts of 1 KiB")))
    yield Case("good", "slow reader", slow, {(200, "FAIL"), _TIMEOUT}, reading_delay=1)


def _deliveries() -> Iterator[Case]:
    events = {
        "accepted": (_event(), (202, "")),
        "rejected by the sink": (_event(job_id="job-rejected"), (502, "sink-unavailable")),
        "pending": (_event("pending"), (503, "pending")),
        "invalid": ({"db_name": "pass"}, _INVALID),
        "reset": (_event("reset"), _UNAVAILABLE),
    }
    for name, (event, outcome) in events.items():
        data = base64.b64encode(_bytes(event)).decode()
        push = {"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}
        notification = {"Type": "Notification", "message_id": "1", "message": json.dumps(event)}
        binary = {f"ce-{attribute}": value for attribute, value in _ATTRIBUTES.items()}
        for form, body, headers in (
            ("structured", _ATTRIBUTES | {"data": event}, {}),
            ("binary", event, binary),
            ("push", push, {}),
            ("eventarc", push, binary),
            ("SMN", notification, {"X-SMN-MESSAGE-TYPE": "Notification"}),
        ):
            yield Case("delivery", f"{form}, {name}", _bytes(body), {outcome, _TIMEOUT}, headers)


def _rejected() -> Iterator[Case]:
    events = {
        "empty": b"",
        "not JSON": b"<html></html>",
        "not UTF-8": b'{"job_id": "\xff"}',
        "duplicate keys": b'{"job_id": "a", "job_id": "b"}',
        "NaN": b'{"expected_checks": NaN}',
        "wrong types": dict.fromkeys(EVENT, 0),
        "unknown fields": _event() | {f"field_{number}": number for number in range(50)},
        "no token": EVENT,
        "CloudEvent without id": {"specversion": "1.0", "data": _event()},
        "invalid base64": {"message": {"data": "%"}, "subscription": "s"},
    }
    for name, event in events.items():
        yield Case("rejected", name, _bytes(event), {_INVALID})
    for size in (EVENT_BYTES + 1, 4 * EVENT_BYTES):
        yield Case("rejected", f"{size:,} bytes", b"[" * size, {(413, "event-too-large")})
    yield Case("rejected", "GET", b"", {(405, "method-not-allowed")}, method="GET")
    yield Case("rejected", "OPTIONS", b"", {(204, "")}, method="OPTIONS")
    large = _bytes(_event(_db_name("1,000 texts of 1 KiB")))
    yield Case("rejected", "closed in the body", large, cut=50)
    yield Case("rejected", "closed before the response", large, cut=len(large))


def _upstream() -> Iterator[Case]:
    for code, status in {"unauthorized": 401, "rejected": 422, "throttled": 429}.items():
        yield Case("fault", code, _bytes(_event(code)), {(status, code), _TIMEOUT})
    for name in ("broken", "down"):
        yield Case("fault", name, _bytes(_event(name)), {_UNAVAILABLE, _TIMEOUT})
    for name, (_, outcomes) in _FAULTS.items():
        yield Case("fault", name, _bytes(_event(name)), outcomes | {_TIMEOUT})
    for name in SCRIPTS:
        yield Case("fault", name, _bytes(_event(_db_name(name))), {_CONTRACT, _UNAVAILABLE, _TIMEOUT})
    for name, body in hostile_events().items():
        yield Case("hostile event", name, body, {_INVALID})
    for name, body in VALID_RESULTS.items():
        verdict = "FAIL" if b'"FAILED"' in body else "PENDING"  # of two expected checks, one is there
        yield Case("hostile result", name, _bytes(_event(_db_name(name))), {(200, verdict), _TIMEOUT})
    for name in INVALID_RESULTS:
        yield Case("hostile result", name, _bytes(_event(_db_name(name))), {_CONTRACT, _TIMEOUT})
