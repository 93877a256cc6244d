"""The memory and CPU time of the served function: 400 MiB with 64 callers and hostile data, and no body is kept.

With ``LONG_TESTS=1`` in the environment, all cases run and send more requests. By default, one case of each kind runs.
"""

import gc
import json
import os
import pkgutil
import time
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from helpers.callers import CALLERS, event_body, outcomes, send_concurrently, send_in_sequence
from helpers.envelopes import push_body
from helpers.function import EVENT, ROOT, TOKEN, InProcessFunction, ServedFunction, serve_function

from ddm_precheck import app, strict_json
from testing import hostile_bodies
from testing.fake_behaviours import FakeResponse
from testing.fake_ddm import FakeDDM
from testing.fault_server import (
    CHUNKED_HEAD,
    PASS_BODY,
    FaultServer,
    chunk,
    complete_response,
    receive_bytes,
    reset,
    response_head,
    send,
    wait_for_close,
)

MIB = 1024 * 1024
MAX_MIB = 400
MAX_GROWTH_MIB = 16
IS_LONG = bool(os.environ.get("LONG_TESTS"))
long_test = pytest.mark.skipif(not IS_LONG, reason="LONG_TESTS is not set")
SMALL_OBJECTS = b",".join([b'{"a":0}'] * (256 * 1024 // 8 - 8))
REJECTED_EVENTS = {
    "small objects": b'{"accepted_warnings":[' + SMALL_OBJECTS + b"]}",
    "not JSON": b"[" + SMALL_OBJECTS,
}
CHECK = {"name": "n", "status": "WARN", "note": "é" * 85, "error_message": "y" * 20}
ALL_CHECKS = json.dumps(EVENT | {"pre_check_results": [CHECK] * 900}, ensure_ascii=False).encode()
"""A valid event of nearly 256 KiB that is all checks."""


class MeasuredFunction:
    """A served function with 64 threads. Measures the memory of the function's processes."""

    def __init__(self, function: ServedFunction) -> None:
        self.function = function
        send_in_sequence(function, [b"{}"])
        self.server = function.server
        self.worker = self.server.worker

    def growth(self, body: bytes, *, warm_up: int, measured: int) -> float:
        """Send the body ``warm_up`` and then ``measured`` times. Return the growth during the latter, in MiB."""
        send_in_sequence(self.function, [body] * warm_up)
        before = self.server.memory()
        send_in_sequence(self.function, [body] * measured)
        return self.server.memory() - before

    def cpu_seconds(self, body: bytes) -> float:
        """Return the CPU time of the worker for the body, in the faster of two rounds."""
        measured = []
        for _ in range(2):
            before = self.server.cpu_seconds()
            send_in_sequence(self.function, [body])
            measured.append(self.server.cpu_seconds() - before)
        return min(measured)


@contextmanager
def serve_measured_function(environment: Mapping[str, str], folder: Path) -> Iterator[MeasuredFunction]:
    """Serve the function as ``deploy.sh`` deploys it. Fails if the worker has ended."""
    with serve_function({"THREADS": str(CALLERS), **environment}, folder) as function:
        measured = MeasuredFunction(function)
        yield measured
        assert measured.server.worker == measured.worker, "the worker has ended"


@pytest.fixture(scope="module")
def measured_function(fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MeasuredFunction]:
    environment = {"DDM_ENDPOINT": fake_ddm_server.url}
    with serve_measured_function(environment, tmp_path_factory.mktemp("large")) as measured:
        yield measured


# Memory over time


@pytest.mark.parametrize("name", ["small objects", pytest.param("not JSON", marks=long_test)])
@pytest.mark.no_mutation
def test_rejected_events_of_256_kib_do_not_stay_in_memory(measured_function: MeasuredFunction, name):
    growth = measured_function.growth(REJECTED_EVENTS[name], warm_up=10, measured=10_000 if IS_LONG else 100)
    assert growth < MAX_GROWTH_MIB


@pytest.mark.parametrize("name", ["note_small_objects", pytest.param("unclosed text", marks=long_test)])
@pytest.mark.no_mutation
def test_invalid_results_do_not_stay_in_memory(measured_function: MeasuredFunction, fake_ddm: FakeDDM, name):
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_bodies.RESULTS[name])
    growth = measured_function.growth(event_body("large"), warm_up=10, measured=1000 if IS_LONG else 15)
    # The memory grows once, by the size of one parsed result. If all stayed in memory, it would grow by over 300 MiB.
    assert growth < 2 * MAX_GROWTH_MIB


# Peak memory with 64 callers


@pytest.mark.no_mutation
def test_64_callers_with_large_events(measured_function: MeasuredFunction):
    rejected = [*hostile_bodies.hostile_events().values(), *[REJECTED_EVENTS["small objects"]] * CALLERS]
    responses = send_concurrently(measured_function.function, rejected * (10 if IS_LONG else 1))
    assert outcomes(responses) == {"invalid-event": len(responses)}
    valid = send_concurrently(measured_function.function, [ALL_CHECKS] * CALLERS)
    assert outcomes(valid) == {"WARN": CALLERS}
    assert measured_function.server.peak_memory() < MAX_MIB


@pytest.mark.no_mutation
def test_64_callers_with_large_results(measured_function: MeasuredFunction, fake_ddm: FakeDDM):
    db_names = hostile_bodies.add_behaviours(fake_ddm)
    for db_name in db_names.values() if IS_LONG else []:
        send_concurrently(measured_function.function, [event_body(db_name)] * CALLERS)
    responses = send_concurrently(measured_function.function, [event_body(db_name) for db_name in db_names.values()])
    assert outcomes(responses).keys() >= {"upstream-contract", "PASS", "FAIL", "rejected"}
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_bodies.RESULTS["1,000 texts of 1 KiB"])
    both_large = json.dumps(json.loads(ALL_CHECKS) | {"db_name": "large"}, ensure_ascii=False).encode()
    assert outcomes(send_concurrently(measured_function.function, [both_large] * CALLERS)) == {"FAIL": CALLERS}
    assert measured_function.server.peak_memory() < MAX_MIB


