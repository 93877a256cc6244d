"""The kinds of requests, their frequency and their expected outcomes."""

import base64
import json
import random
from dataclasses import dataclass, field
from typing import Any, Final

from testing.hostile_bodies import EVENT, EVENT_BYTES, hostile_events, hostile_results

Outcome = tuple[int, str]
"""HTTP status, and the verdict of a summary, the code of a problem, or "" for a response without a body."""

_BUSY: Final = frozenset({(504, "upstream-timeout")})
"""Also expected for each event that causes a request to DDM, because a busy machine may exceed the timeout."""

_ENVELOPE: Final = {"specversion": "1.0", "id": "soak-1", "source": "/soak", "type": "precheck.wanted"}
_BINARY: Final = {f"ce-{name}": value for name, value in _ENVELOPE.items()}


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request.

    ``reading_delay`` is the number of seconds that the client waits before it reads the response. If ``cut`` is set,
    the client sends this number of bytes of the body and closes the connection before the response.
    """

    name: str
    group: str
    body: bytes
    outcomes: frozenset[Outcome]
    headers: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    reading_delay: float = 0
    cut: int | None = None


_FREQUENCY: Final = {
    "good": 50,
    "event delivery": 15,
    "refused": 20,
    "fault": 10,
    "hostile event": 4,
    "hostile result": 1,
}
"""The percentage of requests in each group."""


def schedule(count: int, seed: int) -> list[Case]:
    """Return about ``count`` requests in random order, at least one of each group."""
    source = random.Random(seed)
    cases = _all_cases()
    chosen = [
        case
        for group, share in _FREQUENCY.items()
        for case in _choose([each for each in cases if each.group == group], max(count * share // 100, 1), source)
    ]
    source.shuffle(chosen)
    return chosen


def _choose(cases: list[Case], count: int, source: random.Random) -> list[Case]:
    """Return ``count`` of the cases, each about equally often."""
    order = source.sample(cases, len(cases))
    return [order[number % len(order)] for number in range(count)]


def _all_cases() -> list[Case]:
    return [*_good(), *_deliveries(), *_refused(), *_faults(), *_hostile_events(), *_hostile_results()]


def _event(db_name: str = "pass", **fields: Any) -> dict[str, Any]:
    return EVENT | {"db_name": db_name} | fields


def _case(group: str, name: str, event: object, *outcomes: Outcome, **options: Any) -> Case:
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    return Case(name, group, body, frozenset(outcomes), **options)


def _good() -> list[Case]:
    verdicts = {"pass": "PASS", "warn": "WARN", "fail": "FAIL", "pending": "PENDING", "compressed": "PASS"}
    cases = [_case("good", name, _event(name), (200, verdict), *_BUSY) for name, verdict in verdicts.items()]
    slow = _case("good", "slow reader", _event("valid_long_texts"), (200, "FAIL"), *_BUSY, reading_delay=3)
    return [*cases * 4, slow]


def _deliveries() -> list[Case]:
    def push(event: dict[str, Any]) -> dict[str, Any]:
        data = base64.b64encode(json.dumps(event).encode()).decode()
        return {"message": {"data": data, "messageId": "1"}, "subscription": "projects/p/subscriptions/s"}

    events = {
        "accepted": (_event(), {(202, "")}),
        "refused by the sink": (_event(job_id="job-refused"), {(502, "sink-unavailable")}),
        "pending": (_event("pending"), {(503, "pending")}),
        "invalid": ({"db_name": "pass"}, {(400, "invalid-event")}),
        "reset": (_event("reset"), {(502, "upstream-unavailable")}),
    }
    cases = []
    for name, (event, outcomes) in events.items():
        expected = *outcomes, *_BUSY
        cases += [
            _case("event delivery", f"structured, {name}", _ENVELOPE | {"data": event}, *expected),
            _case("event delivery", f"binary, {name}", event, *expected, headers=_BINARY),
            _case("event delivery", f"push, {name}", push(event), *expected),
            _case("event delivery", f"eventarc, {name}", push(event), *expected, headers=_BINARY),
        ]
    return cases


def _refused() -> list[Case]:
    invalid = (400, "invalid-event")
    long_response = _event("valid_long_texts")
    return [
        _case("refused", "empty", b"", invalid),
        _case("refused", "not JSON", b"<html></html>", invalid),
        _case("refused", "not UTF-8", b'{"job_id": "\xff"}', invalid),
        _case("refused", "duplicate names", b'{"job_id": "a", "job_id": "b"}', invalid),
        _case("refused", "NaN", b'{"expected_checks": NaN}', invalid),
        _case("refused", "not an object", [EVENT], invalid),
        _case("refused", "fields missing", {"db_name": "pass"}, invalid),
        _case("refused", "wrong types", dict.fromkeys(EVENT, 0), invalid),
        _case("refused", "unknown fields", EVENT | {f"field_{number}": number for number in range(50)}, invalid),
        _case("refused", "no token", {name: EVENT[name] for name in EVENT if name != "token"}, invalid),
        _case("refused", "token with a space", _event(token="a b"), invalid),
        _case("refused", "CloudEvent without id", {"specversion": "1.0", "data": EVENT}, invalid),
        _case("refused", "invalid base64", {"message": {"data": "%"}, "subscription": "s"}, invalid),
        _case("refused", "GET", b"", (405, "method-not-allowed"), method="GET"),
        _case("refused", "OPTIONS", b"", (204, ""), method="OPTIONS"),
        _case("refused", "too large", b"[" * (EVENT_BYTES + 1), (413, "event-too-large")),
        _case("refused", "far too large", b" " * 4 * EVENT_BYTES, (413, "event-too-large")),
        _case("refused", "closed in the body", _event(), cut=50),
        _case("refused", "closed before the response", long_response, cut=len(json.dumps(long_response))),
    ]


def _faults() -> list[Case]:
    unavailable, contract = (502, "upstream-unavailable"), (502, "upstream-contract")
    timeout, not_found = (504, "upstream-timeout"), (404, "not-found")
    outcomes = {
        "interim": {not_found},
        "unauthorized": {(401, "unauthorized")},
        "not_found": {not_found},
        "rejected": {(422, "rejected")},
        "throttled": {(429, "throttled")},
        "broken": {unavailable},
        "down": {unavailable},
        "redirect": {contract},
        "not_json": {contract},
        "unread_bytes": {not_found},
        "closed": {unavailable},
        "truncated": {unavailable},
        "reset": {unavailable},
        "reset_in_body": {unavailable},
        "bad_chunk": {unavailable},
        "slow_head": {timeout},
        "slow_body": {timeout},
        "large_head": {contract, unavailable},
        "large_headers": {contract},
        "large_body": {contract},
        "gzip_bomb": {contract},
        "tiny_chunks": {contract},
    }
    return [_case("fault", name, _event(name), *expected, *_BUSY) for name, expected in outcomes.items()]


def _hostile_events() -> list[Case]:
    return [_case("hostile event", name, body, (400, "invalid-event")) for name, body in hostile_events().items()]


def _hostile_results() -> list[Case]:
    cases = []
    for name in hostile_results():
        expected = (200, "FAIL" if name.startswith(("valid_long", "valid_tiny")) else "WARN")
        if not name.startswith("valid"):
            expected = (502, "upstream-contract")
        names = (name, f"{name}_gzip")
        cases += [_case("hostile result", each, _event(each), expected, *_BUSY) for each in names]
    return cases
