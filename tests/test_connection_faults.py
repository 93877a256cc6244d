"""Faults of the connection to DDM, on real sockets: each becomes a problem in time, and no socket stays open."""

import gzip
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from helpers.certificates import Authority
from helpers.function import TOKEN, InProcessFunction

from testing.fault_server import (
    CHUNKED_HEAD,
    PASS_BODY,
    FaultServer,
    chunk,
    complete_response,
    pause,
    read_request,
    receive_bytes,
    reset,
    response_head,
    send,
    send_endlessly,
    send_slowly,
    tunnel,
    wait_for_close,
)
from testing.function_server import free_port

MIB = 1024 * 1024
PASS = [send(complete_response()), wait_for_close]
SLOW_TLS_RECORD = send_slowly(b"\x16\x03\x03\x40\x00" + bytes(900))

TIMED_OUT = "DDM timed out: 127.0.0.1 did not respond in time"
LOST = "DDM is not available: the connection to 127.0.0.1 was lost"
OVER_2_MIB = "Unexpected response from DDM: it is over 2 MiB"
CODES = {TIMED_OUT: "upstream-timeout", LOST: "upstream-unavailable"}
"""Messages, and the codes of problems other than `upstream-contract`."""

TIMEOUTS = {
    "no response": [wait_for_close],
    "slow status line": [send_slowly(complete_response())],
    "slow headers": [send(b"HTTP/1.1 200 OK\r\n"), send_slowly(b"X-Header: value\r\n" * 90)],
    "slow body": [send(response_head(Content_Length=1000)), send_slowly(b" " * 1000)],
    "slow body without a length": [send(response_head()), send_slowly(b" " * 1000)],
    "slow chunks": [send(CHUNKED_HEAD), send_slowly(chunk(b" ") * 1000)],
    "slow trailers": [send(CHUNKED_HEAD + b"0\r\n"), send_slowly(b"X-Trailer: value\r\n" * 90)],
    "slow interim responses": [send_slowly(response_head("103 Early Hints") * 90)],
    "stops in the headers": [send(response_head()[:-2]), wait_for_close],
    "stops in the body": [send(complete_response()[:-2]), wait_for_close],
    "stops in a chunk": [send(CHUNKED_HEAD + chunk(PASS_BODY)[:-9]), wait_for_close],
    "stops before the last chunk": [send(CHUNKED_HEAD + chunk(PASS_BODY)), wait_for_close],
}
"""Scripts that cause `upstream-timeout`, without a retry."""

LOST_CONNECTIONS = {
    "closes": [],
    "reset before the response": [reset],
    "reset in the status line": [send(b"HTTP/1.1 2"), pause(0.05), reset],
    "reset in the body": [send(complete_response()[:-2]), pause(0.05), reset],
    "closes in the status line": [send(b"HTTP/1.1 2")],
    "closes after the status line": [send(b"HTTP/1.1 403 Forbidden\r\n")],
    "closes in the headers": [send(b"HTTP/1.1 403 Forbidden\r\nContent-Ty")],
    "closes before the body": [send(response_head(Content_Length=9))],
    "closes in the body": [send(complete_response()[:-2])],
    "closes before a chunk": [send(CHUNKED_HEAD)],
    "closes in a chunk": [send(CHUNKED_HEAD + chunk(PASS_BODY)[:-9])],
    "closes before the last chunk": [send(CHUNKED_HEAD + chunk(PASS_BODY))],
    "closes after an interim response": [send(response_head("103 Early Hints"))],
    "invalid chunk size": [send(CHUNKED_HEAD + b"zz\r\n" + PASS_BODY)],
    "negative chunk size": [send(CHUNKED_HEAD + b"-5\r\n" + PASS_BODY)],
    "two lengths": [send(response_head(Content_Length="2, 3") + b"{}")],
    "not HTTP": [send(TOKEN.encode() * 100)],
    "body only": [send(PASS_BODY)],
    "TLS alert": [send(b"\x15\x03\x03\x00\x02\x02\x28")],
    "HTTP/2.0": [send(b"HTTP/2.0 200 OK\r\n\r\n" + PASS_BODY)],
    "status is not a number": [send(b"HTTP/1.1 OK\r\n\r\n" + PASS_BODY)],
    "status of four digits": [send(b"HTTP/1.1 2000 OK\r\n\r\n" + PASS_BODY)],
    "negative status": [send(b"HTTP/1.1 -200 OK\r\n\r\n" + PASS_BODY)],
    "endless header": [send(b"HTTP/1.1 200 OK\r\nX: "), send_endlessly(b"x" * 65536)],
    "endless headers": [send(b"HTTP/1.1 200 OK\r\n"), send_endlessly(b"X-Header: value\r\n" * 1000)],
    "endless status line": [send_endlessly(b"H" * 65536)],
    "endless chunk extension": [send(CHUNKED_HEAD + b"1;x="), send_endlessly(b"x" * 65536)],
}
"""Scripts that cause `upstream-unavailable`, after two retries."""

