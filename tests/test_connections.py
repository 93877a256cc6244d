"""Requests to DDM: what is sent, retries, redirects, and the reuse of connections.

Bytes that DDM sends after a response must never become the response to the next request: if DDM sent the PASS of the
first request twice, a second request whose check failed would pass.
"""

import socket
import time
from io import DEFAULT_BUFFER_SIZE

import pytest
from helpers.certificates import Authority
from helpers.function import EVENT, TOKEN, Function

from ddm_precheck.transport import _ResponseReader, _SocketReader
from testing.fake_behaviours import error
from testing.fake_ddm import FakeDDM
from testing.fault_server import (
    CHUNKED_HEAD,
    PASS_BODY,
    Action,
    FaultServer,
    chunk,
    complete_response,
    pause,
    read_request,
    reset,
    response_head,
    send,
    send_endlessly,
    wait_for_close,
)

UNAVAILABLE = complete_response(b'{"error_code": "APIGW.0201", "error_msg": "down"}', "503 Service Unavailable")
PASS = [send(complete_response()), wait_for_close]
CHUNKS = [
    CHUNKED_HEAD,
    b"A;x=y\r\n" + PASS_BODY[:10],
    b"\r\n" + chunk(PASS_BODY[10:]),
    b"0\r\nX-Trailer: x\r\n\r\n",
]
JOB_A, JOB_B = EVENT["job_id"], "0c5d2f1e-0000-4000-8000-00000000000b"


