"""Waiting: with `wait_seconds`, the function polls DDM until there is a verdict or the wait is over.

Most tests use a clock that advances only while the function sleeps.
"""

import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MethodType, SimpleNamespace

import pytest
import requests
from helpers.envelopes import DELIVERIES
from helpers.function import EVENT, ROOT, FunctionResponse, ServedFunction, serve_function

from ddm_precheck import app
from testing.fake_behaviours import FakeResponse, ReceivedRequest, after, check, error, results
from testing.fake_ddm import FakeDDM

LONG = {"wait_seconds": 3600}


@contextmanager
def serve_with_poll(seconds: float, fake_ddm: FakeDDM, folder: Path, **variables: str) -> Iterator[ServedFunction]:
    """Serve the function with another time between two polls."""
    source = f"""
import importlib.util, sys
sys.path.insert(0, {str(ROOT)!r})
from ddm_precheck import app
app._POLL_SECONDS = {seconds}
spec = importlib.util.spec_from_file_location("function_main", {str(ROOT / "main.py")!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
precheck = module.precheck
"""
    (folder / "main.py").write_text(source)
    environment = {"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4", "DDM_MAX_WAIT_SECONDS": "3600"}
    with serve_function(environment | variables, folder, folder) as function:
        yield function


class Clock:
    """A clock that advances only while the function sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(app, "monotonic", lambda: clock.now)
    monkeypatch.setattr(app, "sleep", clock.sleep)
    return clock


def poll_times(fake_ddm: FakeDDM, clock: Clock, seconds: float = 0) -> list[float]:
    """Return the list of the times of the polls. DDM responds after some seconds, without a check."""
    times = []

    def pending(request: ReceivedRequest) -> FakeResponse:
        times.append(clock.now)
        clock.now += seconds
        return results()(request)

    fake_ddm.behaviours["polled"] = pending
    return times


@pytest.mark.parametrize(
    ("wait_seconds", "expected"),
    [
        (0, [0]),
        (1, [0, 1]),
        (3, [0, 3]),
        (5, [0, 5]),
        (9, [0, 5, 9]),
        (12, [0, 5, 10, 12]),
        (40, list(range(0, 41, 5))),
        (3600, list(range(0, 41, 5))),
    ],
)
def test_times_of_the_polls(start, fake_ddm: FakeDDM, clock, wait_seconds, expected):
    times = poll_times(fake_ddm, clock)
    response = start().send_event("polled", wait_seconds=wait_seconds)
    assert response.verdict == "PENDING"
    assert response.headers["Retry-After"] == "10"
    assert response.log_entry["severity"] == "INFO"
    assert times == pytest.approx(expected)


@pytest.mark.parametrize(
    ("maximum", "wait_seconds", "polls"),
    [("0", 3600, 1), ("4.5", 3600, 2), ("11", 3600, 4), ("3600", 7, 3), ("", 3600, 9), ("3600", 3600, 721)],
)
def test_maximum_wait(start, fake_ddm: FakeDDM, clock, maximum, wait_seconds, polls):
    start(DDM_MAX_WAIT_SECONDS=maximum).send_event("pending", wait_seconds=wait_seconds)
    assert len(fake_ddm.requests) == polls


def test_time_of_a_response_is_part_of_the_wait(start, fake_ddm: FakeDDM, clock):
    times = poll_times(fake_ddm, clock, seconds=8)
    start().send_event("polled", wait_seconds=30)
    assert times == pytest.approx([0, 13, 26])


def test_wait_ends_with_the_verdict(start, fake_ddm: FakeDDM, clock):
    function = start()
    summary = function.send_event("pending_twice", wait_seconds=40).summary
    later = function.send_event("pending_twice").summary
    assert clock.now == 10
    for each in (summary, later):
        each["report"] = each["report"].replace(each.pop("checked_at"), "")
        del each["upstream"]["request_id"]
    assert summary == later


@pytest.mark.parametrize(
    ("behaviour", "fields", "verdict"),
    [
        (results(check("a", "WARN")), {}, "WARN"),
        (results(check("a"), check("b", "FAILED")), {"expected_checks": 8}, "FAIL"),
        (results(*map(check, "abc")), {"expected_checks": 3}, "PASS"),
    ],
)
def test_each_other_verdict_ends_the_wait(start, fake_ddm: FakeDDM, clock, behaviour, fields, verdict):
    fake_ddm.behaviours["ends"] = after(1, results(), behaviour)
    assert start().send_event("ends", **fields, wait_seconds=40).verdict == verdict
    assert len(fake_ddm.requests) == 2


@pytest.mark.parametrize("status", [401, 429, 500])
@pytest.mark.parametrize("pending", [0, 1], ids=["first poll", "second poll"])
def test_each_problem_ends_the_wait(start, fake_ddm: FakeDDM, clock, status, pending):
    fake_ddm.behaviours["problem"] = after(pending, results(), error(status, "x", "x"))
    response = start().send_event("problem", wait_seconds=40)
    assert response.log_entry["upstream"]["status"] == status
    assert len(fake_ddm.requests) == pending + 1


@pytest.mark.parametrize("make_delivery", DELIVERIES.values(), ids=DELIVERIES)
def test_delivery_waits(start, fake_ddm: FakeDDM, clock, make_delivery):
    function = start()
    body, headers = make_delivery(EVENT | {"db_name": "pending", "wait_seconds": 3})
    assert function.send(body, headers=headers).problem_code == "pending"
    assert len(fake_ddm.requests) == 2
    body, headers = make_delivery(EVENT | {"db_name": "pending_twice", "wait_seconds": 40})
    assert function.send(body, headers=headers).verdict == "PASS"


def test_attempts_are_those_of_the_last_poll(start, fake_ddm: FakeDDM, clock):
    unavailable = error(503, "APIGW.0201", "Backend unavailable.")
    responses = [unavailable, results(), unavailable, unavailable, results(check("a"))]
    fake_ddm.behaviours["attempts"] = lambda request: responses[request.number - 1](request)
    response = start().send_event("attempts", wait_seconds=40)
    assert response.summary["upstream"]["attempts"] == response.log_entry["upstream"]["attempts"] == 3


def test_each_poll_has_its_own_timeout(start, fake_ddm: FakeDDM, clock):
    late = lambda request: FakeResponse(200, results()(request).body, delay=1.5)  # noqa: E731
    fake_ddm.behaviours["hangs"] = after(2, results(), late)
    response = start(DDM_TIMEOUT_SECONDS="0.5").send_event("hangs", wait_seconds=40)
    assert response.problem_code == "upstream-timeout"
    assert len(fake_ddm.requests) == 3


def test_wait_ends_when_gunicorn_s_worker_stops(start, fake_ddm: FakeDDM, clock, monkeypatch):
    worker = SimpleNamespace(alive=True)
    monkeypatch.setattr(signal, "getsignal", lambda _: MethodType(lambda *_: None, worker))

    def stop_at_the_second_poll(request: ReceivedRequest) -> FakeResponse:
        worker.alive = request.number < 2
        return results()(request)

    fake_ddm.behaviours["stops"] = stop_at_the_second_poll
    assert start().send_event("stops", wait_seconds=40).verdict == "PENDING"
    assert clock.now == 5


# Over sockets


@pytest.fixture(scope="module")
def served(fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFunction]:
    with serve_with_poll(0.2, fake_ddm_server, tmp_path_factory.mktemp("short"), THREADS="64") as function:
        yield function


@pytest.mark.no_mutation
def test_64_requests_wait_at_once(served: ServedFunction, fake_ddm: FakeDDM):
    """No job ends before DDM has received 60. On a busy machine, gunicorn may start the last threads late."""
    jobs = {f"job-{number}" for number in range(64)}
    seen = set()

    def done_after_most(request: ReceivedRequest) -> FakeResponse:
        seen.add(request.job_id)
        return results(*([check(request.job_id)] if len(seen) >= 60 else []))(request)

    fake_ddm.behaviours["crowd"] = done_after_most
    served.new_log_lines()
    event = EVENT | {"db_name": "crowd", "wait_seconds": 60}
    with ThreadPoolExecutor(64) as pool:
        responses = pool.map(lambda job: requests.post(served.url, json=event | {"job_id": job}, timeout=90), jobs)
    assert {response.json()["checks"][0]["name"] for response in responses} == jobs
    assert len(served.wait_for_log_lines(64)) == 64


@pytest.mark.no_mutation
def test_wait_goes_on_if_the_caller_closes_the_connection(served: ServedFunction, fake_ddm: FakeDDM):
    served.new_log_lines()
    body = json.dumps(EVENT | {"db_name": "pending_twice", "wait_seconds": 60}).encode()
    with socket.create_connection(("127.0.0.1", served.port)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: function\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        while not fake_ddm.requests:
            time.sleep(0.01)
    (line,) = served.wait_for_log_lines(1)
    assert json.loads(line)["verdict"] == "PASS"
    assert served.send_event().status == 200


@pytest.mark.no_mutation
def test_sigterm_ends_the_wait(fake_ddm: FakeDDM, tmp_path: Path):
    with serve_with_poll(3600, fake_ddm, tmp_path) as function, ThreadPoolExecutor(1) as pool:
        event = EVENT | {"db_name": "pending"} | LONG
        running = pool.submit(requests.post, function.url, json=event, timeout=60)
        while not fake_ddm.requests:
            time.sleep(0.01)
        function.server.process.send_signal(signal.SIGTERM)
        received = running.result()
        assert function.server.process.wait(30) == 0
        response = FunctionResponse(received.status_code, received.headers, received.text, function.new_log_lines())
    assert response.validate().verdict == "PENDING"
