"""Proxies: the function uses the proxy in the environment variables, and a proxy never receives the token."""

from collections.abc import Callable, Iterator

import pytest
from helpers.certificates import Authority
from helpers.function import TOKEN, InProcessFunction

from testing.fault_server import (
    FaultServer,
    complete_response,
    read_request,
    receive_bytes,
    reset,
    response_head,
    send,
    send_slowly,
    tunnel,
    wait_for_close,
)
from testing.function_server import free_port

PASS = [send(complete_response()), wait_for_close]
SLOW_TLS_RECORD = send_slowly(b"\x16\x03\x03\x40\x00" + bytes(900))
LOST = "DDM is not available: the connection to ddm.example.com was lost"
REFUSED = "DDM is not available: the proxy did not connect to ddm.example.com"
TIMEOUT = "DDM took too long: ddm.example.com did not respond in time"


@pytest.fixture
def ddm(authority: Authority) -> Iterator[FaultServer]:
    """A DDM with TLS that responds with a result."""
    with FaultServer([PASS], tls=authority.context()) as server:
        yield server


@pytest.fixture
def proxy() -> Iterator[FaultServer]:
    """A proxy without TLS that connects to the requested host."""
    with FaultServer([[tunnel]], before_request=True) as server:
        yield server


@pytest.fixture
def start_with_proxy(start, authority: Authority, ddm: FaultServer) -> Callable[..., InProcessFunction]:
    """Start the function with this DDM and the URL of a proxy."""

    def start_function(proxy_url: str, **variables: str) -> InProcessFunction:
        bundle = str(authority.bundle)
        return start(DDM_ENDPOINT=ddm.url, REQUESTS_CA_BUNDLE=bundle, HTTPS_PROXY=proxy_url, **variables)

    return start_function


def test_https_proxy(start_with_proxy, ddm: FaultServer, proxy: FaultServer):
    """The proxy in `HTTPS_PROXY` receives its credentials but not the token. DDM receives no proxy credentials."""
    response = start_with_proxy(f"http://someone:secret@127.0.0.1:{proxy.port}").send_event()
    assert (response.summary["verdict"], ddm.connections, proxy.connections) == ("PASS", 1, 1)
    (connect,) = proxy.requests
    assert connect.startswith(b"CONNECT localhost:%d HTTP/1." % ddm.port)
    assert b"\r\nProxy-Authorization: Basic c29tZW9uZTpzZWNyZXQ=" in connect
    assert b"X-Auth-Token" not in connect
    assert b"Proxy-Authorization" not in ddm.requests[0]


def test_proxy_over_tls(start_with_proxy, authority: Authority, ddm: FaultServer):
    """If the connection to the proxy uses TLS, each request has its own connection."""
    with FaultServer([[tunnel]], tls=authority.context(), before_request=True) as proxy:
        function = start_with_proxy(f"https://localhost:{proxy.port}")
        verdicts = [function.send_event().body["verdict"] for _ in range(2)]
    assert verdicts == ["PASS", "PASS"]
    assert (ddm.connections, proxy.connections) == (2, 2)
    assert not any(b"X-Auth-Token" in each for each in proxy.requests)


@pytest.mark.parametrize(
    ("script", "messages", "attempts"),
    [
        pytest.param([read_request, send(complete_response(TOKEN.encode(), "403 Forbidden"))], {REFUSED}, 3, id="403"),
        pytest.param([read_request, reset], {LOST}, 3, id="reset"),
        # The reset may arrive before or after the connection is established.
        pytest.param([reset], {LOST, REFUSED}, 3, id="reset before CONNECT"),
        pytest.param([read_request, wait_for_close], {TIMEOUT}, 1, id="no response"),
        pytest.param([read_request, send_slowly(response_head(X_Header="x" * 900))], {TIMEOUT}, 1, id="slow response"),
        pytest.param([read_request, send(response_head()), wait_for_close], {TIMEOUT}, 1, id="no TLS handshake"),
        pytest.param(
            [read_request, send(response_head()), receive_bytes, SLOW_TLS_RECORD],
            {TIMEOUT},
            1,
            id="slow TLS handshake",
        ),
    ],
)
def test_faults_of_the_proxy(start, monkeypatch, script, messages, attempts):
    """If the proxy fails, the outcome is `upstream-timeout` or `upstream-unavailable`, within the timeout."""
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_PAUSE_SECONDS", 0.01)
    with FaultServer([script], before_request=True) as proxy:
        function = start(
            DDM_ENDPOINT="https://ddm.example.com",
            DDM_TIMEOUT_SECONDS="0.5",
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        )
        response = function.send_event()
    assert response.body["message"] in messages
    assert proxy.connections == attempts
    assert response.problem_code == ("upstream-timeout" if messages == {TIMEOUT} else "upstream-unavailable")
    assert response.log_entry["upstream"]["elapsed_ms"] < 900


def test_proxy_refuses_the_connection(start):
    """If nothing listens at the proxy's address, the message says that the proxy did not connect."""
    function = start(DDM_ENDPOINT="https://ddm.example.com", HTTPS_PROXY=f"http://127.0.0.1:{free_port()}")
    assert function.send_event().body["message"] == REFUSED


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_http_uses_no_proxy(start, name):
    """A request without TLS, which goes to a loopback address, uses no proxy."""
    with FaultServer([PASS]) as ddm, FaultServer([[wait_for_close]], before_request=True) as proxy:
        response = start(DDM_ENDPOINT=ddm.url, **{name: f"http://127.0.0.1:{proxy.port}"}).send_event()
    assert (response.summary["verdict"], ddm.connections, proxy.connections) == ("PASS", 1, 0)


def test_no_proxy(start_with_proxy, ddm: FaultServer, proxy: FaultServer):
    """Requests to a host in `NO_PROXY` do not use the proxy."""
    response = start_with_proxy(f"http://127.0.0.1:{proxy.port}", NO_PROXY="localhost").send_event()
    assert (response.summary["verdict"], ddm.connections, proxy.connections) == ("PASS", 1, 0)
