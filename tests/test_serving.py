"""Many callers, impatient callers, broken callers, and the end: over real sockets."""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import requests
from helpers.fault_server import FaultServer, wait_for_close
from helpers.function import EVENT, ServedFunction, serve_function

from deploy.fake_ddm import FakeDDM, FakeResponse, ReceivedRequest

BODY = json.dumps(EVENT).encode()
POST = b"POST / HTTP/1.1\r\nHost: function\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
BRACKETS = b"[" * 100_000


def call(function: ServedFunction, db_name: str = "pass") -> requests.Response:
    """Send the event for a schema of the stand-in's."""
    return requests.post(function.url, json=EVENT | {"db_name": db_name}, timeout=60)


def call_at_once(function: ServedFunction, callers: int, db_name: str) -> list[requests.Response]:
    """Let so many callers ask at the same time."""
    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(lambda _: call(function, db_name), range(callers)))


def lines(function: ServedFunction) -> list[dict]:
    """Return the lines logged since the last call; everything that the process says is a JSON object."""
    return [json.loads(line) for line in function.new_log_lines()]


@pytest.fixture(scope="module")
def few(fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFunction]:
    """A served function with two threads."""
    environment = {"DDM_ENDPOINT": fake_ddm_server.url, "THREADS": "2"}
    with serve_function(environment, tmp_path_factory.mktemp("few")) as function:
        yield function


def test_termination_lets_a_running_invocation_finish(fake_ddm: FakeDDM, tmp_path):
    """SIGTERM ends the process with status 0, once the caller has the verdict and the line is written."""
    fake_ddm.behaviours["long"] = lambda _: FakeResponse(200, {"pre_check_results": []}, delay=1)
    with serve_function({"DDM_ENDPOINT": fake_ddm.url}, tmp_path) as function, ThreadPoolExecutor(1) as pool:
        running = pool.submit(call, function, "long")
        while not fake_ddm.requests:
            time.sleep(0.01)
        function.process.send_signal(signal.SIGTERM)
        assert running.result().json()["verdict"] == "PENDING"
        assert function.process.wait(10) == 0
        assert [line["verdict"] for line in lines(function)] == ["PENDING"]


def test_callers_beyond_the_threads_queue(few: ServedFunction, fake_ddm: FakeDDM):
    """More callers than threads are all served, never more at once than there are threads."""
    running, most, lock = 0, 0, threading.Lock()

    def count(call: ReceivedRequest) -> FakeResponse:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.1)
        with lock:
            running -= 1
        return FakeResponse(200, {"job_id": call.job_id, "pre_check_results": []})

    fake_ddm.behaviours["counted"] = count
    few.new_log_lines()
    responses = call_at_once(few, 12, "counted")
    assert [response.json()["verdict"] for response in responses] == ["PENDING"] * 12
    assert most == 2
    assert len(lines(few)) == 12


def test_hanging_upstream_holds_no_longer_than_the_deadline(tmp_path):
    """Where DDM says nothing, each invocation ends in its time, and the next ones get their turn."""
    with FaultServer([[wait_for_close]]) as server:
        environment = {"DDM_ENDPOINT": server.url, "DDM_TIMEOUT_SECONDS": "0.5", "THREADS": "2"}
        with serve_function(environment, tmp_path) as function:
            responses = call_at_once(function, 6, "pass")
            logged = lines(function)
    assert [response.json()["code"] for response in responses] == ["upstream-timeout"] * 6
    assert [line["code"] for line in logged] == ["upstream-timeout"] * 6
    assert all(500 <= line["duration_ms"] < 1500 for line in logged)


@pytest.mark.parametrize("execution_id", ["", "true"], ids=["", "LOG_EXECUTION_ID"])
def test_many_callers_at_once(fake_ddm: FakeDDM, tmp_path, execution_id):
    """64 callers get 64 right responses and one line each, over connections that the next 64 use again."""
    environment = {"DDM_ENDPOINT": fake_ddm.url, "THREADS": "64", "LOG_EXECUTION_ID": execution_id}
    before = fake_ddm.connections
    with serve_function(environment, tmp_path) as function:
        for _ in range(2):
            responses = call_at_once(function, 64, "slow")
            assert [response.json()["message"] for response in responses] == ["2 of 2 checks passed"] * 64
        logged = lines(function)
    assert [line["severity"] for line in logged] == ["INFO"] * 128
    assert fake_ddm.connections - before <= 64
    labels = {str(line.get("logging.googleapis.com/labels")) for line in logged}
    assert len(labels) == (128 if execution_id else 1)