@pytest.mark.no_mutation
def test_64_callers_that_read_slowly(measured_function: MeasuredFunction, fake_ddm: FakeDDM):
    """Each caller gets its response. After this, the operating system gets the memory of the responses back."""
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_bodies.RESULTS["1,000 texts of 1 KiB"])
    send_concurrently(measured_function.function, [event_body("large")] * 4)
    before = measured_function.server.memory()
    with ExitStack() as stack:
        connections = [HTTPConnection("127.0.0.1", measured_function.function.port, timeout=60) for _ in range(CALLERS)]
        for connection in connections:
            stack.callback(connection.close)
            connection.request("POST", "/", event_body("large"))
        responses = [connection.getresponse() for connection in connections]
        time.sleep(20 if IS_LONG else 1)
        peak = measured_function.server.peak_memory()
        sizes = [len(response.read()) for response in responses]
    assert min(sizes) > 2 * MIB
    assert peak < MAX_MIB
    assert measured_function.server.memory() - before < 2 * MAX_GROWTH_MIB


@pytest.mark.parametrize("step", ["event.strict_json.loads", "ddm.strict_json.loads", "serialization.summary_json"])
def test_one_body_at_a_time_is_parsed_or_serialized(function: InProcessFunction, monkeypatch, step):
    original = pkgutil.resolve_name(f"ddm_precheck.{step}")
    running, maximum = [], 0

    def slow(*arguments: object) -> object:
        nonlocal maximum
        running.append(None)
        maximum = max(maximum, len(running))
        time.sleep(0.02)
        running.pop()
        return original(*arguments)

    monkeypatch.setattr(f"ddm_precheck.{step}", slow)
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda _: function.exchange("POST", event_body(), {}), range(8)))
    assert outcomes(responses) == {"PASS": 8}
    assert maximum == 1


@pytest.mark.parametrize(
    ("fields", "number"), [({"unknown": 1}, 1), ({"db_name": "running"}, 2)], ids=["event", "result"]
)
def test_parsed_bodies_are_freed_before_a_problem_is_sent(function: InProcessFunction, monkeypatch, fields, number):
    """Otherwise, the bodies of 64 callers would be in memory at the same time."""

    class Fields(dict):
        """A dict with weak references."""

    bodies, kept = [], []
    loads, respond = strict_json.loads, app._problem_response

    def recording_loads(data: bytes) -> Fields:
        body = Fields(loads(data))
        bodies.append(weakref.ref(body))
        return body

    def recording_respond(*arguments: Any) -> Any:
        kept.extend(body() for body in bodies)
        return respond(*arguments)

    monkeypatch.setattr(strict_json, "loads", recording_loads)
    monkeypatch.setattr(app, "_problem_response", recording_respond)
    function.exchange("POST", json.dumps(EVENT | fields).encode(), {})
    assert kept == [None] * number


# CPU time