TOO_LARGE = {
    "endless 100 Continue": [send_endlessly(response_head("100 Continue", X="x" * 5000) * 10)],
    "endless 103 Early Hints": [send_endlessly(response_head("103 Early Hints", Link="x" * 5000) * 10)],
    "negative chunk size, endless": [send(CHUNKED_HEAD + b"-1\r\n"), send_endlessly(bytes(65536))],
    "endless trailers": [send(CHUNKED_HEAD + b"0\r\n"), send_endlessly(b"X-Trailer: value\r\n" * 1000)],
}
"""Scripts that cause `upstream-contract` without a complete head or body, without a retry."""

UNEXPECTED_RESPONSES = {
    "it has a Content-Encoding, although none was requested": {
        "gzip": [send(complete_response(gzip.compress(PASS_BODY), Content_Encoding="gzip"))],
        "endless gzip": [send(response_head(Content_Encoding="gzip")), send_endlessly(bytes(65536))],
    },
    "it is over 1048576 bytes": {
        "endless body": [send(response_head()), send_endlessly(b" " * 65536)],
        "endless chunks": [send(CHUNKED_HEAD), send_endlessly(chunk(b" " * 65536))],
        "body of 5 MiB": [send(complete_response(PASS_BODY + b" " * 5 * MIB))],
    },
    "it has the status 101": {
        "status 101": [send(response_head("101 Switching Protocols", Connection="close"))],
    },
    "it has the status 204": {
        "status 204": [send(response_head("204 No Content", Connection="close"))],
    },
    "it has the status 206": {
        "status 206": [send(complete_response(status="206 Partial Content", Connection="close"))],
    },
    "it has the status 999": {
        "status 999": [send(complete_response(status="999 Odd", Connection="close"))],
    },
}
"""Scripts that cause `upstream-contract` with a status, without a retry, by the reason."""

FAULTS = [
    *(pytest.param(script, 0.3, TIMED_OUT, 1, id=name) for name, script in TIMEOUTS.items()),
    *(pytest.param(script, 10, LOST, 3, id=name) for name, script in LOST_CONNECTIONS.items()),
    *(pytest.param(script, 10, OVER_2_MIB, 1, id=name) for name, script in TOO_LARGE.items()),
    *(
        pytest.param(script, 10, f"Unexpected response from DDM: {reason}", 1, id=name)
        for reason, scripts in UNEXPECTED_RESPONSES.items()
        for name, script in scripts.items()
    ),
]


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_BACKOFF_SECONDS", 0.01)


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(("script", "timeout", "message", "attempts"), FAULTS)
def test_fault(start, script, timeout, message, attempts):
    files, threads = count_open_files(), threading.active_count()
    with FaultServer([script]) as server:
        function = start(DDM_ENDPOINT=server.url, DDM_TIMEOUT_SECONDS=str(timeout))
        tracemalloc.start()
        started = time.monotonic()
        response = function.send_event()
        elapsed = time.monotonic() - started
        memory = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert response.message == message
    assert response.problem_code == CODES.get(message, "upstream-contract")
    assert server.connections == len(server.requests) == attempts
    assert response.body["upstream"]["attempts"] == attempts
    assert (response.body["upstream"]["status"] is None) == (message in {TIMED_OUT, LOST, OVER_2_MIB})
    assert elapsed < timeout + 1 if message == TIMED_OUT else elapsed < 3
    assert memory < 24 * MIB
    deadline = time.monotonic() + 5  # the sockets of earlier tests may close meanwhile
    while (count_open_files() > files or threading.active_count() > threads) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert count_open_files() <= files
    assert threading.active_count() <= threads


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
@pytest.mark.parametrize(("padding", "code"), [(900_000, None), (2 * MIB, "upstream-contract")])
def test_budget_of_head_and_body_together(start, status, padding, code):
    """Heads of interim responses count as well, so that they cannot be endless."""
    heads = response_head("103 Early Hints", Link="x" * 60_000)
    many = heads * (padding // len(heads) + 1)
    with FaultServer([[send(many + complete_response(status=status)), wait_for_close]]) as ddm:
        outcome = start(DDM_ENDPOINT=ddm.url).send_event().outcome
    assert outcome == (code or ("PASS" if status == "200 OK" else "forbidden"))
    assert ddm.connections == 1


@pytest.mark.parametrize("addresses", [1, 2])
def test_timeout_while_connecting_covers_all_addresses(start, monkeypatch, addresses):
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: resolve(*args, **named) * addresses)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # If the queue of connections is full, the system does not respond to further connections.
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        response = start(DDM_ENDPOINT=endpoint, DDM_TIMEOUT_SECONDS="0.6").send_event()
        for sock in waiting:
            sock.close()
    assert response.problem_code == "upstream-timeout"
    assert 550 <= response.log_entry["upstream"]["elapsed_ms"] < 1000


