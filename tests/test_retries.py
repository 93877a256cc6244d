"""Retries and the timeout of the request to DDM."""

import pytest
from helpers.function import Function

from testing.fake_behaviours import error
from testing.fake_ddm import FakeDDM
from testing.function_server import free_port


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_errors_are_retried(function: Function, fake_ddm: FakeDDM, status):
    """A 502, 503 or 504 is retried twice."""
    fake_ddm.behaviours["gateway"] = error(status, "APIGW.0201", "Backend unavailable.")
    response = function.send_event("gateway")
    assert (response.problem_code, response.body["upstream"]["status"]) == ("upstream-unavailable", status)
    assert (len(fake_ddm.requests), response.log_entry["upstream"]["attempts"]) == (3, 3)


def test_pauses_between_attempts(start, monkeypatch):
    """The second pause is twice as long as the first, and both have jitter."""
    pauses = []
    monkeypatch.setattr("ddm_precheck.ddm.sleep", pauses.append)
    function = start()
    for _ in range(20):
        function.send_event("down")
    first, second = pauses[::2], pauses[1::2]
    assert len(first) == len(second) == 20
    assert 0.1 <= min(first) < max(first) <= 0.2 <= min(second) < max(second) <= 0.4


def test_success_at_the_third_attempt(function: Function, fake_ddm: FakeDDM):
    """After two failed attempts and a success, `upstream.attempts` is 3."""
    assert function.send_event("down_twice").summary["upstream"]["attempts"] == 3


def test_no_connection(start):
    """If DDM refuses the connection, the problem is `upstream-unavailable` after three attempts."""
    response = start(DDM_ENDPOINT=f"http://127.0.0.1:{free_port()}").send_event()
    assert (response.status, response.problem_code, response.body["upstream"]) == (502, "upstream-unavailable", None)
    assert response.body["message"] == "DDM is not available: 127.0.0.1 refused the connection"
    assert response.log_entry["upstream"] == {
        "status": None,
        "attempts": 3,
        "elapsed_ms": response.log_entry["upstream"]["elapsed_ms"],
        "request_id": None,
    }


def test_unknown_host(start):
    """If the region does not exist, the host name cannot be resolved. The message contains the host name."""
    response = start(DDM_ENDPOINT="https://ddm.{region}.invalid").send_event(region="xx-nowhere-1")
    assert response.problem_code == "upstream-unavailable"
    assert response.body["message"].endswith("ddm.xx-nowhere-1.invalid could not be resolved; check the region")


def test_timeout(start, fake_ddm: FakeDDM):
    """If DDM has not responded within `DDM_TIMEOUT_SECONDS`, the problem is `upstream-timeout`."""
    response = start(DDM_TIMEOUT_SECONDS="0.1").send_event("slow")
    assert (response.status, response.problem_code, response.body["upstream"]) == (504, "upstream-timeout", None)
    assert response.log_entry["upstream"]["elapsed_ms"] < 250


def test_shortest_timeout(start, fake_ddm: FakeDDM):
    """After a timeout of one millisecond, the problem is always `upstream-timeout`, in each step of the request."""
    function = start(DDM_TIMEOUT_SECONDS="0.001")
    assert {function.send_event("slow").problem_code for _ in range(50)} == {"upstream-timeout"}


def test_no_time_for_another_attempt(start, fake_ddm: FakeDDM, monkeypatch):
    """If the pause would last longer than the timeout, there is no further attempt."""
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_PAUSE_SECONDS", 60)
    response = start(DDM_TIMEOUT_SECONDS="20").send_event("down")
    # Requests of the previous test may arrive late.
    attempts = [request for request in fake_ddm.requests if request.db_name == "down"]
    assert (response.problem_code, len(attempts)) == ("upstream-unavailable", 1)
