"""Waiting: with `wait_seconds`, the function repeats the request to DDM until there is a verdict or the wait is over.

Most tests shorten the pause between two requests to DDM, which is 5 seconds.
"""

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MethodType, SimpleNamespace

import pytest
import requests
from helpers.envelopes import ATTRIBUTES, STRUCTURED_HEADERS, binary_headers, push_body
from helpers.function import EVENT, ROOT, Function, FunctionResponse, ServedFunction, serve_function
from helpers.sink import Sink

from ddm_precheck import waiting
from ddm_precheck.settings import SettingsError, from_environment
from testing.fake_behaviours import FakeResponse, ReceivedRequest, after, check, error, results
from testing.fake_ddm import FakeDDM

PAUSE = 0.05
LONG = {"wait_seconds": 3600}
ENVELOPES = {
    "structured": lambda event: (ATTRIBUTES | {"data": event}, STRUCTURED_HEADERS),
    "binary": lambda event: (event, binary_headers()),
    "Pub/Sub": lambda event: (push_body(event), {}),
}


@contextmanager
def serve_with_pause(seconds: float, fake_ddm: FakeDDM, folder: Path, **variables: str) -> Iterator[ServedFunction]:
    """Serve the function with another pause between two requests to DDM."""
    source = f"""
import importlib.util, sys
sys.path.insert(0, {str(ROOT)!r})
from ddm_precheck import waiting
waiting.POLL_SECONDS = {seconds}
spec = importlib.util.spec_from_file_location("function_main", {str(ROOT / "main.py")!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
precheck = module.precheck
"""
    (folder / "main.py").write_text(source)
    environment = {"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4", "DDM_MAX_WAIT_SECONDS": "3600"}
    with serve_function(environment | variables, folder, folder) as function:
        yield function


@pytest.fixture
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short pause in this process."""
    monkeypatch.setattr(waiting, "POLL_SECONDS", PAUSE)


@pytest.fixture(scope="module")
def served_with_short_pause(
    fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedFunction]:
    """A served function with a short pause and 64 threads."""
    with serve_with_pause(0.2, fake_ddm_server, tmp_path_factory.mktemp("short"), THREADS="64") as function:
        yield function


@pytest.fixture(params=["in-process", "served"])
def waiting_function(request: pytest.FixtureRequest, fake_ddm: FakeDDM, short_pause) -> Function:
    """The function with a short pause and a max wait of an hour, started in both ways."""
    if request.param == "served":
        return request.getfixturevalue("served_with_short_pause")
    return request.getfixturevalue("start")(DDM_MAX_WAIT_SECONDS="3600")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that advances only while the function pauses. The only item of the list is the current time."""
    now = [1000.0]
    monkeypatch.setattr(waiting, "monotonic", lambda: now[0])
    monkeypatch.setattr(waiting, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    return now


def test_pending_twice(waiting_function: Function, fake_ddm: FakeDDM):
    """The wait ends with the verdict. The response is the same as the response to a later request without a wait."""
    summary = waiting_function.send_event("pending_twice", **LONG).summary
    assert (summary["verdict"], summary["can_proceed"], summary["retryable"]) == ("PASS", True, False)
    assert len(fake_ddm.requests) == 3
    later = waiting_function.send_event("pending_twice").summary
    for each in (summary, later):
        del each["checked_at"], each["upstream"]["request_id"]
    assert summary == later | {"report": summary["report"]}


def test_growing_list(waiting_function: Function, fake_ddm: FakeDDM):
    """The wait lasts until DDM lists the expected number of checks."""
    checks = [check(f"Check {number}") for number in range(8)]
    fake_ddm.behaviours["growing"] = lambda request: results(*checks[: request.number * 2])(request)
    summary = waiting_function.send_event("growing", expected_checks=8, **LONG).summary
    assert (summary["verdict"], summary["counts"]["total"], len(fake_ddm.requests)) == ("PASS", 8, 4)


def test_failed_check_ends_the_wait(waiting_function: Function, fake_ddm: FakeDDM):
    """A failed check ends the wait, even if the list is incomplete."""
    fake_ddm.behaviours["fails"] = after(1, results(check("a")), results(check("a"), check("b", "FAILED")))
    summary = waiting_function.send_event("fails", expected_checks=8, **LONG).summary
    assert (summary["verdict"], len(fake_ddm.requests)) == ("FAIL", 2)


def test_warning_ends_the_wait(waiting_function: Function, fake_ddm: FakeDDM):
    """A warning ends the wait, whether it is accepted or not."""
    fake_ddm.behaviours["warns"] = after(1, results(), results(check("a", "WARN")))
    summary = waiting_function.send_event("warns", **LONG).summary
    assert (summary["verdict"], summary["can_proceed"], len(fake_ddm.requests)) == ("WARN", False, 2)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        pytest.param(error(400, "DBS.280001", "Parameter error."), "rejected", id="400"),
        pytest.param(error(401, "APIGW.0307", "Token expired."), "unauthorized", id="401"),
        pytest.param(error(403, "DBS.200011", "No permission."), "forbidden", id="403"),
        pytest.param(error(404, "x", "x"), "not-found", id="404"),
        pytest.param(error(429, "APIGW.0308", "Throttled."), "throttled", id="429"),
        pytest.param(error(500, "DBS.200001", "Internal error."), "upstream-unavailable", id="500"),
        pytest.param(lambda _: FakeResponse(200, b"{"), "upstream-contract", id="no JSON"),
    ],
)
@pytest.mark.parametrize("pending", [0, 1], ids=["first request", "second request"])
def test_problem_ends_the_wait(start, fake_ddm: FakeDDM, short_pause, behaviour, code, pending):
    """Each problem ends the wait immediately, even if it is retryable, and even after a PENDING."""
    fake_ddm.behaviours["problem"] = after(pending, results(), behaviour)
    response = start(DDM_MAX_WAIT_SECONDS="3600").send_event("problem", **LONG)
    assert (response.problem_code, len(fake_ddm.requests)) == (code, pending + 1)