def test_shortest_timeout(start, fake_ddm):
    """The deadline can expire in each step of the exchange."""
    function = start(DDM_TIMEOUT_SECONDS="0.001")
    assert {function.send_event("slow").problem_code for _ in range(50)} == {"upstream-timeout"}


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("http://127.0.0.1:1", "127.0.0.1 refused the connection"),
        (
            "https://ddm.{region}.invalid",
            "the host name ddm.cn-north-4.invalid could not be resolved; check the region",
        ),
    ],
)
def test_no_connection(start, endpoint, reason):
    response = start(DDM_ENDPOINT=endpoint).send_event()
    assert response.problem_code == "upstream-unavailable"
    assert response.message == f"DDM is not available: {reason}"
    assert response.body["upstream"] == {
        "status": None,
        "attempts": 3,
        "request_id": None,
        "error_code": None,
        "error_msg": None,
    }


# TLS


@pytest.mark.parametrize(
    ("host", "options", "has_bundle"),
    [
        pytest.param("localhost", {}, False, id="unknown authority"),
        pytest.param("localhost", {"expired": True}, True, id="expired"),
        pytest.param("localhost", {"self_signed": True}, True, id="self-signed"),
        pytest.param("ddm.example.com", {}, True, id="another host"),
    ],
)
def test_untrusted_certificate_receives_no_request(start, authority: Authority, host, options, has_bundle):
    bundle = {"REQUESTS_CA_BUNDLE": str(authority.bundle)} if has_bundle else {}
    with FaultServer([PASS], tls=authority.context(host, **options)) as ddm:
        response = start(DDM_ENDPOINT=ddm.url, **bundle).send_event()
    assert response.problem_code == "upstream-unavailable"
    reason = "no TLS connection to localhost, or its certificate is not trusted"
    assert response.message == f"DDM is not available: {reason}"
    assert ddm.requests == []
    assert ddm.connections == 3


@pytest.mark.parametrize(
    ("script", "code", "attempts"),
    [
        pytest.param([wait_for_close], "upstream-timeout", 1, id="no handshake"),
        pytest.param([SLOW_TLS_RECORD], "upstream-timeout", 1, id="slow handshake"),
        pytest.param([send(complete_response())], "upstream-unavailable", 3, id="HTTP without TLS"),
        pytest.param([receive_bytes, reset], "upstream-unavailable", 3, id="reset"),
    ],
)
def test_fault_of_the_handshake(start, script, code, attempts):
    with FaultServer([script], before_request=True) as server:
        # On a busy machine, three attempts need a long timeout. The tests of the timeout need a short timeout.
        timeout = "0.5" if attempts == 1 else "20"
        function = start(DDM_ENDPOINT=f"https://localhost:{server.port}", DDM_TIMEOUT_SECONDS=timeout)
        response = function.send_event()
    assert response.problem_code == code
    assert server.connections == attempts


# Proxies: a proxy never receives the token


@pytest.fixture
def ddm(authority: Authority) -> Iterator[FaultServer]:
    with FaultServer([PASS], tls=authority.context()) as server:
        yield server


