"""Faults between the function and DDM, made for real: each ends in time, as the right problem, and leaves nothing."""

import gzip
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from helpers.fault_server import (
    PASS_BODY,
    FaultServer,
    chunk,
    complete_response,
    pause,
    reset,
    response_head,
    send,
    send_endlessly,
    send_slowly,
    wait_for_close,
)
from helpers.function import TOKEN, Function, FunctionResponse

MIB = 1024 * 1024
CHUNKED = response_head(Transfer_Encoding="chunked")
ZIPPED = {"Content_Encoding": "gzip", "Connection": "close"}
GOOD = gzip.compress(PASS_BODY)
CORRUPT = GOOD[:-8] + bytes(4) + GOOD[-4:]
NO_MEMBER = gzip.compress(b"")
NO_BLOCK = b"\0\0\0\xff\xff"  # deflate's: stored, of length 0, not the last one


def bomb(mib: int) -> bytes:
    """Return a small gzip stream of that many MiB of zeros."""
    stream = zlib.compressobj(9, wbits=31)
    return b"".join([*(stream.compress(bytes(MIB)) for _ in range(mib)), stream.flush()])


BOMB = bomb(200)

TIMEOUTS = {
    "silence": [wait_for_close],
    "dripping status line": [send_slowly(complete_response())],
    "dripping headers": [send(b"HTTP/1.1 200 OK\r\n"), send_slowly(b"X-Header: value\r\n" * 90)],
    "dripping body": [send(response_head(Content_Length=1000)), send_slowly(b" " * 1000)],
    "dripping body without an end": [send(response_head()), send_slowly(b" " * 1000)],
    "dripping chunks": [send(CHUNKED), send_slowly(chunk(b" ") * 1000)],
    "dripping trailers": [send(CHUNKED + b"0\r\n"), send_slowly(b"X-Trailer: value\r\n" * 90)],
    "dripping interim answers": [send_slowly(response_head("103 Early Hints") * 90)],
    "silence in the headers": [send(response_head()[:-2]), wait_for_close],
    "silence in the body": [send(complete_response()[:-2]), wait_for_close],
    "silence in a chunk": [send(CHUNKED + chunk(PASS_BODY)[:-9]), wait_for_close],
    "silence before the last chunk": [send(CHUNKED + chunk(PASS_BODY)), wait_for_close],
    "endless interim answers": [send_endlessly(response_head("100 Continue") * 100)],
    "endless early hints": [send_endlessly(response_head("103 Early Hints", Link="x") * 100)],
    "endless trailers": [send(CHUNKED + b"0\r\n"), send_endlessly(b"X-Trailer: value\r\n" * 1000)],
    "endless gzip of nothing": [send(response_head(**ZIPPED) + GOOD[:10]), send_endlessly(NO_BLOCK * 10000)],
}
LOST = {
    "hangs up": [],
    "reset before the answer": [reset],
    "reset in the status line": [send(b"HTTP/1.1 2"), pause(0.05), reset],
    "reset in the headers": [send(response_head()[:-2]), pause(0.05), reset],
    "reset in the body": [send(complete_response()[:-2]), pause(0.05), reset],
    "end in the status line": [send(b"HTTP/1.1 2")],
    "end after the status line": [send(b"HTTP/1.1 403 Forbidden\r\n")],
    "end in the headers": [send(b"HTTP/1.1 403 Forbidden\r\nContent-Ty")],
    "end before the body": [send(response_head(Content_Length=9))],
    "end in the body": [send(complete_response()[:-2])],
    "end before a chunk": [send(CHUNKED)],
    "end in a chunk": [send(CHUNKED + chunk(PASS_BODY)[:-9])],
    "end before the last chunk": [send(CHUNKED + chunk(PASS_BODY))],
    "end after an interim answer": [send(response_head("103 Early Hints"))],
    "chunk size that is none": [send(CHUNKED + b"zz\r\n" + PASS_BODY)],
    "chunk of minus five": [send(CHUNKED + b"-5\r\n" + PASS_BODY)],
    "chunk of minus one without an end": [send(CHUNKED + b"-1\r\n"), send_endlessly(bytes(65536))],
    "two lengths": [send(response_head(Content_Length="2, 3") + b"{}")],
    "endless header": [send(b"HTTP/1.1 200 OK\r\nX: "), send_endlessly(b"x" * 65536)],
    "endless headers": [send(b"HTTP/1.1 200 OK\r\n"), send_endlessly(b"X-Header: value\r\n" * 1000)],
    "endless status line": [send_endlessly(b"H" * 65536)],
    "endless chunk extension": [send(CHUNKED + b"1;x="), send_endlessly(b"x" * 65536)],
    "not HTTP": [send(TOKEN.encode() * 100)],
    "only a body": [send(PASS_BODY)],
    "TLS to a plain client": [send(b"\x15\x03\x03\x00\x02\x02\x28")],
    "HTTP of another age": [send(b"HTTP/2.0 200 OK\r\n\r\n" + PASS_BODY)],
    "status that is no number": [send(b"HTTP/1.1 OK\r\n\r\n" + PASS_BODY)],
    "status of four digits": [send(b"HTTP/1.1 2000 OK\r\n\r\n" + PASS_BODY)],
    "negative status": [send(b"HTTP/1.1 -200 OK\r\n\r\n" + PASS_BODY)],
}
DOUBTS = {
    "bad gzip": [send(complete_response(PASS_BODY, **ZIPPED))],
    "gzip with a wrong checksum": [send(complete_response(CORRUPT, **ZIPPED))],
    "gzip cut short": [send(complete_response(GOOD[:-2], **ZIPPED))],
    "gzip with more behind it": [send(complete_response(GOOD + b"x", **ZIPPED))],
    "gzip of 200 MiB": [send(complete_response(BOMB, **ZIPPED))],
    "gzip of gzip": [send(complete_response(gzip.compress(BOMB), Content_Encoding="gzip, gzip", Connection="close"))],
    "gzip in 200,000 empty pieces": [send(complete_response(NO_MEMBER * 200_000, **ZIPPED))],
    "a coding nobody asked for": [send(complete_response(zlib.compress(PASS_BODY), Content_Encoding="deflate"))],
    "endless body": [send(response_head()), send_endlessly(b" " * 65536)],
    "endless chunks": [send(CHUNKED), send_endlessly(chunk(b" " * 65536))],
    "body of 5 MiB": [send(complete_response(PASS_BODY + b" " * 5 * MIB))],
    "status 101": [send(response_head("101 Switching Protocols", Connection="close"))],
    "empty answer": [send(response_head("204 No Content", Connection="close"))],
    "partial content": [send(complete_response(status="206 Partial Content", Connection="close"))],
    "status 999": [send(complete_response(status="999 Odd", Connection="close"))],
}
FAULTS = [
    *((script, 0.3, "upstream-timeout", 504, 1) for script in TIMEOUTS.values()),
    *((script, 10, "upstream-unavailable", 502, 3) for script in LOST.values()),
    *((script, 10, "upstream-contract", 502, 1) for script in DOUBTS.values()),
]
MESSAGES = {
    "upstream-timeout": "DDM took too long: 127.0.0.1 did not answer in time",
    "upstream-unavailable": "DDM is not available: the connection to 127.0.0.1 was lost",
}


