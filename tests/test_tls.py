"""TLS: a server without a trusted certificate receives no request, and therefore no token."""

from io import DEFAULT_BUFFER_SIZE

import pytest
from helpers.certificates import Authority

from testing.fault_server import (
    PASS_BODY,
    FaultServer,
    complete_response,
    read_request,
    receive_bytes,
    reset,
    response_head,
    send,
    send_slowly,
    wait_for_close,
)

PASS = [send(complete_response()), wait_for_close]


def test_trusted_certificate(start, authority: Authority):
    """A certificate of an authority in `REQUESTS_CA_BUNDLE` is trusted."""
    with FaultServer([PASS], tls=authority.context()) as ddm:
        response = start(DDM_ENDPOINT=ddm.url, REQUESTS_CA_BUNDLE=str(authority.bundle)).send_event()
    assert (response.summary["verdict"], ddm.connections) == ("PASS", 1)


@pytest.mark.parametrize(
    ("host", "options", "has_bundle"),
    [
        pytest.param("localhost", {}, False, id="unknown authority"),
        pytest.param("localhost", {"expired": True}, True, id="expired"),
        pytest.param("localhost", {"self_signed": True}, True, id="self-signed"),
        pytest.param("ddm.example.com", {}, True, id="another host"),
    ],
)
def test_untrusted_certificate(start, authority: Authority, host, options, has_bundle):
    """A server whose certificate is not trusted receives no request. The message contains the reason."""
    bundle = {"REQUESTS_CA_BUNDLE": str(authority.bundle)} if has_bundle else {}
    with FaultServer([PASS], tls=authority.context(host, **options)) as ddm:
        response = start(DDM_ENDPOINT=ddm.url, **bundle).send_event()
    assert response.problem_code == "upstream-unavailable"
    assert response.body["message"] == (
        "DDM is not available: no TLS connection to localhost, or its certificate is not trusted"
    )
    assert (ddm.requests, ddm.connections) == ([], 3)


@pytest.mark.parametrize(
    ("script", "code", "attempts"),
    [
        pytest.param([wait_for_close], "upstream-timeout", 1, id="no handshake"),
        pytest.param([send_slowly(b"\x16\x03\x03\x40\x00" + bytes(900))], "upstream-timeout", 1, id="slow handshake"),
        pytest.param([send(complete_response())], "upstream-unavailable", 3, id="HTTP without TLS"),
        pytest.param([receive_bytes, reset], "upstream-unavailable", 3, id="reset"),
    ],
)
def test_faults_of_the_handshake(start, monkeypatch, script, code, attempts):
    """If the TLS handshake fails, the request ends in time, and the token is not sent."""
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_PAUSE_SECONDS", 0.01)
    with FaultServer([script], before_request=True) as server:
        # On a busy machine, three attempts need a long timeout. The tests of the timeout need a short timeout.
        timeout = "0.5" if attempts == 1 else "20"
        function = start(DDM_ENDPOINT=f"https://localhost:{server.port}", DDM_TIMEOUT_SECONDS=timeout)
        response = function.send_event()
    assert (response.problem_code, server.connections) == (code, attempts)
    assert response.log_entry["upstream"]["elapsed_ms"] < 10_000


def test_connection_is_reused(start, authority: Authority):
    """A TLS connection without unread bytes is used for the next request."""
    with FaultServer([[send(complete_response()), read_request, *PASS]], tls=authority.context()) as ddm:
        function = start(DDM_ENDPOINT=ddm.url, REQUESTS_CA_BUNDLE=str(authority.bundle))
        verdicts = [function.send_event().body["verdict"] for _ in range(2)]
    assert (verdicts, ddm.connections) == (["PASS", "PASS"], 1)


def test_second_response_in_the_same_tls_record(start, authority: Authority):
    """A connection with decrypted but unread bytes is not reused, although no bytes wait in its socket."""
    error = response_head("403 Forbidden", Content_Length=2, X_Pad="")
    padding = b"x" * (DEFAULT_BUFFER_SIZE - len(error) - 2)
    padded_error = error.replace(b"X-Pad: ", b"X-Pad: " + padding) + b"{}"
    warning = complete_response(PASS_BODY.replace(b"SUCCESS", b"WARN"))
    scripts = [[send(padded_error + complete_response()), wait_for_close], [send(warning), wait_for_close]]
    with FaultServer(scripts, tls=authority.context()) as ddm:
        function = start(DDM_ENDPOINT=ddm.url, REQUESTS_CA_BUNDLE=str(authority.bundle))
        verdicts = [function.send_event().body["verdict"] for _ in range(2)]
    assert (verdicts, ddm.connections) == (["ERROR", "WARN"], 2)
