"""Between the function and DDM: redirects, kept connections, certificates, proxies, and what requests would add."""

import base64
import json
import socket
import time
from io import DEFAULT_BUFFER_SIZE

import pytest
from helpers.certificates import Authority
from helpers.fault_server import (
    PASS_BODY,
    FaultServer,
    chunk,
    complete_response,
    pause,
    read_request,
    receive_bytes,
    receive_slowly,
    reset,
    response_head,
    send,
    send_endlessly,
    send_slowly,
    tunnel,
    wait_for_close,
)
from helpers.function import EVENT, TOKEN
from test_connection_faults import BOMB, CHUNKED, ZIPPED

from ddm_precheck.transport import Transport
from deploy.fake_ddm import FakeDDM, check, results

DOWN = complete_response(b'{"error_code": "APIGW.0201", "error_msg": "down"}', "503 Service Unavailable")
GOOD = [send(complete_response()), wait_for_close]
CHUNKS = [CHUNKED, b"A;x=y\r\n" + PASS_BODY[:10], b"\r\n" + chunk(PASS_BODY[10:]), b"0\r\nX-Trailer: x\r\n\r\n"]


@pytest.fixture
def authority(tmp_path) -> Authority:
    """A certificate authority of the test's own."""
    return Authority(tmp_path)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "body", [[send(b"")], [send(BOMB)], [send_endlessly(b" " * 65536)]], ids=["plain", "gzip bomb", "endless"]
)
def test_redirect(start, status, body):
    """A redirect is not followed, whatever it carries: it would take the token along."""
    with FaultServer([GOOD]) as target:
        redirect = response_head(
            f"{status} Elsewhere", Location=f"{target.url}/v3", Refresh=f"0; url={target.url}", **ZIPPED
        )
        with FaultServer([[send(redirect), *body]]) as server:
            response = start(DDM_ENDPOINT=server.url).send_event()
    assert response.problem_code == "upstream-contract"
    assert response.body["message"] == f"DDM answered with the unexpected status {status}"
    assert (server.connections, target.connections) == (1, 0)


@pytest.mark.parametrize(
    ("scripts", "attempts"),
    [
        ([[send(DOWN), read_request, send(DOWN), read_request, *GOOD]], 3),
        ([[reset], GOOD], 2),
        ([[send(response_head(Content_Length=9))], GOOD], 2),
        ([[send(DOWN), reset], GOOD], 2),
        ([[send(response_head("103 Early Hints", Link="x")), pause(0.2), *GOOD]], 1),
        (
            [[send(response_head("100 Continue") + response_head("102 Processing") + response_head("199 Odd")), *GOOD]],
            1,
        ),
        ([[*(send(each) for each in CHUNKS), wait_for_close]], 1),
        ([[send(response_head() + PASS_BODY)]], 1),
    ],
    ids=[
        *("two refusals", "a reset", "an end", "a refusal and a reset"),
        *("early hints", "interim answers", "chunks", "no length"),
    ],
)
def test_success_in_the_end(start, scripts, attempts):
    """What passes within the attempts, or is no fault at all, ends in the verdict."""
    with FaultServer(scripts) as server:
        summary = start(DDM_ENDPOINT=server.url).send_event().summary
    assert (summary["verdict"], summary["upstream"]["attempts"]) == ("PASS", attempts)
    assert (len(server.requests), server.connections) == (attempts, len(scripts))


@pytest.mark.parametrize(
    ("scripts", "attempts"),
    [
        ([[send(complete_response()), read_request, *GOOD]], [1, 1]),
        (
            [[send(CHUNKED + chunk(PASS_BODY) + b"0\r\n\r\n"), read_request, *GOOD]],
            [1, 1],
        ),
        ([[send(DOWN.replace(b"503", b"403")), read_request, *GOOD]], [1, 1]),
        ([[send(response_head("204 No Content")), read_request, *GOOD]], [1, 1]),
        ([[send(complete_response())], GOOD], [1, 1]),
        ([[send(complete_response(Connection="close")), wait_for_close], GOOD], [1, 1]),
        ([[send(complete_response(Set_Cookie="session=1; Path=/")), read_request, *GOOD]], [1, 1]),
        ([[send(complete_response()), read_request], GOOD], [1, 2]),
        ([[send(complete_response() + complete_response(b"{}"))], GOOD], [1, 1]),
        (
            [[send(response_head("102 Processing")), pause(0.1), send(complete_response(b"{}")), read_request, *GOOD]],
            [1, 1],
        ),
    ],
    ids=[
        *("kept", "kept after chunks", "kept after a refusal", "kept after nothing", "ended while idle", "not kept"),
        *("cookie", "ended by the second request", "an response too many", "late answer"),
    ],
)
def test_kept_connection(start, scripts, attempts):
    """A connection is used again while it lives, and nothing of one response shows in the next."""
    with FaultServer(scripts) as server:
        function = start(DDM_ENDPOINT=server.url)
        first = function.send_event()
        server.closing.wait(0.05)
        second = function.send_event()
    assert [first.log_entry["upstream"]["attempts"], second.log_entry["upstream"]["attempts"]] == attempts
    assert second.summary["verdict"] == "PASS"
    assert server.connections == len(scripts)
    assert not any(b"Cookie" in each for each in server.requests)