def test_lost_ddm_ends_the_wait(start, short_pause):
    """If DDM stops, the wait ends with a problem."""
    with FakeDDM() as ddm:
        threading.Thread(target=ddm.serve_forever, daemon=True).start()

        def stop(request: ReceivedRequest) -> FakeResponse:
            threading.Thread(target=ddm.shutdown).start()
            ddm.socket.close()
            return FakeResponse(200, results()(request).body, {"Connection": "close"})

        ddm.behaviours["stops"] = stop
        response = start(DDM_ENDPOINT=ddm.url, DDM_MAX_WAIT_SECONDS="3600").send_event("stops", **LONG)
    assert (response.problem_code, response.log_entry["upstream"]["status"]) == ("upstream-unavailable", None)


def test_expired_wait_of_a_direct_request(waiting_function: Function, fake_ddm: FakeDDM):
    """If the wait is over, a direct request gets the response that it would get without a wait: PENDING."""
    response = waiting_function.send_event("pending", wait_seconds=1)
    summary = response.summary
    assert (summary["verdict"], summary["retryable"], summary["retry_after_seconds"]) == ("PENDING", True, 10)
    assert response.headers["Retry-After"] == "10"
    assert (response.log_entry["severity"], response.log_entry["code"]) == ("INFO", None)
    assert len(fake_ddm.requests) > 1


@pytest.mark.parametrize("make_envelope", ENVELOPES.values(), ids=ENVELOPES)
def test_expired_wait_of_an_event_delivery(waiting_function: Function, fake_ddm: FakeDDM, make_envelope):
    """If the wait is over, an event delivery gets the problem `pending`, so that the broker retries."""
    body, headers = make_envelope(EVENT | {"db_name": "pending", "wait_seconds": 1})
    response = waiting_function.send(body, headers=headers)
    assert (response.status, response.problem_code, response.headers["Retry-After"]) == (503, "pending", "10")
    assert (response.body["verdict"], response.log_entry["severity"]) == ("PENDING", "INFO")
    assert len(fake_ddm.requests) > 1


@pytest.mark.parametrize("make_envelope", ENVELOPES.values(), ids=ENVELOPES)
def test_event_delivery_waits_for_the_verdict(waiting_function: Function, make_envelope):
    """An event delivery with `wait_seconds` waits in the same way as a direct request."""
    body, headers = make_envelope(EVENT | {"db_name": "pending_twice"} | LONG)
    assert waiting_function.send(body, headers=headers).summary["verdict"] == "PASS"


def test_sink_receives_the_verdict_only(start, fake_ddm: FakeDDM, short_pause):
    """While the function waits, the sink receives nothing. After the wait, it receives one summary."""
    with Sink() as sink:
        body, headers = ENVELOPES["structured"](EVENT | {"db_name": "pending_twice"} | LONG)
        assert start(K_SINK=sink.url).send(body, headers=headers).status == 202
    assert [summary["verdict"] for _, summary in sink.received] == ["PASS"]


