"""Reference cycles: the memory of a request is freed at its end, without the garbage collector.

If a frame of an exception's traceback refers to the exception, the two are a reference cycle. The cycle keeps all
frames of the traceback in memory, with the event and DDM's result, until a full garbage collection. Even large JSON
values rarely start a full garbage collection.
"""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from helpers import hostile_responses
from helpers.envelopes import push_body
from helpers.function import EVENT, PROBLEM_VALIDATOR, ROOT, TOKEN, InProcessFunction

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

LARGE = 100_000
OWN_CODE = (str(ROOT / "main.py"), str(ROOT / "ddm_precheck"))
LIBRARIES = ("/requests/", "/urllib3/", "/http/client.py", "/jsonschema/")
LARGE_LIST = b"[" + b'{"a":0},' * 20_000 + b"0]"
LARGE_EVENT = json.dumps(EVENT).encode()[:-1] + b',"unknown":' + LARGE_LIST + b"}"

REFUSED_REQUESTS: dict[str, tuple[str, bytes, dict[str, str]]] = {
    "unknown field": ("invalid-event", LARGE_EVENT, {}),
    "a list": ("invalid-event", LARGE_LIST, {}),
    "not JSON": ("invalid-event", LARGE_LIST[:-1], {}),
    "not UTF-8": ("invalid-event", LARGE_LIST[:-1] + b'"\xff"]', {}),
    "duplicate names": ("invalid-event", b'{"a":0,"a":' + LARGE_LIST + b"}", {}),
    "nested too deeply": ("invalid-event", b"[" * LARGE, {}),
    "not base64": ("invalid-event", b'{"subscription":"s","message":{"data":"*' + b"a" * LARGE + b'"}}', {}),
    "CloudEvent without an id": ("invalid-event", LARGE_EVENT, {"ce-specversion": "1.0"}),
    "token in an ID": ("invalid-event", json.dumps(EVENT | {"token": EVENT["job_id"]}).encode(), {}),
    "too large": ("event-too-large", b" " * 300_000, {}),
}
DDM_RESPONSES: dict[str, tuple[str, FakeResponse]] = {
    "invalid for the JSON Schema": (
        "upstream-contract",
        FakeResponse(200, hostile_responses.RESULTS["note_small_objects"]),
    ),
    "not JSON": ("upstream-contract", FakeResponse(200, hostile_responses.RESULTS["unclosed text"])),
    "nested too deeply": ("upstream-contract", FakeResponse(200, hostile_responses.RESULTS["unclosed lists"])),
    "another job": ("upstream-contract", FakeResponse(200, {"job_id": "x", "pre_check_results": []})),
    "over 1 MiB": ("upstream-contract", FakeResponse(200, b" " * (hostile_responses.MAX_BYTES + 1))),
    "not gzip": ("upstream-contract", FakeResponse(200, LARGE_LIST, {"Content-Encoding": "gzip"})),
    "redirect": ("upstream-contract", FakeResponse(302, LARGE_LIST, {"Location": "/"})),
    **{
        code: (code, FakeResponse(status, hostile_responses.ERRORS["error with small objects"]))
        for code, status in [
            ("unauthorized", 401),
            ("forbidden", 403),
            ("not-found", 404),
            ("rejected", 400),
            ("throttled", 429),
            ("upstream-unavailable", 503),
        ]
    },
}
CONNECTION_FAULTS = {
    "reset": ("upstream-unavailable", [reset]),
    "closed in the head": ("upstream-unavailable", [send(b"HTTP/1.1 200 OK\r\nX:")]),
    "closed in the body": ("upstream-unavailable", [send(response_head(Content_Length=200_000) + LARGE_LIST)]),
    "wrong chunk size": ("upstream-unavailable", [send(CHUNKED_HEAD + b"-5\r\n" + LARGE_LIST)]),
    "not HTTP": ("upstream-unavailable", [send(LARGE_LIST[:60_000])]),
    "timeout before the head": ("upstream-timeout", [wait_for_close]),
    "timeout in the body": ("upstream-timeout", [send(CHUNKED_HEAD + chunk(PASS_BODY)), wait_for_close]),
    "large head": ("upstream-contract", [send(b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * LARGE)]),
    "unread bytes": ("upstream-contract", [send(complete_response(b"{}") + LARGE_LIST)]),
}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the pause before a retry to 10 ms."""
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_PAUSE_SECONDS", 0.01)


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
    """Return a text for garbage of a request: a frame, an exception, a value of the package, or a large value.

    For other garbage, the text is empty.
    """
    if isinstance(value, FrameType):
        file = value.f_code.co_filename
        if file.startswith(OWN_CODE) or any(folder in file for folder in LIBRARIES):
            return f"frame {value.f_code.co_qualname}"
    if isinstance(value, BaseException) or type(value).__module__.startswith("ddm_precheck"):
        return repr(value)[:100]
    large = [
        each for each in [value, *gc.get_referents(value)] if isinstance(each, list | dict | str | bytes | bytearray)
    ]
    return f"{type(value)} with a large value" if any(len(each) >= LARGE // 8 for each in large) else ""


def exchange(function: InProcessFunction, body: bytes, headers: dict[str, str] | None = None) -> str | None:
    """Send the body and return the code of the problem."""
    return function.exchange("POST", body, headers or {}).body.get("code")


def exchange_without_garbage(
    function: InProcessFunction, body: bytes, headers: dict[str, str] | None = None
) -> str | None:
    """Send the body twice. Return the code of the problem. Fails if the second request leaves garbage."""
    exchange(function, body, headers)
    with no_garbage():
        return exchange(function, body, headers)


@pytest.mark.parametrize(("code", "body", "headers"), REFUSED_REQUESTS.values(), ids=REFUSED_REQUESTS)
def test_refused_request(start, code, body, headers):
    """A refused event is freed with its request."""
    assert exchange_without_garbage(start(), body, headers) == code


@pytest.mark.parametrize(("code", "response"), DDM_RESPONSES.values(), ids=DDM_RESPONSES)
def test_response_of_ddm(start, fake_ddm: FakeDDM, code, response):
    """A result or an error of DDM is freed with its request."""
    fake_ddm.behaviours["pass"] = lambda _: response
    assert exchange_without_garbage(start(), json.dumps(EVENT).encode()) == code


@pytest.mark.parametrize(("code", "script"), CONNECTION_FAULTS.values(), ids=CONNECTION_FAULTS)
def test_connection_fault(start, code, script):
    """A failed exchange is freed with its request, although urllib3 keeps exceptions in variables of their frames."""
    with FaultServer([script]) as ddm:
        function = start(DDM_ENDPOINT=ddm.url, DDM_TIMEOUT_SECONDS="0.3")
        assert exchange_without_garbage(function, json.dumps(EVENT).encode()) == code


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        pytest.param({"DDM_ENDPOINT": "http://127.0.0.1:9"}, "upstream-unavailable", id="refused"),
        pytest.param({"DDM_ENDPOINT": "https://127.0.0.1:9"}, "upstream-unavailable", id="refused, TLS"),
        pytest.param({"DDM_ENDPOINT": f"https://{'a' * 64}.example"}, "upstream-unavailable", id="not resolved"),
        pytest.param(
            {"DDM_ENDPOINT": "https://ddm.example", "HTTPS_PROXY": "http://127.0.0.1:9"},
            "upstream-unavailable",
            id="proxy",
        ),
    ],
)
def test_no_connection(start, variables, code):
    """If no connection is possible, the request leaves no garbage."""
    assert exchange_without_garbage(start(**variables), json.dumps(EVENT).encode()) == code


def test_untrusted_certificate(start, authority):
    """If the TLS handshake fails, the request leaves no garbage."""
    with FaultServer([[]], tls=authority.context()) as ddm:
        code = exchange_without_garbage(start(DDM_ENDPOINT=ddm.url), json.dumps(EVENT).encode())
    assert code == "upstream-unavailable"


@pytest.mark.parametrize(("db_name", "code"), [("large", "sink-unavailable"), ("pending", "pending")])
def test_event_delivery(start, fake_ddm: FakeDDM, db_name, code):
    """A summary that the sink refuses, and a result that is not complete, are freed with their request."""
    fake_ddm.behaviours["large"] = lambda _: FakeResponse(200, hostile_responses.RESULTS["1,000 texts of 1 KiB"])
    push = json.dumps(push_body(EVENT | {"db_name": db_name})).encode()
    with FaultServer([[receive_bytes, reset]], before_request=True) as sink:
        assert exchange_without_garbage(start(K_SINK=sink.url), push) == code


def test_other_methods(start):
    """The body of a request with another method is freed with the request."""
    function = start()
    function.exchange("PUT", LARGE_LIST, {})
    with no_garbage():
        assert function.exchange("PUT", LARGE_LIST, {}).body["code"] == "method-not-allowed"


def test_bug(start, monkeypatch):
    """The traceback of a bug is freed with its request."""
    function = start()

    def fail(*_: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("ddm_precheck.verdict._verdict", fail)
    assert exchange_without_garbage(function, json.dumps(EVENT).encode()) == "internal"


def test_each_problem_code_is_tested():
    """The tables have each problem code, except the codes that have their own test."""
    codes = {code for code, *_ in [*REFUSED_REQUESTS.values(), *DDM_RESPONSES.values(), *CONNECTION_FAULTS.values()]}
    own_tests = {"method-not-allowed", "pending", "sink-unavailable", "internal"}
    assert codes | own_tests == set(PROBLEM_VALIDATOR.schema["properties"]["code"]["enum"])


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