@pytest.fixture
def start_with_proxy(start, authority: Authority, ddm: FaultServer) -> Callable[..., InProcessFunction]:
    def start_function(proxy_url: str, **variables: str) -> InProcessFunction:
        bundle = str(authority.bundle)
        return start(DDM_ENDPOINT=ddm.url, REQUESTS_CA_BUNDLE=bundle, HTTPS_PROXY=proxy_url, **variables)

    return start_function


def test_https_proxy(start_with_proxy, ddm: FaultServer):
    with FaultServer([[tunnel]], before_request=True) as proxy:
        response = start_with_proxy(f"http://someone:secret@127.0.0.1:{proxy.port}").send_event()
    assert response.verdict == "PASS"
    (connect,) = proxy.requests
    assert connect.startswith(b"CONNECT localhost:%d HTTP/1." % ddm.port)
    assert b"\r\nProxy-Authorization: Basic c29tZW9uZTpzZWNyZXQ=" in connect
    assert b"X-Auth-Token" not in connect
    assert b"Proxy-Authorization" not in ddm.requests[0]


def test_connections_through_a_proxy_with_tls_are_not_reused(start_with_proxy, authority: Authority, ddm: FaultServer):
    with FaultServer([[tunnel]], tls=authority.context(), before_request=True) as proxy:
        function = start_with_proxy(f"https://localhost:{proxy.port}")
        assert [function.send_event().verdict for _ in range(2)] == ["PASS", "PASS"]
    assert ddm.connections == proxy.connections == 2
    assert not any(b"X-Auth-Token" in each for each in proxy.requests)


LOST_BY_PROXY = "DDM is not available: the connection to ddm.example.com was lost"
REJECTED = "DDM is not available: the proxy did not connect to ddm.example.com"
TIMEOUT = "DDM timed out: ddm.example.com did not respond in time"


@pytest.mark.parametrize(
    ("script", "messages", "attempts"),
    [
        (
            [read_request, send(complete_response(TOKEN.encode(), "403 Forbidden"))],
            [f"{REJECTED}: it responded 403"],
            3,
        ),
        ([read_request, send(complete_response(b"", "407 Proxy"))], [f"{REJECTED}: it responded 407"], 3),
        ([read_request, reset], [LOST_BY_PROXY], 3),
        ([reset], [LOST_BY_PROXY, REJECTED], 3),  # the reset may arrive before or after the connection is established
        ([read_request, wait_for_close], [TIMEOUT], 1),
        ([read_request, send_slowly(response_head(X_Header="x" * 900))], [TIMEOUT], 1),
        ([read_request, send(response_head()), wait_for_close], [TIMEOUT], 1),
        ([read_request, send(response_head()), receive_bytes, SLOW_TLS_RECORD], [TIMEOUT], 1),
    ],
    ids=["403", "407", "reset", "early reset", "no response", "slow response", "no handshake", "slow handshake"],
)
def test_fault_of_the_proxy(start, script, messages, attempts):
    with FaultServer([script], before_request=True) as proxy:
        function = start(
            DDM_ENDPOINT="https://ddm.example.com",
            DDM_TIMEOUT_SECONDS="0.5",
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        )
        response = function.send_event()
    assert response.message in messages
    assert response.problem_code == ("upstream-timeout" if attempts == 1 else "upstream-unavailable")
    assert proxy.connections == attempts


def test_proxy_refuses_the_connection(start):
    function = start(DDM_ENDPOINT="https://ddm.example.com", HTTPS_PROXY=f"http://127.0.0.1:{free_port()}")
    assert function.send_event().message == REJECTED


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_loopback_endpoint_uses_no_proxy(start, name):
    with FaultServer([PASS]) as ddm, FaultServer([[wait_for_close]], before_request=True) as proxy:
        response = start(DDM_ENDPOINT=ddm.url, **{name: f"http://127.0.0.1:{proxy.port}"}).send_event()
    assert response.verdict == "PASS"
    assert proxy.connections == 0


def test_no_proxy(start_with_proxy):
    with FaultServer([[tunnel]], before_request=True) as proxy:
        response = start_with_proxy(f"http://127.0.0.1:{proxy.port}", NO_PROXY="localhost").send_event()
    assert response.verdict == "PASS"
    assert proxy.connections == 0
