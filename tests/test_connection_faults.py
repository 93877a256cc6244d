"""Faults of the connection to DDM, on real sockets: each fault becomes a problem in time, and no socket stays open."""

import gzip
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from helpers.function import TOKEN, Function, FunctionResponse

from testing.fault_server import (
    CHUNKED_HEAD,
    GZIP_HEADERS,
    PASS_BODY,
    FaultServer,
    chunk,
    complete_response,
    gzip_of_zeros,
    pause,
    reset,
    response_head,
    send,
    send_endlessly,
    send_slowly,
    wait_for_close,
)

MIB = 1024 * 1024
GZIP_BODY = gzip.compress(PASS_BODY)
WRONG_CHECKSUM = GZIP_BODY[:-8] + bytes(4) + GZIP_BODY[-4:]
EMPTY_GZIP_MEMBER = gzip.compress(b"")
EMPTY_DEFLATE_BLOCK = b"\0\0\0\xff\xff"  # stored, of length 0, not the last block
GZIP_BOMB = gzip_of_zeros(200)

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
    "reset in the headers": [send(response_head()[:-2]), pause(0.05), reset],
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
    "endless chunk extension": [send(CHUNKED_HEAD + b"1;x="), send_endlessly(b"x" * 65536)],
    "not HTTP": [send(TOKEN.encode() * 100)],
    "body only": [send(PASS_BODY)],
    "TLS alert": [send(b"\x15\x03\x03\x00\x02\x02\x28")],
    "HTTP/2.0": [send(b"HTTP/2.0 200 OK\r\n\r\n" + PASS_BODY)],
    "status is not a number": [send(b"HTTP/1.1 OK\r\n\r\n" + PASS_BODY)],
    "status of four digits": [send(b"HTTP/1.1 2000 OK\r\n\r\n" + PASS_BODY)],
    "negative status": [send(b"HTTP/1.1 -200 OK\r\n\r\n" + PASS_BODY)],
}
"""Scripts that cause `upstream-unavailable`, after two retries."""

INVALID_RESPONSES = {
    "not gzip": [send(complete_response(PASS_BODY, **GZIP_HEADERS))],
    "gzip with a wrong checksum": [send(complete_response(WRONG_CHECKSUM, **GZIP_HEADERS))],
    "incomplete gzip": [send(complete_response(GZIP_BODY[:-2], **GZIP_HEADERS))],
    "gzip and further bytes": [send(complete_response(GZIP_BODY + b"x", **GZIP_HEADERS))],
    "gzip of 200 MiB": [send(complete_response(GZIP_BOMB, **GZIP_HEADERS))],
    "gzip of gzip": [
        send(complete_response(gzip.compress(GZIP_BOMB), Content_Encoding="gzip, gzip", Connection="close"))
    ],
    "200,000 empty gzip members": [send(complete_response(EMPTY_GZIP_MEMBER * 200_000, **GZIP_HEADERS))],
    "unsupported Content-Encoding": [send(complete_response(zlib.compress(PASS_BODY), Content_Encoding="deflate"))],
    "endless 100 Continue": [send_endlessly(response_head("100 Continue") * 100)],
    "endless 103 Early Hints": [send_endlessly(response_head("103 Early Hints", Link="x") * 100)],
    "endless trailers": [send(CHUNKED_HEAD + b"0\r\n"), send_endlessly(b"X-Trailer: value\r\n" * 1000)],
    "endless empty gzip": [
        send(response_head(**GZIP_HEADERS) + GZIP_BODY[:10]),
        send_endlessly(EMPTY_DEFLATE_BLOCK * 10000),
    ],
    "negative chunk size, endless": [send(CHUNKED_HEAD + b"-1\r\n"), send_endlessly(bytes(65536))],
    "endless header": [send(b"HTTP/1.1 200 OK\r\nX: "), send_endlessly(b"x" * 65536)],
    "endless headers": [send(b"HTTP/1.1 200 OK\r\n"), send_endlessly(b"X-Header: value\r\n" * 1000)],
    "endless status line": [send_endlessly(b"H" * 65536)],
    "endless body": [send(response_head()), send_endlessly(b" " * 65536)],
    "endless chunks": [send(CHUNKED_HEAD), send_endlessly(chunk(b" " * 65536))],
    "body of 5 MiB": [send(complete_response(PASS_BODY + b" " * 5 * MIB))],
    "status 101": [send(response_head("101 Switching Protocols", Connection="close"))],
    "status 204": [send(response_head("204 No Content", Connection="close"))],
    "status 206": [send(complete_response(status="206 Partial Content", Connection="close"))],
    "status 999": [send(complete_response(status="999 Odd", Connection="close"))],
}
"""Scripts that cause `upstream-contract`, without a retry."""