def test_answer_too_many_in_a_tls_record(start, authority: Authority):
    """What TLS has decrypted behind an response is not the next one, though the socket has nothing more to read."""
    refusal = response_head("403 Forbidden", Content_Length=2, X_Pad="")
    padded = refusal.replace(b"X-Pad: ", b"X-Pad: " + b"x" * (DEFAULT_BUFFER_SIZE - len(refusal) - 2)) + b"{}"
    warning = complete_response(PASS_BODY.replace(b"SUCCESS", b"WARN"))
    with FaultServer(
        [[send(padded + complete_response()), wait_for_close], [send(warning), wait_for_close]], tls=authority.context()
    ) as server:
        function = start(DDM_ENDPOINT=server.url, REQUESTS_CA_BUNDLE=str(authority.bundle))
        assert [function.send_event().body["verdict"], function.send_event().body["verdict"]] == ["ERROR", "WARN"]
    assert server.connections == 2


def test_tls_connection_is_kept(start, authority: Authority):
    """One that has nothing on it is used again."""
    with FaultServer([[send(complete_response()), read_request, *GOOD]], tls=authority.context()) as server:
        function = start(DDM_ENDPOINT=server.url, REQUESTS_CA_BUNDLE=str(authority.bundle))
        assert [function.send_event().body["verdict"], function.send_event().body["verdict"]] == ["PASS", "PASS"]
    assert server.connections == 1


def test_what_is_kept_is_bounded():
    """As many connections a host as threads, and no more hosts than there are regions, whatever events name."""
    transport = Transport(7)
    adapter = transport._session.get_adapter("https://ddm.example.com")
    assert (adapter._pool_connections, adapter._pool_maxsize) == (32, 7)
    assert transport._environment.cache_info().maxsize == 32


def test_cookies_are_not_kept():
    """However many cookies a server sets, none is kept, let alone sent."""
    transport = Transport(1)
    with FaultServer([[send(complete_response(Set_Cookie="session=1; Path=/")), wait_for_close]]) as server:
        transport.send("GET", server.url, {}, seconds=5, most=100)
    assert list(transport._session.cookies) == []


def test_request(start, tmp_path):
    """Exactly this is sent to DDM: no credentials of `.netrc`, nothing that requests adds by itself."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login someone password secret")
    with FaultServer([GOOD]) as server:
        start(DDM_ENDPOINT=server.url, NETRC=str(netrc)).send_event(headers={"Cookie": "a=b", "X-Other": "c"})
    line, *headers = server.requests[0].decode().split("\r\n")
    assert line == (
        f"GET /v3/{EVENT['project_id']}/instances/{EVENT['instance_id']}"
        f"/databases/pass/migration/precheck/{EVENT['job_id']} HTTP/1.1"
    )
    assert sorted(headers) == [
        "Accept-Encoding: gzip",
        "Accept: application/json",
        f"Host: 127.0.0.1:{server.port}",
        "User-Agent: ddm-precheck",
        f"X-Auth-Token: {TOKEN}",
    ]


def test_sink_that_takes_it_slowly(start, monkeypatch, fake_ddm: FakeDDM, authority: Authority):
    """A sink that takes a long summary in sips holds the function no longer than its time."""
    monkeypatch.setattr("ddm_precheck.sink.TIMEOUT_SECONDS", 0.5)
    fake_ddm.behaviours["long"] = results(check("a", "WARN", note="b" * 3_000_000))
    event = base64.b64encode(json.dumps(EVENT | {"db_name": "long"}).encode()).decode()
    with FaultServer([[receive_slowly]], tls=authority.context(), before_request=True) as sink:
        function = start(K_SINK=sink.url, REQUESTS_CA_BUNDLE=str(authority.bundle))
        started = time.monotonic()
        response = function.send({"message": {"data": event}, "subscription": "s"})
    assert (response.problem_code, sink.connections) == ("sink-unavailable", 1)
    assert response.body["message"] == "The sink did not take the event: localhost did not answer in time"
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("addresses", [1, 2])
def test_silence_while_connecting(start, monkeypatch, addresses):
    """The time for connecting is there once, and is shared by all addresses of the host."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **named: resolve(*args, **named) * addresses)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # Once nobody more may wait to be accepted, the system leaves callers without an response.
        waiting = [socket.socket() for _ in range(8)]
        for each in waiting:
            each.settimeout(0)
            each.connect_ex(full.getsockname())
        response = start(
            DDM_ENDPOINT=f"http://127.0.0.1:{full.getsockname()[1]}", DDM_TIMEOUT_SECONDS="0.6"
        ).send_event()
        for each in waiting:
            each.close()
    assert response.problem_code == "upstream-timeout"
    assert 550 <= response.log_entry["upstream"]["elapsed_ms"] < 1000