@pytest.mark.parametrize(
    ("wait_seconds", "times"),
    [(0, [0]), (4, [0]), (5, [0, 5]), (9, [0, 5]), (12, [0, 5, 10]), (40, list(range(0, 41, 5)))],
    ids=["no wait", "less than a pause", "one pause", "almost two", "two pauses", "max by default"],
)
def test_times_of_the_requests(start, fake_ddm: FakeDDM, clock, wait_seconds, times):
    """The function sends a request to DDM immediately and then every 5 seconds, but none after the end of the wait.

    If less than 5 seconds remain, the function responds immediately.
    """
    request_times = []

    def pending(request: ReceivedRequest) -> FakeResponse:
        request_times.append(clock[0] - 1000)
        return results()(request)

    fake_ddm.behaviours["pending"] = pending
    assert start().send_event("pending", wait_seconds=wait_seconds).summary["verdict"] == "PENDING"
    assert request_times == times
    assert clock[0] - 1000 == times[-1]


@pytest.mark.parametrize(
    ("maximum", "wait_seconds", "requests"),
    [
        pytest.param("0", 3600, 1, id="no wait"),
        pytest.param("4.9", 3600, 1, id="less than a pause"),
        pytest.param("11", 3600, 3, id="two pauses"),
        pytest.param("3600", 7, 2, id="event is less than the maximum"),
        pytest.param(None, 3600, 9, id="40 by default"),
        pytest.param("", 3600, 9, id="empty"),
        pytest.param("3600", 3600, 721, id="one hour"),
    ],
)
def test_max_wait(start, fake_ddm: FakeDDM, clock, maximum, wait_seconds, requests):
    """`DDM_MAX_WAIT_SECONDS` limits the wait of each event."""
    response = start(DDM_MAX_WAIT_SECONDS=maximum).send_event("pending", wait_seconds=wait_seconds)
    assert (response.summary["verdict"], len(fake_ddm.requests)) == ("PENDING", requests)


def test_slow_requests_count(start, fake_ddm: FakeDDM, clock):
    """The time of DDM's responses is part of the wait."""

    def slow(request: ReceivedRequest) -> FakeResponse:
        clock[0] += 8
        return results()(request)

    fake_ddm.behaviours["slow_pending"] = slow
    start().send_event("slow_pending", wait_seconds=30)
    assert len(fake_ddm.requests) == 3  # at 0, 13 and 26 seconds


def test_attempts_of_the_last_request(waiting_function: Function, fake_ddm: FakeDDM):
    """`upstream.attempts` is the number of attempts for the last request to DDM only."""
    unavailable = error(503, "APIGW.0201", "Backend unavailable.")
    responses = [unavailable, results(), unavailable, unavailable, results(check("a"))]
    fake_ddm.behaviours["attempts"] = lambda request: responses[request.number - 1](request)
    response = waiting_function.send_event("attempts", **LONG)
    assert (response.summary["upstream"]["attempts"], len(fake_ddm.requests)) == (3, 5)
    assert response.log_entry["upstream"]["attempts"] == 3


def test_each_request_has_its_own_timeout(start, fake_ddm: FakeDDM, short_pause):
    """If DDM does not respond in time to one request, the wait ends, although it is longer than the timeout."""
    fake_ddm.behaviours["hangs"] = after(
        2, results(), lambda request: FakeResponse(200, results()(request).body, delay=1.5)
    )
    response = start(DDM_TIMEOUT_SECONDS="0.5", DDM_MAX_WAIT_SECONDS="3600").send_event("hangs", **LONG)
    assert (response.problem_code, len(fake_ddm.requests)) == ("upstream-timeout", 3)


def test_64_requests_wait_at_once_over_sockets(served_with_short_pause: ServedFunction, fake_ddm: FakeDDM):
    """64 requests wait at the same time, each for its own job. No job ends before DDM has received all requests."""
    jobs = {f"job-{number}" for number in range(64)}
    seen = set()

    def done_after_all(request: ReceivedRequest) -> FakeResponse:
        seen.add(request.job_id)
        return results(*([check(request.job_id)] if seen == jobs else []))(request)

    fake_ddm.behaviours["crowd"] = done_after_all
    served_with_short_pause.new_log_lines()
    with ThreadPoolExecutor(64) as pool:
        event = EVENT | {"db_name": "crowd", "wait_seconds": 60}
        responses = list(
            pool.map(
                lambda job: requests.post(served_with_short_pause.url, json=event | {"job_id": job}, timeout=90), jobs
            )
        )
    names = {response.json()["checks"][0]["name"] for response in responses}
    assert (names, {response.json()["verdict"] for response in responses}) == (jobs, {"PASS"})
    assert len(served_with_short_pause.wait_for_log_lines(64)) == 64