EVENTS = hostile_bodies.hostile_events() | {"whitespace": b" " * 262_144, "escapes": b'"' + b"\\u0041" * 43_000 + b'"'}


@pytest.mark.parametrize("name", EVENTS if IS_LONG else ["accepted_warnings_distinct_objects", "list_nested_lists"])
@pytest.mark.no_mutation
def test_cpu_time_of_an_event(measured_function: MeasuredFunction, name):
    assert outcomes(send_in_sequence(measured_function.function, [EVENTS[name]])) == {"invalid-event": 1}
    assert measured_function.cpu_seconds(EVENTS[name]) < 0.5


@pytest.mark.no_mutation
def test_cpu_time_of_an_event_with_many_checks(measured_function: MeasuredFunction):
    assert measured_function.cpu_seconds(ALL_CHECKS) < 0.5


@pytest.mark.parametrize(
    "name", hostile_bodies.RESULTS if IS_LONG else ["4 wrong fields in 1,000 checks", "1,000 texts with an emoji"]
)
@pytest.mark.no_mutation
def test_cpu_time_of_a_result(measured_function: MeasuredFunction, fake_ddm: FakeDDM, name):
    db_name = hostile_bodies.add_behaviours(fake_ddm)[name]
    assert measured_function.cpu_seconds(event_body(db_name)) < 1


# Reference cycles: the memory of a request is freed at its end, without the garbage collector.
#
# If a frame of an exception's traceback refers to the exception, the two are a reference cycle. The cycle keeps all
# frames of the traceback in memory, with the event and DDM's result, until a full garbage collection. Even large JSON
# values rarely start a full garbage collection.

LARGE = 100_000
OWN_CODE = (str(ROOT / "main.py"), str(ROOT / "ddm_precheck"))
LIBRARIES = ("/requests/", "/urllib3/", "/http/client.py", "/jsonschema/")
LARGE_LIST = b"[" + b'{"a":0},' * 20_000 + b"0]"
LARGE_EVENT = json.dumps(EVENT).encode()[:-1] + b',"unknown":' + LARGE_LIST + b"}"
SMN = {"X-SMN-MESSAGE-TYPE": "Notification"}

REQUESTS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "unknown field": ("invalid-event", LARGE_EVENT, {}),
    "not JSON": ("invalid-event", LARGE_LIST[:-1], {}),
    "duplicate key": ("invalid-event", b'{"a":0,"a":' + LARGE_LIST + b"}", {}),
    "not base64": ("invalid-event", b'{"subscription":"s","message":{"data":"*' + b"a" * LARGE + b'"}}', {}),
    "foreign envelope": (
        "invalid-event",
        b'{"a":' + LARGE_LIST + b',"detail":' + json.dumps(EVENT).encode() + b"}",
        {},
    ),
    "SMN": ("invalid-event", b'{"message":' + json.dumps(LARGE_LIST.decode()).encode() + b"}", SMN),
    "wrong checks": ("invalid-event", LARGE_EVENT.replace(b'"unknown"', b'"pre_check_results"'), {}),
    "too large": ("event-too-large", b" " * 300_000, {}),
}
DDM_RESPONSES: dict[str, tuple[str, FakeResponse]] = {
    "invalid for the JSON Schema": (
        "upstream-contract",
        FakeResponse(200, hostile_bodies.RESULTS["note_small_objects"]),
    ),
    "not JSON": ("upstream-contract", FakeResponse(200, hostile_bodies.RESULTS["unclosed text"])),
    "over 1 MiB": ("upstream-contract", FakeResponse(200, b" " * (MIB + 1))),
    "error": ("rejected", FakeResponse(400, hostile_bodies.ERRORS["error with small objects"])),
    "unavailable": ("upstream-unavailable", FakeResponse(503, hostile_bodies.ERRORS["error with small objects"])),
}
CONNECTION_FAULTS = {
    "reset": ("upstream-unavailable", [reset]),
    "closed in the body": ("upstream-unavailable", [send(response_head(Content_Length=200_000) + LARGE_LIST)]),
    "timeout before the head": ("upstream-timeout", [wait_for_close]),
    "timeout in the body": ("upstream-timeout", [send(CHUNKED_HEAD + chunk(PASS_BODY)), wait_for_close]),
    "large head": ("upstream-contract", [send(response_head("103 Hints", X="x" * 60_000) * 40), wait_for_close]),
    "unread bytes": ("upstream-contract", [send(complete_response(b"{}") + LARGE_LIST)]),
}