def open_files() -> int:
    """Count what this process has open, sockets included."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(("script", "seconds", "code", "status", "calls"), FAULTS, ids=[*TIMEOUTS, *LOST, *DOUBTS])
def test_fault(start, monkeypatch, script, seconds, code, status, calls):
    """A fault ends in time and memory as its problem, after as many calls as it deserves, and leaves nothing open."""
    monkeypatch.setattr("ddm_precheck.ddm._FIRST_PAUSE_SECONDS", 0.01)
    before = open_files(), threading.active_count()
    with FaultServer([script]) as server:
        response, elapsed, memory = ask_measured(start(DDM_ENDPOINT=server.url, DDM_TIMEOUT_SECONDS=str(seconds)))
    after = open_files(), threading.active_count()
    assert (response.problem_code, response.status) == (code, status)
    assert (server.connections, len(server.requests), response.log_entry["upstream"]["attempts"]) == (
        calls,
        calls,
        calls,
    )
    if code in MESSAGES:
        assert response.body["message"] == MESSAGES[code]
    assert elapsed < seconds + 1 if code == "upstream-timeout" else elapsed < 3
    assert memory < 24 * MIB
    assert after[0] <= before[0]
    assert after[1] <= before[1]


def ask_measured(function: Function) -> tuple[FunctionResponse, float, int]:
    """Ask, and return the response, and the seconds and the bytes that it took."""
    tracemalloc.start()
    started = time.monotonic()
    response = function.send_event()
    elapsed = time.monotonic() - started
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return response, elapsed, memory