def test_caller_that_closes_the_connection_over_sockets(served_with_short_pause: ServedFunction, fake_ddm: FakeDDM):
    """If the caller closes the connection during the wait, the function still waits and writes its log entry."""
    served_with_short_pause.new_log_lines()
    body = json.dumps(EVENT | {"db_name": "pending_twice", "wait_seconds": 60}).encode()
    with socket.create_connection(("127.0.0.1", served_with_short_pause.port)) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: function\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        while not fake_ddm.requests:
            time.sleep(0.01)
    (line,) = served_with_short_pause.wait_for_log_lines(1)
    assert (json.loads(line)["verdict"], len(fake_ddm.requests)) == ("PASS", 3)
    assert served_with_short_pause.send_event().status == 200


@pytest.mark.parametrize("is_delivery", [False, True], ids=["direct request", "event delivery"])
def test_termination_ends_the_wait_over_sockets(fake_ddm: FakeDDM, tmp_path: Path, is_delivery):
    """After SIGTERM, the waiting request gets the current response, and the process exits with status 0."""
    event = EVENT | {"db_name": "pending"} | LONG
    with serve_with_pause(3600, fake_ddm, tmp_path) as function, ThreadPoolExecutor(1) as pool:
        headers = binary_headers() if is_delivery else {}
        running = pool.submit(requests.post, function.url, json=event, headers=headers, timeout=60)
        while not fake_ddm.requests:
            time.sleep(0.01)
        function.server.process.send_signal(signal.SIGTERM)
        received = running.result()
        assert function.server.process.wait(30) == 0
        response = FunctionResponse(received.status_code, received.headers, received.text, function.new_log_lines())
    response.validate(EVENT["token"])
    assert (response.status, response.body["verdict"]) == ((503 if is_delivery else 200), "PENDING")
    assert len(fake_ddm.requests) == 1


def test_termination_during_the_second_pause(start, fake_ddm: FakeDDM, clock, monkeypatch):
    """The wait ends as soon as gunicorn's worker has received SIGTERM. Here, a fake worker receives it."""
    worker = SimpleNamespace(alive=True)
    monkeypatch.setattr(signal, "getsignal", lambda _: MethodType(lambda *_: None, worker))

    def terminate(request: ReceivedRequest) -> FakeResponse:
        worker.alive = request.number < 2
        return results()(request)

    fake_ddm.behaviours["terminates"] = terminate
    summary = start().send_event("terminates", wait_seconds=40).summary
    assert (summary["verdict"], len(fake_ddm.requests), clock[0]) == ("PENDING", 2, 1005)


def test_server_without_a_worker(start, clock, monkeypatch):
    """If the server is not gunicorn, the wait ends only after its full time."""
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    assert start().send_event("pending", wait_seconds=12).summary["verdict"] == "PENDING"
    assert clock[0] == 1010


@pytest.mark.parametrize(
    "value",
    [None, "30", 1.5, -1, 3601, True, False, [], {}],
    ids=["null", "string", "1.5", "-1", "3601", "true", "false", "list", "object"],
)
def test_invalid_wait_seconds(function: Function, fake_ddm: FakeDDM, value):
    """The field is an integer from 0 to 3600."""
    response = function.send(EVENT | {"wait_seconds": value})
    assert (response.status, response.problem_code, response.pointers) == (400, "invalid-event", ["/wait_seconds"])
    assert fake_ddm.requests == []


@pytest.mark.parametrize("text", ["1e400", "NaN", "1e4", "-0.5"])
def test_wait_seconds_that_is_no_number_of_seconds(function: Function, fake_ddm: FakeDDM, text):
    """Infinity, NaN and numbers outside of the range are invalid."""
    body = json.dumps(EVENT)[:-1] + f', "wait_seconds": {text}}}'
    response = function.send(body.encode())
    assert (response.problem_code, fake_ddm.requests) == ("invalid-event", [])


@pytest.mark.parametrize("value", [0, 2.0, 3600, 3600.0, -0.0], ids=str)
def test_valid_wait_seconds(function: Function, value):
    """An integer may be written with a fraction of zero, such as 2.0. A verdict needs no wait."""
    assert function.send_event(wait_seconds=value).summary["verdict"] == "PASS"


@pytest.mark.parametrize("value", ["-1", "3601", "ten", "nan", "inf", "1e400", "1_0", " 1", "\uff11"])
def test_wrong_max_wait(value):
    """The variable is a number of seconds from 0 to 3600."""
    with pytest.raises(SettingsError) as caught:
        from_environment({"DDM_MAX_WAIT_SECONDS": value})
    assert str(caught.value) == "DDM_MAX_WAIT_SECONDS must be a number of seconds from 0 to 3600"