FAULTS = [
    *((script, 0.3, "upstream-timeout", 504, 1) for script in TIMEOUTS.values()),
    *((script, 10, "upstream-unavailable", 502, 3) for script in LOST_CONNECTIONS.values()),
    *((script, 10, "upstream-contract", 502, 1) for script in INVALID_RESPONSES.values()),
]
MESSAGES = {
    "upstream-timeout": "DDM took too long: 127.0.0.1 did not respond in time",
    "upstream-unavailable": "DDM is not available: the connection to 127.0.0.1 was lost",
}


def count_open_files() -> int:
    """Return the number of open files and sockets of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


def send_event_measured(function: Function) -> tuple[FunctionResponse, float, int]:
    """Send the event. Return the response, the seconds until the response, and the peak memory in bytes."""
    tracemalloc.start()
    started = time.monotonic()
    response = function.send_event()
    elapsed = time.monotonic() - started
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return response, elapsed, memory


@pytest.mark.parametrize(
    ("script", "timeout", "code", "status", "attempts"),
    FAULTS,
    ids=[*TIMEOUTS, *LOST_CONNECTIONS, *INVALID_RESPONSES],
)
def test_fault(start, monkeypatch, script, timeout, code, status, attempts):
    """A fault becomes its problem after this number of attempts, in time, and leaves no open file and no thread."""
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_PAUSE_SECONDS", 0.01)
    files, threads = count_open_files(), threading.active_count()
    with FaultServer([script]) as server:
        function = start(DDM_ENDPOINT=server.url, DDM_TIMEOUT_SECONDS=str(timeout))
        response, elapsed, memory = send_event_measured(function)
    assert (response.problem_code, response.status) == (code, status)
    assert (server.connections, len(server.requests)) == (attempts, attempts)
    assert response.log_entry["upstream"]["attempts"] == attempts
    if code in MESSAGES:
        assert response.body["message"] == MESSAGES[code]
    assert elapsed < timeout + 1 if code == "upstream-timeout" else elapsed < 3
    assert memory < 24 * MIB
    assert count_open_files() <= files
    assert threading.active_count() <= threads


def padded_heads(size: int, number: int) -> bytes:
    """Return heads with this number and this total size. All except the last are interim responses."""
    interim = response_head("102 Processing", X_Pad="") * (number - 1)
    final = response_head(Content_Length=len(PASS_BODY), X_Pad="")
    padding = size - len(interim) - len(final)
    share = padding // number
    interim = response_head("102 Processing", X_Pad="x" * share) * (number - 1)
    return interim + response_head(Content_Length=len(PASS_BODY), X_Pad="x" * (padding - share * (number - 1)))


@pytest.mark.parametrize("number", [1, 2, 20])
@pytest.mark.parametrize(("size", "code"), [(65_536, None), (65_537, "upstream-contract")], ids=["max", "max + 1"])
def test_size_of_the_head(start, size, code, number):
    """The head of a response and the interim responses before it have at most 64 KiB together."""
    heads = padded_heads(size, number)
    assert len(heads) == size
    with FaultServer([[send(heads + PASS_BODY), wait_for_close]]) as ddm:
        response = start(DDM_ENDPOINT=ddm.url).send_event()
    assert (response.body.get("code"), ddm.connections) == (code, 1)
    assert code is None or "the response is over the size limits" in response.body["message"]


@pytest.mark.parametrize(("number", "code"), [(99, None), (100, "upstream-contract")], ids=["max", "max + 1"])
def test_number_of_headers(start, number, code):
    """A head has at most 99 headers."""
    headers = {f"X-{index}": "" for index in range(number - 1)}
    with FaultServer([[send(complete_response(**headers)), wait_for_close]]) as ddm:
        response = start(DDM_ENDPOINT=ddm.url).send_event()
    assert (response.body.get("code"), ddm.connections) == (code, 1)
