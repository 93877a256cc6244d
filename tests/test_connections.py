"""Connections to DDM and to the sink: redirects, reuse, the content of a request, and the timeout while connecting."""

import base64
import json
import socket
import time

import pytest
from helpers.certificates import Authority
from helpers.function import EVENT, TOKEN

from ddm_precheck.connection import _DeadlineReader
from ddm_precheck.transport import Transport
from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM
from testing.fault_server import (
    CHUNKED_HEAD,
    GZIP_HEADERS,
    PASS_BODY,
    FaultServer,
    chunk,
    complete_response,
    gzip_of_zeros,
    pause,
    read_request,
    receive_slowly,
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


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "body",
    [[], [send(gzip_of_zeros(200))], [send_endlessly(b" " * 65536)]],
    ids=["no body", "gzip of 200 MiB", "endless body"],
)
def test_redirect(start, status, body):
    """A redirect is not followed, because the other host would receive the token. Its body is not read."""
    with FaultServer([PASS]) as target:
        redirect = response_head(
            f"{status} Elsewhere", Location=f"{target.url}/v3", Refresh=f"0; url={target.url}", **GZIP_HEADERS
        )
        with FaultServer([[send(redirect), *body]]) as ddm:
            response = start(DDM_ENDPOINT=ddm.url).send_event()
    assert response.problem_code == "upstream-contract"
    assert response.body["message"] == f"DDM responded with the unexpected status {status}"
    assert (ddm.connections, target.connections) == (1, 0)


@pytest.mark.parametrize(
    ("scripts", "attempts"),
    [
        pytest.param(
            [[send(UNAVAILABLE), read_request, send(UNAVAILABLE), read_request, *PASS]], 3, id="503 twice, reused"
        ),
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
    ],
)
def test_retries_and_unusual_responses(start, scripts, attempts):
    """If a retry succeeds, or if DDM's response is unusual but valid, the function returns the verdict."""
    with FaultServer(scripts) as ddm:
        summary = start(DDM_ENDPOINT=ddm.url).send_event().summary
    assert (summary["verdict"], summary["upstream"]["attempts"]) == ("PASS", attempts)
    assert (len(ddm.requests), ddm.connections) == (attempts, len(scripts))


@pytest.mark.parametrize(
    ("scripts", "attempts"),
    [
        pytest.param([[send(complete_response()), read_request, *PASS]], [1, 1], id="reused"),
        pytest.param(
            [[send(CHUNKED_HEAD + chunk(PASS_BODY) + b"0\r\n\r\n"), read_request, *PASS]],
            [1, 1],
            id="reused after chunks",
        ),
        pytest.param(
            [[send(UNAVAILABLE.replace(b"503", b"403")), read_request, *PASS]], [1, 1], id="reused after an error"
        ),
        pytest.param([[send(response_head("204 No Content")), read_request, *PASS]], [1, 1], id="reused after 204"),
        pytest.param([[send(complete_response())], PASS], [1, 1], id="closed while idle"),
        pytest.param(
            [[send(complete_response(Connection="close")), wait_for_close], PASS], [1, 1], id="Connection: close"
        ),
        pytest.param(
            [[send(complete_response(Set_Cookie="session=1; Path=/")), read_request, *PASS]], [1, 1], id="cookie"
        ),
        pytest.param([[send(complete_response()), read_request], PASS], [1, 2], id="closed at the second request"),
        pytest.param(
            [[send(complete_response() + complete_response(b"{}"))], PASS], [1, 1], id="two responses to one request"
        ),
        pytest.param(
            [
                [
                    send(response_head("102 Processing")),
                    pause(0.1),
                    send(complete_response(b"{}")),
                    read_request,
                    *PASS,
                ]
            ],
            [1, 1],
            id="response after an interim one",
        ),
    ],
)
def test_two_requests(start, scripts, attempts):
    """The second request reuses the connection if possible. The first response does not change the second response."""
    with FaultServer(scripts) as ddm:
        function = start(DDM_ENDPOINT=ddm.url)
        first = function.send_event()
        ddm.closing.wait(0.05)
        second = function.send_event()
    assert [response.log_entry["upstream"]["attempts"] for response in (first, second)] == attempts
    assert second.summary["verdict"] == "PASS"
    assert ddm.connections == len(scripts)
    assert not any(b"Cookie" in request for request in ddm.requests)


def test_pool_is_bounded():
    """There is at most one connection to a host for each thread, and there are pools for at most 32 hosts."""
    transport = Transport(7, None)
    assert (transport._adapter._pool_connections, transport._adapter._pool_maxsize) == (32, 7)
    assert transport._proxies.cache_info().maxsize == 32


def test_request(start, tmp_path):
    """The request to DDM has only these headers: no credentials from `.netrc`, and no default headers of requests."""
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
        "Accept-Encoding: gzip",
        "Accept: application/json",
        f"Host: 127.0.0.1:{ddm.port}",
        "User-Agent: ddm-precheck",
        f"X-Auth-Token: {TOKEN}",
    ]


def test_slow_sink(start, monkeypatch, fake_ddm: FakeDDM, authority: Authority):
    """If a sink receives a long summary slowly, the exchange ends after the sink's timeout."""
    monkeypatch.setattr("ddm_precheck.sink.TIMEOUT_SECONDS", 0.5)
    fake_ddm.behaviours["long"] = results(check("a", "WARN", note="b" * 900_000))
    event = base64.b64encode(json.dumps(EVENT | {"db_name": "long"}).encode()).decode()
    with FaultServer([[receive_slowly]], tls=authority.context(), before_request=True) as sink:
        function = start(K_SINK=sink.url, REQUESTS_CA_BUNDLE=str(authority.bundle))
        started = time.monotonic()
        response = function.send({"message": {"data": event}, "subscription": "s"})
    assert (response.problem_code, sink.connections) == ("sink-unavailable", 1)
    assert response.body["message"] == "The sink did not accept the event: localhost did not respond in time"
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("addresses", [1, 2])
def test_timeout_while_connecting(start, monkeypatch, addresses):
    """All addresses of a host share the timeout."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: resolve(*args, **named) * addresses)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # If the queue of connections is full, the system does not respond to further connections.
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.settimeout(0)
            sock.connect_ex(listener.getsockname())
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        response = start(DDM_ENDPOINT=endpoint, DDM_TIMEOUT_SECONDS="0.6").send_event()
        for sock in waiting:
            sock.close()
    assert response.problem_code == "upstream-timeout"
    assert 550 <= response.log_entry["upstream"]["elapsed_ms"] < 1000


@pytest.mark.parametrize("host", ["a..b.example", f"{'a' * 64}.example"], ids=["empty label", "long label"])
def test_invalid_host_name(start, host):
    """An invalid host name and a host name that cannot be resolved have the same message."""
    response = start(DDM_ENDPOINT=f"https://{host}").send_event()
    assert response.body["message"] == (
        f"DDM is not available: the host name {host} could not be resolved; check the region"
    )


def test_no_read_after_the_deadline():
    """After the deadline, nothing is read, even if bytes are available."""
    sock, other = socket.socketpair()
    with sock, other:
        sock.settimeout(0.001)
        reader = _DeadlineReader(sock.makefile("rb").detach(), sock)
        time.sleep(0.01)
        with pytest.raises(TimeoutError):
            reader.readinto(bytearray(1))
