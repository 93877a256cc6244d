"""The served function: concurrent requests, malformed requests, the limits of its server, and its end."""

import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import gunicorn.config
import pytest
import requests
from helpers.function import EVENT, ServedFunction, serve_function

from ddm_precheck.framework_hooks import limit_request_line
from testing.fake_behaviours import FakeResponse
from testing.fake_ddm import FakeDDM

pytestmark = pytest.mark.no_mutation

BODY = json.dumps(EVENT).encode()
HEAD = b"POST / HTTP/1.1\r\nHost: function\r\n"
CHUNKED_HEAD = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
CHUNK_OF_64_KIB = b"10000\r\n" + b" " * 65536 + b"\r\n"


def post_event(function: ServedFunction, db_name: str = "pass") -> requests.Response:
    return requests.post(function.url, json=EVENT | {"db_name": db_name}, timeout=60)


def post_concurrently(function: ServedFunction, number: int, db_name: str) -> list[requests.Response]:
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda _: post_event(function, db_name), range(number)))


def wait_for_entries(function: ServedFunction, number: int) -> list[dict[str, Any]]:
    """Wait for this number of log entries, and return them. Fails if a line of the output is not a JSON object."""
    return [json.loads(line) for line in function.wait_for_log_lines(number)]


@pytest.fixture(scope="module")
def two_threads(fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFunction]:
    environment = {"DDM_ENDPOINT": fake_ddm_server.url, "THREADS": "2"}
    with serve_function(environment, tmp_path_factory.mktemp("two-threads")) as function:
        yield function


def test_running_request_gets_its_response_after_sigterm(fake_ddm: FakeDDM, tmp_path):
    body = {"job_id": EVENT["job_id"], "pre_check_results": []}
    fake_ddm.behaviours["long"] = lambda _: FakeResponse(200, body, delay=1)
    with serve_function({"DDM_ENDPOINT": fake_ddm.url}, tmp_path) as function, ThreadPoolExecutor(1) as pool:
        running = pool.submit(post_event, function, "long")
        while not fake_ddm.requests:
            time.sleep(0.01)
        function.server.process.send_signal(signal.SIGTERM)
        assert running.result().json()["verdict"] == "PENDING"
        assert function.server.process.wait(10) == 0
        assert [entry["verdict"] for entry in wait_for_entries(function, 1)] == ["PENDING"]


@pytest.mark.parametrize("execution_id", ["", "true"], ids=["default log", "LOG_EXECUTION_ID"])
def test_64_concurrent_requests(fake_ddm: FakeDDM, tmp_path, execution_id):
    """Each gets its verdict and one log entry. The next 64 reuse the connections to DDM."""
    environment = {"DDM_ENDPOINT": fake_ddm.url, "THREADS": "64", "LOG_EXECUTION_ID": execution_id}
    before = fake_ddm.connections
    with serve_function(environment, tmp_path) as function:
        for _ in range(2):
            responses = post_concurrently(function, 64, "slow")
            assert [response.json()["verdict"] for response in responses] == ["PASS"] * 64
        entries = wait_for_entries(function, 128)
    assert len(entries) == 128
    assert fake_ddm.connections - before <= 64
    labels = {str(entry.get("logging.googleapis.com/labels")) for entry in entries}
    assert len(labels) == (128 if execution_id else 1)


def send_endless_chunks(sock: socket.socket) -> None:
    sock.sendall(CHUNKED_HEAD)
    while True:
        sock.sendall(CHUNK_OF_64_KIB)


def close_writing_side(sock: socket.socket) -> None:
    sock.sendall(HEAD + b"Content-Length: 500\r\n\r\n" + BODY[:50])
    sock.shutdown(socket.SHUT_WR)


def close_in_the_body(sock: socket.socket) -> None:
    sock.sendall(HEAD + b"Content-Length: 500\r\n\r\n" + BODY[:50])
    sock.close()


def send(data: bytes) -> Callable[[socket.socket], None]:
    return lambda sock: sock.sendall(data)


@pytest.mark.parametrize(
    ("action", "status", "codes"),
    [
        (send_endless_chunks, b"413", ["event-too-large"]),
        (close_writing_side, b"400", ["invalid-event"]),
        (close_in_the_body, b"", ["invalid-event"]),
        (send(CHUNKED_HEAD + b"zz\r\n{}\r\n0\r\n\r\n"), b"400", ["invalid-event"]),
        (send(HEAD), b"", []),
        (lambda _: None, b"", []),
    ],
    ids=[
        *("endless chunks", "writing side closed", "closed in the body", "invalid chunk size"),
        *("incomplete head", "nothing sent"),
    ],
)
def test_malformed_requests_from_20_callers(two_threads: ServedFunction, action, status, codes):
    """Each gets an error and one log entry. The function then serves the next request."""

    def exchange(_: int) -> bytes:
        with socket.create_connection(("127.0.0.1", two_threads.port), timeout=20) as sock:
            with suppress(OSError):
                action(sock)
            with suppress(OSError):
                sock.settimeout(20 if status else 0.2)
                return sock.recv(1000).partition(b" ")[2][:3]
            return b""

    two_threads.new_log_lines()
    with ThreadPoolExecutor(20) as pool:
        statuses = set(pool.map(exchange, range(20)))
    assert post_event(two_threads).json()["verdict"] == "PASS"
    assert statuses == {status}
    entries = wait_for_entries(two_threads, 20 * len(codes) + 1)
    assert sorted(entry["code"] or "" for entry in entries) == sorted(["", *codes * 20])


def test_long_request_line_is_rejected(two_threads: ServedFunction):
    """Without this limit, a long line could fill the memory."""
    with socket.create_connection(("127.0.0.1", two_threads.port), timeout=20) as sock:
        sock.sendall(b"POST /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n")
        assert sock.recv(1000).startswith(b"HTTP/1.1 414 ")


def test_limit_of_the_request_line_cannot_be_turned_off(monkeypatch):
    """functions-framework turns it off when it starts gunicorn."""
    option = gunicorn.config.LimitRequestLine
    monkeypatch.setattr(option, "validator", option.validator)
    limit_request_line()
    config = gunicorn.config.Config()
    config.set("limit_request_line", 0)
    assert config.limit_request_line == option.default == 4094