@pytest.mark.parametrize("host", ["a..b.example", f"{'a' * 64}.example"], ids=["empty label", "long label"])
def test_host_that_cannot_be_a_name(start, host):
    """A host that no resolver takes is one that cannot be resolved."""
    response = start(DDM_ENDPOINT=f"https://{host}").send_event()
    assert response.body["message"] == (
        f"DDM is not available: the host name {host} could not be resolved; check the region"
    )


def test_trusted_certificate(start, authority: Authority):
    """With the authority's bundle, its certificate is trusted."""
    with FaultServer([GOOD], tls=authority.context()) as server:
        response = start(DDM_ENDPOINT=server.url, REQUESTS_CA_BUNDLE=str(authority.bundle)).send_event()
    assert (response.summary["verdict"], server.connections) == ("PASS", 1)


@pytest.mark.parametrize(
    ("host", "how", "trusted"),
    [
        ("localhost", {}, False),
        ("localhost", {"expired": True}, True),
        ("localhost", {"self_signed": True}, True),
        ("ddm.example.com", {}, True),
    ],
    ids=["unknown authority", "expired", "self-signed", "wrong host"],
)
def test_certificate_that_is_not_trusted(start, authority: Authority, host, how, trusted):
    """A certificate in doubt gets no read_request, and so no token."""
    bundle = {"REQUESTS_CA_BUNDLE": str(authority.bundle)} if trusted else {}
    with FaultServer([GOOD], tls=authority.context(host, **how)) as server:
        response = start(DDM_ENDPOINT=server.url, **bundle).send_event()
    assert response.problem_code == "upstream-unavailable"
    assert response.body["message"] == (
        "DDM is not available: the TLS connection to localhost could not be made, or its certificate is not trusted"
    )
    assert (server.requests, server.connections) == ([], 3)


@pytest.mark.parametrize(
    ("script", "code", "calls"),
    [
        ([wait_for_close], "upstream-timeout", 1),
        ([send_slowly(b"\x16\x03\x03\x40\x00" + bytes(900))], "upstream-timeout", 1),
        ([send(complete_response())], "upstream-unavailable", 3),
        ([receive_bytes, reset], "upstream-unavailable", 3),
    ],
    ids=["silence", "dripping", "HTTP instead", "reset"],
)
def test_handshake(start, monkeypatch, script, code, calls):
    """A TLS handshake that comes to nothing ends in time, and no token has left by then."""
    monkeypatch.setattr("ddm_precheck.ddm._FIRST_PAUSE_SECONDS", 0.01)
    with FaultServer([script], before_request=True) as server:
        response = start(DDM_ENDPOINT=f"https://localhost:{server.port}", DDM_TIMEOUT_SECONDS="0.5").send_event()
    assert (response.problem_code, server.connections) == (code, calls)
    assert response.log_entry["upstream"]["elapsed_ms"] < 900


