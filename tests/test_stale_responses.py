"""Stale responses: bytes that DDM sends after a response are never used as the response to the next request.

Example: DDM sends the PASS of the first request twice. The second request, for which a check failed, must get FAIL.
"""

import pytest
from helpers.certificates import Authority
from helpers.function import EVENT

from testing.fault_server import (
    CHUNKED_HEAD,
    Action,
    FaultServer,
    chunk,
    complete_response,
    pause,
    read_request,
    response_head,
    send,
    wait_for_close,
)

BUFFER_BYTES = 8192  # the buffer size of Python's buffered readers
JOB_A, JOB_B = EVENT["job_id"], "0c5d2f1e-0000-4000-8000-00000000000b"


def result(job_id: str | None, status: str) -> bytes:
    """Return a result with one check. A result without a job ID can belong to each request."""
    job = f'"job_id":"{job_id}",' if job_id else ""
    return f'{{{job}"pre_check_results":[{{"name":"Primary keys","status":"{status}"}}]}}'.encode()


def padded(response: bytes, size: int) -> bytes:
    """Return the response with an additional header, so that the response has this size."""
    line = b"\r\nX-Pad: "
    return response.replace(b"\r\n", line + b"x" * (size - len(response) - len(line)) + b"\r\n", 1)


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, authority: Authority) -> Authority | None:
    """The authority of DDM's certificate, or None if DDM uses plain HTTP."""
    return authority if request.param == "https" else None


def send_two_events(start, script: list[Action], authority: Authority | None):
    """Send an event for job A, and then for job B. Return both responses and the number of connections to DDM.

    On the first connection, DDM runs the script after the request for job A. On other connections, DDM sends the result
    of job B.
    """
    own_result = [send(complete_response(result(JOB_B, "FAILED"))), wait_for_close]
    with FaultServer([script, own_result], tls=authority.context() if authority else None) as ddm:
        bundle = {"REQUESTS_CA_BUNDLE": str(authority.bundle)} if authority else {}
        function = start(DDM_ENDPOINT=ddm.url, **bundle)
        first = function.send_event(job_id=JOB_A)
        ddm.closing.wait(0.08)  # time for bytes that DDM sends later
        second = function.send_event(job_id=JOB_B)
        return first, second, ddm.connections


def stale_scripts(stale: bytes) -> dict[str, list[Action]]:
    """Return scripts that send the response for job A and then the stale response, by name."""
    own = complete_response(result(JOB_A, "SUCCESS"))
    chunked = CHUNKED_HEAD + chunk(result(JOB_A, "SUCCESS")) + b"0\r\n\r\n"
    return {
        "same segment": [send(own + stale), wait_for_close],
        "later segment": [send(own), pause(0.02), send(stale), wait_for_close],
        "partly in the same segment": [send(own + stale[:20]), pause(0.02), send(stale[20:]), wait_for_close],
        "one byte in the same segment": [send(own + stale[:1]), pause(0.02), send(stale[1:]), wait_for_close],
        "buffer ends with the response": [send(padded(own, BUFFER_BYTES) + stale), wait_for_close],
        "buffer ends in the stale response": [send(padded(own, BUFFER_BYTES - 20) + stale), wait_for_close],
        "after chunks": [send(chunked + stale), wait_for_close],
        "after the body of an error": [send(complete_response(b"{}", "403 Forbidden") + stale), wait_for_close],
        "after 204": [send(response_head("204 No Content") + stale), wait_for_close],
        "after a length of 0": [send(response_head("404 Not Found", Content_Length=0) + stale), wait_for_close],
        "stale status line only": [send(own + b"HTTP/1.1 200 OK\r\n"), pause(0.02), wait_for_close],
        "line breaks": [send(own + b"\r\n\r\n"), wait_for_close],
    }


@pytest.mark.parametrize("name", stale_scripts(b""))
def test_stale_response_before_the_request(start, tls: Authority | None, name):
    """If a connection has unread bytes after a response, it is closed, and the next request gets its own result.

    The stale response has the job ID of the second request, so that it would be valid for this request.
    """
    stale = complete_response(result(JOB_B, "SUCCESS"))
    first, second, connections = send_two_events(start, stale_scripts(stale)[name], tls)
    assert first.body["verdict"] == ("ERROR" if "after " in name and "chunks" not in name else "PASS")
    assert (second.summary["verdict"], connections) == ("FAIL", 2)


@pytest.mark.parametrize("job_id", [JOB_A, None], ids=["A's job", "no job"])
def test_stale_response_after_the_request(start, tls: Authority | None, job_id):
    """If the stale response follows the second request, it is refused because of its job ID."""
    own, stale = complete_response(result(JOB_A, "SUCCESS")), complete_response(result(job_id, "SUCCESS"))
    script = [send(own), read_request, send(stale), wait_for_close]
    first, second, connections = send_two_events(start, script, tls)
    assert first.summary["verdict"] == "PASS"
    assert (second.problem_code, second.pointers, connections) == ("upstream-contract", ["/job_id"], 1)


def test_stale_response_before_a_retry(start, tls: Authority | None):
    """A stale response after a 503 is not used as the response to the retry."""
    script = [send(complete_response(b"{}", "503 Down") + complete_response(result(JOB_B, "SUCCESS"))), wait_for_close]
    own_result = [send(complete_response(result(JOB_B, "FAILED"))), wait_for_close]
    with FaultServer([script, own_result], tls=tls.context() if tls else None) as ddm:
        bundle = {"REQUESTS_CA_BUNDLE": str(tls.bundle)} if tls else {}
        summary = start(DDM_ENDPOINT=ddm.url, **bundle).send_event(job_id=JOB_B).summary
    assert (summary["verdict"], summary["upstream"]["attempts"], ddm.connections) == ("FAIL", 2, 2)


def test_interim_response_before_the_request(start, tls: Authority | None):
    """An interim response between two requests closes the connection as well."""
    script = [send(complete_response(result(JOB_A, "SUCCESS")) + response_head("103 Early Hints")), wait_for_close]
    _, second, connections = send_two_events(start, script, tls)
    assert (second.summary["verdict"], connections) == ("FAIL", 2)