def test_request(start, tmp_path):
    """No credentials from `.netrc`, no default headers of requests, nothing of the caller's request."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password secret")
    with FaultServer([PASS]) as ddm:
        start(DDM_ENDPOINT=ddm.url, NETRC=str(netrc)).send_event(headers={"Cookie": "a=b", "X-Other": "c"})
    line, *headers = ddm.requests[0].decode().split("\r\n")
    assert line == (
        f"GET /v3/{EVENT['project_id']}/instances/{EVENT['instance_id']}"
        f"/databases/pass/migration/precheck/{EVENT['job_id']} HTTP/1.1"
    )
    assert sorted(headers) == [
        "Accept-Encoding: identity",
        "Accept: application/json",
        f"Host: 127.0.0.1:{ddm.port}",
        "User-Agent: ddm-precheck",
        f"X-Auth-Token: {TOKEN}",
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("body", [[], [send_endlessly(b" " * 65536)]], ids=["no body", "endless body"])
def test_redirect_is_not_followed(start, status, body):
    with FaultServer([PASS]) as target:
        redirect = response_head(f"{status} Elsewhere", Location=f"{target.url}/v3", Refresh=f"0; url={target.url}")
        with FaultServer([[send(redirect), *body]]) as ddm:
            response = start(DDM_ENDPOINT=ddm.url).send_event()
    assert response.problem_code == "upstream-contract"
    assert response.body["upstream"]["status"] == status
    assert target.connections == 0
    assert ddm.connections == 1


# Retries


@pytest.mark.parametrize("status", [502, 503, 504])
def test_gateway_errors_are_retried_twice(function: Function, fake_ddm: FakeDDM, status):
    fake_ddm.behaviours["gateway"] = error(status, "APIGW.0201", "Backend unavailable.")
    response = function.send_event("gateway")
    assert response.problem_code == "upstream-unavailable"
    assert response.body["upstream"]["attempts"] == response.log_entry["upstream"]["attempts"] == 3
    assert len(fake_ddm.requests) == 3


def test_backoff_doubles_and_has_jitter(function: Function, monkeypatch):
    seconds = []
    monkeypatch.setattr("ddm_precheck.ddm.sleep", seconds.append)
    for _ in range(20):
        function.send_event("down")
    first, second = seconds[::2], seconds[1::2]
    assert len(first) == len(second) == 20
    assert 0.1 <= min(first) < max(first) <= 0.2 <= min(second) < max(second) <= 0.4


def test_no_retry_after_the_deadline(start, fake_ddm: FakeDDM, monkeypatch):
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_BACKOFF_SECONDS", 60)
    start(DDM_TIMEOUT_SECONDS="20").send_event("down")
    assert len(fake_ddm.requests) == 1


@pytest.mark.parametrize(
    ("scripts", "attempts"),
    [
        pytest.param([[send(UNAVAILABLE), read_request, send(UNAVAILABLE), read_request, *PASS]], 3, id="503 twice"),
        pytest.param([[reset], PASS], 2, id="reset"),
        pytest.param([[send(response_head(Content_Length=9))], PASS], 2, id="closed before the body"),
        pytest.param([[send(UNAVAILABLE), reset], PASS], 2, id="503, then reset"),
        pytest.param([[send(response_head("103 Early Hints", Link="x")), pause(0.2), *PASS]], 1, id="early hints"),
        pytest.param(
            [[send(b"".join(map(response_head, ("100 Continue", "102 Processing", "199 Odd")))), *PASS]],
            1,
            id="three interim responses",
        ),
        pytest.param([[*map(send, CHUNKS), wait_for_close]], 1, id="chunked, with extension and trailer"),
        pytest.param([[send(response_head() + PASS_BODY)]], 1, id="no Content-Length"),
        pytest.param([[send(complete_response(Set_Cookie="a=b", X_Pad="x" * 60_000)), *PASS[1:]]], 1, id="large head"),
    ],
)
def test_successful_retries_and_unusual_responses(start, scripts, attempts):
    with FaultServer(scripts) as ddm:
        summary = start(DDM_ENDPOINT=ddm.url).send_event().summary
    assert summary["verdict"] == "PASS"
    assert summary["upstream"]["attempts"] == len(ddm.requests) == attempts
    assert ddm.connections == len(scripts)


# Reuse of connections


@pytest.mark.parametrize(
    ("scripts", "attempts"),
    [
        pytest.param([[send(complete_response()), read_request, *PASS]], 1, id="reused"),
        pytest.param([[send(CHUNKED_HEAD + chunk(PASS_BODY) + b"0\r\n\r\n"), read_request, *PASS]], 1, id="chunks"),
        pytest.param([[send(UNAVAILABLE.replace(b"503", b"403")), read_request, *PASS]], 1, id="after an error"),
        pytest.param([[send(response_head("204 No Content")), read_request, *PASS]], 1, id="after 204"),
        pytest.param([[send(complete_response())], PASS], 1, id="closed while idle"),
        pytest.param([[send(complete_response(Connection="close")), wait_for_close], PASS], 1, id="Connection: close"),
        pytest.param([[send(complete_response(Set_Cookie="session=1")), read_request, *PASS]], 1, id="cookie"),
        pytest.param([[send(complete_response()), read_request], PASS], 2, id="closed at the second request"),
    ],
)
def test_second_request_reuses_the_connection_if_possible(start, scripts, attempts):
    with FaultServer(scripts) as ddm:
        function = start(DDM_ENDPOINT=ddm.url)
        function.send_event()
        ddm.closing.wait(0.05)
        second = function.send_event().summary
    assert second["verdict"] == "PASS"
    assert second["upstream"]["attempts"] == attempts
    assert ddm.connections == len(scripts)
    assert not any(b"Cookie" in request for request in ddm.requests)


def result(job_id: str | None, status: str) -> bytes:
    """Return a result with one check. A result without a job ID could belong to each request."""
    job = f'"job_id":"{job_id}",' if job_id else ""
    return f'{{{job}"pre_check_results":[{{"name":"Primary keys","status":"{status}"}}]}}'.encode()


def padded(response: bytes, size: int) -> bytes:
    """Return the response with an additional header, so that the response has this size."""
    line = b"\r\nX-Pad: "
    return response.replace(b"\r\n", line + b"x" * (size - len(response) - len(line)) + b"\r\n", 1)


OWN = complete_response(result(JOB_A, "SUCCESS"))
STALE = complete_response(result(JOB_B, "SUCCESS"))
OWN_IN_CHUNKS = CHUNKED_HEAD + chunk(result(JOB_A, "SUCCESS")) + b"0\r\n\r\n"
STALE_SCRIPTS: dict[str, list[Action]] = {
    "same segment": [send(OWN + STALE)],
    "later segment": [send(OWN), pause(0.02), send(STALE)],
    "partly in the same segment": [send(OWN + STALE[:20]), pause(0.02), send(STALE[20:])],
    "one byte in the same segment": [send(OWN + STALE[:1]), pause(0.02), send(STALE[1:])],
    "buffer ends with the response": [send(padded(OWN, DEFAULT_BUFFER_SIZE) + STALE)],
    "buffer ends in the stale response": [send(padded(OWN, DEFAULT_BUFFER_SIZE - 20) + STALE)],
    "after chunks": [send(OWN_IN_CHUNKS + STALE)],
    "after the body of an error": [send(complete_response(b"{}", "403 Forbidden") + STALE)],
    "after 204": [send(response_head("204 No Content") + STALE)],
    "after a length of 0": [send(response_head("404 Not Found", Content_Length=0) + STALE)],
    "stale status line only": [send(OWN + b"HTTP/1.1 200 OK\r\n"), pause(0.02)],
    "line breaks": [send(OWN + b"\r\n\r\n")],
    "interim response": [send(OWN + response_head("103 Early Hints"))],
    "an error that is padded to the buffer": [
        send(padded(complete_response(b"{}", "403 Forbidden"), DEFAULT_BUFFER_SIZE) + STALE)
    ],
}


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> Authority | None:
    return authority if request.param == "https" else None


def send_two_events(start, script: list[Action], authority: Authority | None):
    """Send an event for job A, and then for job B. Return both responses and the number of connections to DDM.

    On the first connection, DDM runs the script after the request for job A. On other connections, DDM sends the result
    of job B.
    """
    own_result = [send(complete_response(result(JOB_B, "FAILED"))), wait_for_close]
    scripts = [[*script, wait_for_close], own_result]
    with FaultServer(scripts, tls=authority.context() if authority else None) as ddm:
        bundle = {"REQUESTS_CA_BUNDLE": str(authority.bundle)} if authority else {}
        function = start(DDM_ENDPOINT=ddm.url, **bundle)
        first = function.send_event(job_id=JOB_A)
        ddm.closing.wait(0.08)  # time for bytes that DDM sends later
        second = function.send_event(job_id=JOB_B)
        return first, second, ddm.connections


@pytest.mark.parametrize("name", STALE_SCRIPTS)
def test_connection_with_unread_bytes_is_not_reused(start, tls: Authority | None, name):
    """The stale response has the job ID of the second request, so that it would be valid for this request."""
    _, second, connections = send_two_events(start, STALE_SCRIPTS[name], tls)
    assert second.verdict == "FAIL"
    assert connections == 2


@pytest.mark.parametrize("job_id", [JOB_A, None], ids=["A's job", "no job"])
def test_stale_response_after_the_request_is_rejected_by_its_job_id(start, tls: Authority | None, job_id):
    script = [send(OWN), read_request, send(complete_response(result(job_id, "SUCCESS")))]
    first, second, connections = send_two_events(start, script, tls)
    assert first.verdict == "PASS"
    assert second.pointers == ["/job_id"]
    assert connections == 1


def test_nothing_is_read_after_the_deadline():
    sock, other = socket.socketpair()
    with sock, other:
        sock.settimeout(0.001)
        reader = _ResponseReader(_SocketReader(sock.makefile("rb").detach(), sock))
        time.sleep(0.01)
        other.send(b"x")
        with pytest.raises(TimeoutError):
            reader.read(1)
        reader.close()
        reader.close()