def test_proxy(start, authority: Authority):
    """HTTPS_PROXY is used, gets its own credentials, and sees no token."""
    with FaultServer([GOOD], tls=authority.context()) as server, FaultServer([[tunnel]], before_request=True) as proxy:
        function = start(
            DDM_ENDPOINT=server.url,
            REQUESTS_CA_BUNDLE=str(authority.bundle),
            HTTPS_PROXY=f"http://someone:secret@127.0.0.1:{proxy.port}",
        )
        response = function.send_event()
    assert (response.summary["verdict"], server.connections, proxy.connections) == ("PASS", 1, 1)
    (asked,) = proxy.requests
    assert asked.startswith(b"CONNECT localhost:%d HTTP/1." % server.port)
    assert b"\r\nProxy-Authorization: Basic c29tZW9uZTpzZWNyZXQ=" in asked
    assert b"X-Auth-Token" not in asked
    assert b"Proxy-Authorization" not in server.requests[0]


def test_proxy_over_tls(start, authority: Authority):
    """A proxy may be asked over TLS itself; each call then gets its own connection."""
    scripts = [[send(complete_response()), wait_for_close]]
    with (
        FaultServer(scripts, tls=authority.context()) as server,
        FaultServer([[tunnel]], tls=authority.context(), before_request=True) as proxy,
    ):
        function = start(
            DDM_ENDPOINT=server.url,
            REQUESTS_CA_BUNDLE=str(authority.bundle),
            HTTPS_PROXY=f"https://localhost:{proxy.port}",
        )
        assert [function.send_event().body["verdict"], function.send_event().body["verdict"]] == ["PASS", "PASS"]
    assert (server.connections, proxy.connections) == (2, 2)
    assert not any(b"X-Auth-Token" in each for each in proxy.requests)


LOST = "DDM is not available: the connection to ddm.example.com was lost"
REFUSED = "DDM is not available: the proxy in front of ddm.example.com did not connect"
LATE = "DDM took too long: ddm.example.com did not answer in time"


@pytest.mark.parametrize(
    ("script", "messages", "calls"),
    [
        ([read_request, send(complete_response(TOKEN.encode(), "403 Forbidden"))], {REFUSED}, 3),
        ([read_request, reset], {LOST}, 3),
        ([reset], {LOST, REFUSED}, 3),  # the reset may be there before the connection counts as made
        ([read_request, wait_for_close], {LATE}, 1),
        ([read_request, send_slowly(response_head(X_Header="x" * 900))], {LATE}, 1),
        ([read_request, send(response_head()), wait_for_close], {LATE}, 1),
        (
            [read_request, send(response_head()), receive_bytes, send_slowly(b"\x16\x03\x03\x40\x00" + bytes(900))],
            {LATE},
            1,
        ),
    ],
    ids=["refusal", "reset", "early reset", "silence", "dripping", "silence behind it", "dripping behind it"],
)
def test_proxy_that_fails(start, monkeypatch, script, messages, calls):
    """A proxy that fails is no DDM to be reached, in time."""
    monkeypatch.setattr("ddm_precheck.ddm._FIRST_PAUSE_SECONDS", 0.01)
    with FaultServer([script], before_request=True) as proxy:
        function = start(
            DDM_ENDPOINT="https://ddm.example.com",
            DDM_TIMEOUT_SECONDS="0.5",
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
        )
        response = function.send_event()
    assert response.body["message"] in messages
    assert proxy.connections == calls
    assert response.problem_code == ("upstream-timeout" if messages == {LATE} else "upstream-unavailable")
    assert response.log_entry["upstream"]["elapsed_ms"] < 900


def test_proxy_that_is_down(start):
    """A proxy where nobody listens is told as such."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    response = start(DDM_ENDPOINT="https://ddm.example.com", HTTPS_PROXY=f"http://127.0.0.1:{port}").send_event()
    assert response.body["message"] == REFUSED


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_plain_http_needs_no_proxy(start, name):
    """What goes to this machine without TLS does not leave it, whatever proxy the environment names."""
    with FaultServer([GOOD]) as server, FaultServer([[wait_for_close]], before_request=True) as proxy:
        response = start(DDM_ENDPOINT=server.url, **{name: f"http://127.0.0.1:{proxy.port}"}).send_event()
    assert (response.summary["verdict"], server.connections, proxy.connections) == ("PASS", 1, 0)


def test_no_proxy(start, authority: Authority):
    """NO_PROXY names who is asked without one."""
    with FaultServer([GOOD], tls=authority.context()) as server, FaultServer([[tunnel]], before_request=True) as proxy:
        function = start(
            DDM_ENDPOINT=server.url,
            REQUESTS_CA_BUNDLE=str(authority.bundle),
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}",
            NO_PROXY="localhost",
        )
        response = function.send_event()
    assert (response.summary["verdict"], server.connections, proxy.connections) == ("PASS", 1, 0)