def endless_chunks(sock: socket.socket) -> None:
    """Send chunks until nobody wants more."""
    sock.sendall(CHUNKED)
    while True:
        sock.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")


def too_many_chunks(sock: socket.socket) -> None:
    """Send a few chunks more than an event may have."""
    sock.sendall(CHUNKED + (b"10000\r\n" + b" " * 65536 + b"\r\n") * 5 + b"0\r\n\r\n")


def half_closed(sock: socket.socket) -> None:
    """Say that the body is longer than it is, and that nothing more comes."""
    sock.sendall(POST + b"Content-Length: 500\r\n\r\n" + BODY[:50])
    sock.shutdown(socket.SHUT_WR)


def gone(sock: socket.socket) -> None:
    """Go in the middle of the body."""
    sock.sendall(POST + b"Content-Length: 500\r\n\r\n" + BODY[:50])
    sock.close()


def gone_in_a_chunk(sock: socket.socket) -> None:
    """Go in the middle of a chunk."""
    sock.sendall(CHUNKED + b"50\r\n" + BODY[:50])
    sock.close()


@pytest.mark.parametrize(
    ("do", "statuses", "codes"),
    [
        (endless_chunks, {b"413"}, ["event-too-large"]),
        (too_many_chunks, {b"413"}, ["event-too-large"]),
        (half_closed, {b"400"}, ["invalid-event"]),
        (gone, {b""}, ["invalid-event"]),
        (gone_in_a_chunk, {b""}, ["invalid-event"]),
        (lambda sock: sock.sendall(CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"), {b"400"}, ["invalid-event"]),
        (lambda sock: sock.sendall(CHUNKED + b"2\r\n{}abc0\r\n\r\n"), {b"400"}, ["invalid-event"]),
        (lambda sock: sock.sendall(CHUNKED + b"2\r\n{}\r\n0\r\nno trailer\r\n\r\n"), {b"400"}, ["invalid-event"]),
        (lambda sock: sock.sendall(CHUNKED + b"2;x=y\r\n{}\r\n0\r\n\r\n"), {b"400"}, ["invalid-event"]),
        (lambda sock: sock.sendall(POST + b"Content-Length: 100000\r\n\r\n" + BRACKETS), {b"400"}, ["invalid-event"]),
        (lambda sock: sock.sendall(POST + b"Content-Length: -1\r\n\r\n"), {b"400"}, []),
        (lambda sock: sock.sendall(b"\x16\x03\x01" + bytes(500) + b"\r\n\r\n"), {b"400"}, []),
        (lambda sock: sock.sendall(POST), {b""}, []),
        (lambda sock: None, {b""}, []),
    ],
    ids=[
        *("endless chunks", "too many chunks", "half closed", "gone", "gone in a chunk", "bad chunk size"),
        *(
            "chunk too long",
            "bad trailer",
            "chunk extension",
            "brackets",
            "bad length",
            "TLS",
            "half a head",
            "nothing",
        ),
    ],
)
@pytest.mark.parametrize("callers", [1, 20])
def test_broken_callers(few: ServedFunction, do, statuses, codes, callers):
    """Callers that break off or send garbage are refused, one line each, and the function lives on."""

    def break_it(_: int) -> bytes:
        with socket.create_connection(("127.0.0.1", int(few.url.split(":")[2].strip("/"))), timeout=20) as sock:
            with suppress(OSError):
                do(sock)
            with suppress(OSError):
                sock.settimeout(0.2 if statuses == {b""} else 20)
                return sock.recv(1000).partition(b" ")[2][:3]
            return b""

    few.new_log_lines()
    with ThreadPoolExecutor(callers) as pool:
        found = list(pool.map(break_it, range(callers)))
    assert call(few).json()["verdict"] == "PASS"
    assert set(found) == statuses
    logged = [json.loads(line)["code"] for line in few.wait_for_log_lines(1 + len(codes) * callers)]
    assert sorted(logged, key=str) == sorted([None, *codes * callers], key=str)