@contextmanager
def no_garbage() -> Iterator[None]:
    """Fail if the code in the context leaves garbage that belongs to a request."""
    gc.collect()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield
        gc.collect()
        found = [text for value in gc.garbage if (text := describe(value))]
        assert not found, "; ".join(found)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def describe(value: Any) -> str:
    """Return a description of garbage of a request: a frame, an exception, a value of the package, or a large value.

    For other garbage, the text is empty.
    """
    if isinstance(value, FrameType):
        file = value.f_code.co_filename
        if file.startswith(OWN_CODE) or any(folder in file for folder in LIBRARIES):
            return f"frame {value.f_code.co_qualname}"
    if isinstance(value, BaseException) or type(value).__module__.startswith("ddm_precheck"):
        return repr(value)[:100]
    containers = list | dict | str | bytes | bytearray
    large = [each for each in [value, *gc.get_referents(value)] if isinstance(each, containers)]
    return f"{type(value)} with a large value" if any(len(each) >= LARGE // 8 for each in large) else ""


def assert_no_cycle(function: InProcessFunction, code: str, body: bytes, headers: dict[str, str] | None = None) -> None:
    """Send the body twice. Fail unless the outcome is this problem, or if the second request leaves garbage."""
    function.exchange("POST", body, headers or {})
    with no_garbage():
        assert function.exchange("POST", body, headers or {}).problem_code == code


@pytest.fixture
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_BACKOFF_SECONDS", 0.01)


@pytest.mark.parametrize(("code", "body", "headers"), REQUESTS.values(), ids=REQUESTS)
def test_rejected_event_leaves_no_cycle(function: InProcessFunction, code, body, headers):
    assert_no_cycle(function, code, body, headers)


@pytest.mark.parametrize(("code", "response"), DDM_RESPONSES.values(), ids=DDM_RESPONSES)
def test_response_of_ddm_leaves_no_cycle(function: InProcessFunction, fake_ddm: FakeDDM, short_backoff, code, response):
    fake_ddm.behaviours["pass"] = lambda _: response
    assert_no_cycle(function, code, event_body())


@pytest.mark.parametrize(("code", "script"), CONNECTION_FAULTS.values(), ids=CONNECTION_FAULTS)
def test_connection_fault_leaves_no_cycle(start, short_backoff, code, script):
    """urllib3 keeps exceptions in variables of their frames."""
    with FaultServer([script]) as ddm:
        assert_no_cycle(start(DDM_ENDPOINT=ddm.url, DDM_TIMEOUT_SECONDS="0.3"), code, event_body())


@pytest.mark.parametrize(
    "variables",
    [
        {"DDM_ENDPOINT": "http://127.0.0.1:9"},
        {"DDM_ENDPOINT": "https://127.0.0.1:9"},
        {"DDM_ENDPOINT": f"https://{'a' * 64}.example"},
        {"DDM_ENDPOINT": "https://ddm.example", "HTTPS_PROXY": "http://127.0.0.1:9"},
    ],
    ids=["refused", "refused, TLS", "not resolved", "proxy"],
)
def test_failed_connection_leaves_no_cycle(start, short_backoff, variables):
    assert_no_cycle(start(**variables), "upstream-unavailable", event_body())


def test_untrusted_certificate_leaves_no_cycle(start, short_backoff, authority):
    with FaultServer([[]], tls=authority.context()) as ddm:
        assert_no_cycle(start(DDM_ENDPOINT=ddm.url), "upstream-unavailable", event_body())


@pytest.mark.parametrize(("db_name", "code"), [("large", "sink-unavailable"), ("pending", "pending")])
def test_delivery_leaves_no_cycle(start, fake_ddm: FakeDDM, db_name, code):
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_bodies.RESULTS["1,000 texts of 1 KiB"])
    push = json.dumps(push_body(EVENT | {"db_name": db_name})).encode()
    with FaultServer([[receive_bytes, reset]], before_request=True) as sink:
        assert_no_cycle(start(K_SINK=sink.url), code, push)


def test_bug_leaves_no_cycle(function: InProcessFunction, monkeypatch):
    def fail(*_: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("ddm_precheck.verdict._verdict", fail)
    assert_no_cycle(function, "internal", event_body())


def test_cycle_is_found():
    """If an exception and a frame refer to each other, `no_garbage` fails. So `no_garbage` can detect a cycle."""

    def keep_exception(body: bytes) -> None:
        try:
            int(body)
        except ValueError as error:
            kept = error
            assert kept

    with pytest.raises(AssertionError, match=r"ValueError.*with a large value"), no_garbage():
        keep_exception(LARGE_LIST)
