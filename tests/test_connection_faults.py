"""Faults between the function and DDM, made for real: each ends in time, as the right problem, and leaves nothing."""

import gzip
import threading
import time
import tracemalloc
import zlib
from pathlib import Path

import pytest
from conftest import TOKEN, Answer, Function
from helpers.fault_server import (
    LAST_GOOD,
    Peer,
    chunk,
    drip,
    endless,
    head,
    pause,
    reset,
    send,
    silence,
    whole,
)

MIB = 1024 * 1024
CHUNKED = head(Transfer_Encoding="chunked")
ZIPPED = {"Content_Encoding": "gzip", "Connection": "close"}
GOOD = gzip.compress(LAST_GOOD)
CORRUPT = GOOD[:-8] + bytes(4) + GOOD[-4:]
NO_MEMBER = gzip.compress(b"")
NO_BLOCK = b"\0\0\0\xff\xff"  # deflate's: stored, of length 0, not the last one


def bomb(mib: int) -> bytes:
    """Return a small gzip stream of that many MiB of zeros."""
    stream = zlib.compressobj(9, wbits=31)
    return b"".join([*(stream.compress(bytes(MIB)) for _ in range(mib)), stream.flush()])


BOMB = bomb(200)

TIMEOUTS = {
    "silence": [silence],
    "dripping status line": [drip(whole())],
    "dripping headers": [send(b"HTTP/1.1 200 OK\r\n"), drip(b"X-Header: value\r\n" * 90)],
    "dripping body": [send(head(Content_Length=1000)), drip(b" " * 1000)],
    "dripping body without an end": [send(head()), drip(b" " * 1000)],
    "dripping chunks": [send(CHUNKED), drip(chunk(b" ") * 1000)],
    "dripping trailers": [send(CHUNKED + b"0\r\n"), drip(b"X-Trailer: value\r\n" * 90)],
    "dripping interim answers": [drip(head("103 Early Hints") * 90)],
    "silence in the headers": [send(head()[:-2]), silence],
    "silence in the body": [send(whole()[:-2]), silence],
    "silence in a chunk": [send(CHUNKED + chunk(LAST_GOOD)[:-9]), silence],
    "silence before the last chunk": [send(CHUNKED + chunk(LAST_GOOD)), silence],
    "endless interim answers": [endless(head("100 Continue") * 100)],
    "endless early hints": [endless(head("103 Early Hints", Link="x") * 100)],
    "endless trailers": [send(CHUNKED + b"0\r\n"), endless(b"X-Trailer: value\r\n" * 1000)],
    "endless gzip of nothing": [send(head(**ZIPPED) + GOOD[:10]), endless(NO_BLOCK * 10000)],
}
LOST = {
    "hangs up": [],
    "reset before the answer": [reset],
    "reset in the status line": [send(b"HTTP/1.1 2"), pause(0.05), reset],
    "reset in the headers": [send(head()[:-2]), pause(0.05), reset],
    "reset in the body": [send(whole()[:-2]), pause(0.05), reset],
    "end in the status line": [send(b"HTTP/1.1 2")],
    "end after the status line": [send(b"HTTP/1.1 403 Forbidden\r\n")],
    "end in the headers": [send(b"HTTP/1.1 403 Forbidden\r\nContent-Ty")],
    "end before the body": [send(head(Content_Length=9))],
    "end in the body": [send(whole()[:-2])],
    "end before a chunk": [send(CHUNKED)],
    "end in a chunk": [send(CHUNKED + chunk(LAST_GOOD)[:-9])],
    "end before the last chunk": [send(CHUNKED + chunk(LAST_GOOD))],
    "end after an interim answer": [send(head("103 Early Hints"))],
    "chunk size that is none": [send(CHUNKED + b"zz\r\n" + LAST_GOOD)],
    "chunk of minus five": [send(CHUNKED + b"-5\r\n" + LAST_GOOD)],
    "chunk of minus one without an end": [send(CHUNKED + b"-1\r\n"), endless(bytes(65536))],
    "two lengths": [send(head(Content_Length="2, 3") + b"{}")],
    "endless header": [send(b"HTTP/1.1 200 OK\r\nX: "), endless(b"x" * 65536)],
    "endless headers": [send(b"HTTP/1.1 200 OK\r\n"), endless(b"X-Header: value\r\n" * 1000)],
    "endless status line": [endless(b"H" * 65536)],
    "endless chunk extension": [send(CHUNKED + b"1;x="), endless(b"x" * 65536)],
    "not HTTP": [send(TOKEN.encode() * 100)],
    "only a body": [send(LAST_GOOD)],
    "TLS to a plain client": [send(b"\x15\x03\x03\x00\x02\x02\x28")],
    "HTTP of another age": [send(b"HTTP/2.0 200 OK\r\n\r\n" + LAST_GOOD)],
    "status that is no number": [send(b"HTTP/1.1 OK\r\n\r\n" + LAST_GOOD)],
    "status of four digits": [send(b"HTTP/1.1 2000 OK\r\n\r\n" + LAST_GOOD)],
    "negative status": [send(b"HTTP/1.1 -200 OK\r\n\r\n" + LAST_GOOD)],
}
DOUBTS = {
    "bad gzip": [send(whole(LAST_GOOD, **ZIPPED))],
    "gzip with a wrong checksum": [send(whole(CORRUPT, **ZIPPED))],
    "gzip cut short": [send(whole(GOOD[:-2], **ZIPPED))],
    "gzip with more behind it": [send(whole(GOOD + b"x", **ZIPPED))],
    "gzip of 200 MiB": [send(whole(BOMB, **ZIPPED))],
    "gzip of gzip": [send(whole(gzip.compress(BOMB), Content_Encoding="gzip, gzip", Connection="close"))],
    "gzip in 200,000 empty pieces": [send(whole(NO_MEMBER * 200_000, **ZIPPED))],
    "a coding nobody asked for": [send(whole(zlib.compress(LAST_GOOD), Content_Encoding="deflate"))],
    "endless body": [send(head()), endless(b" " * 65536)],
    "endless chunks": [send(CHUNKED), endless(chunk(b" " * 65536))],
    "body of 5 MiB": [send(whole(LAST_GOOD + b" " * 5 * MIB))],
    "status 101": [send(head("101 Switching Protocols", Connection="close"))],
    "empty answer": [send(head("204 No Content", Connection="close"))],
    "partial content": [send(whole(status="206 Partial Content", Connection="close"))],
    "status 999": [send(whole(status="999 Odd", Connection="close"))],
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
    with Peer([script]) as peer:
        answer, elapsed, memory = ask_measured(start(DDM_ENDPOINT=peer.url, DDM_TIMEOUT_SECONDS=str(seconds)))
    after = open_files(), threading.active_count()
    assert (answer.problem, answer.status) == (code, status)
    assert (peer.connections, len(peer.requests), answer.log["upstream"]["attempts"]) == (calls, calls, calls)
    if code in MESSAGES:
        assert answer.body["message"] == MESSAGES[code]
    assert elapsed < seconds + 1 if code == "upstream-timeout" else elapsed < 3
    assert memory < 24 * MIB
    assert after[0] <= before[0]
    assert after[1] <= before[1]


def ask_measured(function: Function) -> tuple[Answer, float, int]:
    """Ask, and return the answer, and the seconds and the bytes that it took."""
    tracemalloc.start()
    started = time.monotonic()
    answer = function.ask()
    elapsed = time.monotonic() - started
    memory = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return answer, elapsed, memory
