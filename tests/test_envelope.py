"""Delivered events: section 3 of the contract."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote
from uuid import UUID

import pytest
from conftest import EVENT, TOKEN, Answer, Function

from deploy.fake_ddm import FakeDDM

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ATTRIBUTES = {"specversion": "1.0", "id": "e-1", "source": "/scheduler", "type": "precheck.wanted"}
STRUCTURED = "application/cloudevents+json"


def encoded(document: object) -> str:
    """Return base64 of the document's JSON."""
    return base64.b64encode(json.dumps(document).encode()).decode()


def push(document: object, **members: object) -> dict:
    """Return the body that Pub/Sub pushes."""
    message = {"data": encoded(document), "messageId": "m-1", "publishTime": "2026-11-23T08:00:00Z"}
    return {"message": message | members, "subscription": "projects/p/subscriptions/s"}


def binary_headers(**attributes: str) -> dict[str, str]:
    """Return a CloudEvent's attributes as headers."""
    return {f"ce-{name}": value for name, value in (ATTRIBUTES | attributes).items()}


def structured(function: Function, content_type: str = STRUCTURED, **members: object) -> Answer:
    """Send a structured CloudEvent."""
    return function.send(ATTRIBUTES | members, headers={"Content-Type": content_type})


EVENTARC = {"Content-Type": "application/json", **binary_headers(type="google.cloud.pubsub.topic.v1.messagePublished")}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ATTRIBUTES | {"data": EVENT}, {"Content-Type": STRUCTURED}),
        (ATTRIBUTES | {"data": EVENT}, {"Content-Type": f"{STRUCTURED}; charset=utf-8"}),
        (ATTRIBUTES | {"data": EVENT}, {"Content-Type": "application/json"}),
        (ATTRIBUTES | {"data_base64": encoded(EVENT)}, {"Content-Type": STRUCTURED}),
        (ATTRIBUTES | {"data": EVENT, "datacontenttype": "application/json", "subject": "x"}, {}),
        (ATTRIBUTES | {"data": push(EVENT)}, {"Content-Type": STRUCTURED}),
        (EVENT, binary_headers()),
        (EVENT, binary_headers() | {"Content-Type": "text/plain"}),
        (push(EVENT), EVENTARC),
        (push(EVENT), {}),
        (push(EVENT, attributes={"a": "b"}, orderingKey="k") | {"deliveryAttempt": 5}, {}),
    ],
    ids=[
        *("structured", "structured with charset", "structured as JSON", "base64", "more attributes"),
        *("Eventarc structured", "binary", "binary as text", "Eventarc binary", "push", "push with more"),
    ],
)
def test_envelopes(function: Function, fake_ddm: FakeDDM, body, headers):
    """Each envelope is told by what it is, and its event reaches DDM."""
    assert function.send(body, headers=headers).summary["verdict"] == "PASS"
    assert [call.job_id for call in fake_ddm.requests] == [EVENT["job_id"]]


@pytest.mark.parametrize(
    ("body", "headers", "pointers"),
    [
        ([ATTRIBUTES | {"data": EVENT}], {"Content-Type": "application/cloudevents-batch+json"}, [""]),
        (EVENT, {"Content-Type": "application/cloudevents-batch"}, [""]),
        ([ATTRIBUTES | {"data": EVENT}], {"Content-Type": STRUCTURED}, [""]),
        (EVENT, {"Content-Type": STRUCTURED}, ["/specversion"]),
        (ATTRIBUTES | {"data": EVENT, "specversion": "0.3"}, {}, ["/specversion"]),
        (ATTRIBUTES | {"data": EVENT, "specversion": 1.0}, {}, ["/specversion"]),
        (ATTRIBUTES | {"data": EVENT, "id": ""}, {}, ["/id"]),
        (ATTRIBUTES | {"data": EVENT, "id": 7}, {}, ["/id"]),
        (ATTRIBUTES | {"data": EVENT, "id": "x" * 1025}, {}, ["/id"]),
        (ATTRIBUTES | {"data": EVENT, "id": "\U0001f511" * 257}, {}, ["/id"]),
        (EVENT, binary_headers(id="%F0%9F%94%91" * 257), ["/id"]),
        (ATTRIBUTES | {"data": EVENT, "source": None}, {}, ["/source"]),
        ({"specversion": "1.0", "id": "1", "source": "s", "data": EVENT}, {}, ["/type"]),
        (ATTRIBUTES, {}, ["/data"]),
        (ATTRIBUTES | {"data": EVENT, "data_base64": encoded(EVENT)}, {}, ["/data"]),
        (ATTRIBUTES | {"data": 7}, {}, [""]),
        (ATTRIBUTES | {"data": json.dumps(EVENT)}, {}, [""]),
        (ATTRIBUTES | {"data": None}, {}, [""]),
        (ATTRIBUTES | {"data_base64": "no base64!"}, {}, ["/data_base64"]),
        (ATTRIBUTES | {"data_base64": EVENT}, {}, ["/data_base64"]),
        (ATTRIBUTES | {"data_base64": base64.b64encode(b"{").decode()}, {}, []),
        (ATTRIBUTES | {"data": push(push(EVENT))}, {}, None),
        (EVENT, {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "s"}, ["/type"]),
        (EVENT, binary_headers(specversion="0.3"), ["/specversion"]),
        (EVENT, {"ce-specversion": ""}, ["/specversion"]),
        (EVENT, binary_headers(id='""'), ["/id"]),
        (EVENT, binary_headers(id="%C0%A0"), ["/id"]),
        (EVENT, binary_headers(source="%ED%A0%80"), ["/source"]),
        (EVENT, binary_headers(type="\u00e9"), ["/type"]),
        (ATTRIBUTES | {"data": EVENT}, binary_headers(), None),
        (b"", binary_headers(), []),
        (push(push(EVENT)), {}, None),
        (push(ATTRIBUTES | {"data": EVENT}), {}, None),
        (push(EVENT, data="no base64!"), {}, ["/message/data"]),
        (push(EVENT, data=7), {}, ["/message/data"]),
        (push(EVENT, data="\u00e9"), {}, ["/message/data"]),
        (push(EVENT, data=base64.b64encode(TOKEN.encode()).decode()), {}, []),
        ({"message": {}, "subscription": "s"}, {}, ["/message/data"]),
        ({"message": TOKEN, "subscription": "s"}, {}, ["/message"]),
        (push("text"), {}, [""]),
    ],
)
def test_bad_envelopes(function: Function, fake_ddm: FakeDDM, body, headers, pointers):
    """An envelope that is not whole, or not the only one, is refused; DDM is not called."""
    answer = function.send(body, headers=headers)
    assert (answer.status, answer.problem) == (400, "invalid-event")
    assert pointers is None or answer.pointers == pointers
    assert fake_ddm.requests == []


def test_structured_reply(function: Function):
    """A structured event is answered with a structured one."""
    answer = structured(function, data=EVENT | {"db_name": "fail"}, traceparent=TRACE)
    assert answer.headers["Content-Type"] == STRUCTURED
    reply = dict(answer.body)
    data = reply.pop("data")
    assert reply == {
        "specversion": "1.0",
        "id": "e-1",
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": EVENT["job_id"],
        "time": data["checked_at"],
        "datacontenttype": "application/json",
        "verdict": "FAIL",
        "traceparent": TRACE,
    }


def test_binary_reply(function: Function):
    """A binary event is answered with a binary one."""
    answer = function.send(EVENT | {"db_name": "warn"}, headers=binary_headers(traceparent=TRACE))
    assert answer.headers["Content-Type"] == "application/json"
    assert {name.lower(): value for name, value in answer.headers.items() if name.lower().startswith("ce-")} == {
        "ce-specversion": "1.0",
        "ce-id": "e-1",
        "ce-source": "ddm-precheck",
        "ce-type": "ddm.precheck.verdict.v1",
        "ce-subject": EVENT["job_id"],
        "ce-time": answer.body["checked_at"],
        "ce-verdict": "WARN",
        "ce-traceparent": TRACE,
    }


def test_plain_reply(function: Function):
    """A plain call and a push are answered with the summary alone."""
    for body in (EVENT, push(EVENT)):
        answer = function.send(body, headers={"traceparent": TRACE})
        assert answer.headers["Content-Type"] == "application/json"
        assert not [name for name, _ in answer.headers.items() if name.lower().startswith("ce-")]


@pytest.mark.parametrize(
    ("value", "identity"),
    [
        ('"a b"', "a b"),
        (r'"say \"hi\" \\o/"', r'say "hi" \o/'),
        ('"50%25"', "50%"),
        ('"open', '"open'),
        ("%c3%A9", "\u00e9"),
        ("\u00e9".encode().decode("latin-1"), "\u00e9"),
    ],
    ids=["quoted", "escaped", "quoted and encoded", "not quoted", "either case", "UTF-8 as it is"],
)
def test_id_in_header(function: Function, value, identity):
    """A header's value is read as the HTTP binding says, in the older ways of writing it, too."""
    assert unquote(function.send(EVENT, headers=binary_headers(id=value)).headers["ce-id"]) == identity


def test_all_quoted(function: Function):
    """All attributes may be quoted."""
    headers = {name: f'"{value}"' for name, value in binary_headers(traceparent=TRACE).items()}
    answer = function.send(EVENT, headers=headers)
    assert (answer.summary["verdict"], answer.headers["ce-traceparent"]) == ("PASS", TRACE)


@pytest.mark.parametrize(
    ("headers", "members", "carried"),
    [
        ({"traceparent": TRACE}, {}, TRACE),
        ({"traceparent": TRACE}, {"traceparent": TRACE.replace("4bf9", "0000")}, TRACE.replace("4bf9", "0000")),
        ({"traceparent": "nonsense"}, {}, None),
        ({}, {"traceparent": f"{TRACE}\r\nX-Evil: 1"}, None),
        ({}, {"traceparent": 7}, None),
    ],
    ids=["header", "attribute wins", "malformed header", "malformed attribute", "number"],
)
def test_traceparent(function: Function, headers, members, carried):
    """The trace context is carried on, if it is one."""
    answer = function.send(ATTRIBUTES | members | {"data": EVENT}, headers=headers)
    assert answer.body.get("traceparent") == carried


@pytest.mark.parametrize(
    "identity",
    ["a b", 'say "hi"', "50%", "50%25", "\u00e9\U0001f511", "line\r\nX-Evil: 1", "nul\0\x7f", "\U0001f511" * 256],
    ids=["space", "quote", "percent", "encoded", "other letters", "line break", "NUL", "long"],
)
def test_id_comes_back(function: Function, identity):
    """The id comes back as it was, also where a header has to carry it."""
    assert structured(function, id=identity, data=EVENT).body["id"] == identity
    quoted = "".join(f"%{byte:02X}" for byte in identity.encode())
    answer = function.send(EVENT, headers=binary_headers(id=quoted))
    assert unquote(answer.headers["ce-id"]) == identity
    assert answer.headers["ce-id"].isascii()
    assert answer.headers["ce-id"].isprintable()
    assert " " not in answer.headers["ce-id"]
    assert "X-Evil" not in answer.headers


def test_id_with_the_token(function: Function):
    """An id that holds the token does not carry it on."""
    assert structured(function, id=f"job {TOKEN}", data=EVENT).body["id"] == "job ***"


def test_id_with_half_a_character(function: Function):
    """Half a character in an id is no reason to fail."""
    body = json.dumps(ATTRIBUTES | {"id": "a\ud800", "data": EVENT}).encode()
    assert function.send(body).body["id"] == "a?"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (ATTRIBUTES | {"data": EVENT | {"db_name": "pending_twice"}}, {}),
        (EVENT | {"db_name": "pending_twice"}, binary_headers()),
        (push(EVENT | {"db_name": "pending_twice"}), {}),
    ],
    ids=["structured", "binary", "push"],
)
def test_pending_is_redelivered(function: Function, body, headers):
    """A broker cannot ask again, so it is told to deliver again."""
    for _ in range(2):
        answer = function.send(body, headers=headers)
        assert (answer.status, answer.problem, answer.headers["Retry-After"]) == (503, "pending", "10")
        assert (answer.body["verdict"], answer.body["can_proceed"]) == ("PENDING", False)
        assert answer.log["severity"] == "INFO"
        assert answer.body["upstream"]["status"] == 200
    assert function.send(body, headers=headers).summary["verdict"] == "PASS"


@pytest.mark.parametrize(("db_name", "status"), [("unauthorized", 401), ("throttled", 429), ("broken", 502)])
def test_problems_keep_their_status(function: Function, db_name, status):
    """A broker gets the true status, and the problem as everybody gets it."""
    answer = structured(function, data=EVENT | {"db_name": db_name})
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")


@pytest.mark.parametrize("headers", [{}, binary_headers()], ids=["structured", "binary"])
def test_token_in_header(function: Function, fake_ddm: FakeDDM, headers):
    """A delivered event may leave the token to the header as well."""
    event = {name: value for name, value in EVENT.items() if name != "token"}
    body = event if headers else ATTRIBUTES | {"data": event}
    assert function.send(body, headers=headers | {"X-Auth-Token": TOKEN}).status == 200
    assert [call.token for call in fake_ddm.requests] == [TOKEN]


class Sink(ThreadingHTTPServer):
    """A sink that keeps what it got and answers as it is told; status 0 hangs."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _SinkHandler)
        self.status = 202
        self.body = b""
        self.got: list[tuple[dict[str, str], dict]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/inbox"


class _SinkHandler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
        if self.server.status == 0:
            time.sleep(1.5)
            return
        self.send_response(self.server.status)
        self.send_header("Location", self.server.url)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A sink for one test."""
    with Sink() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize(
    ("body", "headers", "identity"),
    [
        (ATTRIBUTES | {"data": EVENT}, {}, "e-1"),
        (EVENT, binary_headers(), "e-1"),
        (push(EVENT), {}, "m-1"),
        (push(EVENT, messageId=7), {}, None),
        (push(EVENT, messageId="x" * 1024), {}, "x" * 1024),
        (push(EVENT, messageId="x" * 1025), {}, None),
    ],
    ids=["structured", "binary", "push", "push without an id", "long id", "longer id"],
)
@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_sink_takes_it(start, sink: Sink, body, headers, identity, status):
    """The summary of a delivered event goes to the sink, and the delivery is done when the sink has it."""
    sink.status = status
    answer = start(K_SINK=sink.url).send(body, headers={"traceparent": TRACE} | headers)
    assert (answer.status, answer.text, answer.log["verdict"]) == (202, "", "PASS")
    ((got, summary),) = sink.got
    assert got["content-type"] == "application/json"
    expected = {
        "user-agent": "ddm-precheck",
        "ce-specversion": "1.0",
        "ce-source": "ddm-precheck",
        "ce-type": "ddm.precheck.verdict.v1",
        "ce-subject": EVENT["job_id"],
        "ce-verdict": "PASS",
        "ce-traceparent": TRACE,
    }
    assert expected.items() <= got.items()
    assert identity == got["ce-id"] or (identity is None and UUID(got["ce-id"]))
    assert (summary["verdict"], summary["checked_at"]) == ("PASS", got["ce-time"])
    assert TOKEN not in f"{got}{summary}"


@pytest.mark.parametrize("body", [b"taken", b"x" * 100_000], ids=["short", "long"])
def test_sink_says_something(start, sink: Sink, body):
    """What the sink says beside its status does not matter."""
    sink.body = body
    assert structured(start(K_SINK=sink.url), data=EVENT).status == 202


@pytest.mark.parametrize("status", [300, 302, 307, 400, 404, 500, 503])
def test_sink_refuses(start, sink: Sink, status):
    """A sink that does not take it, or that wants it elsewhere, makes the broker deliver again."""
    sink.status = status
    answer = structured(start(K_SINK=sink.url), data=EVENT)
    assert (answer.status, answer.problem, answer.headers["Retry-After"]) == (502, "sink-unavailable", "10")
    assert answer.body["message"] == f"The sink did not take the event: it answered {status}"
    assert (answer.body["upstream"]["status"], answer.log["upstream"]["attempts"]) == (200, 1)
    assert len(sink.got) == 1


def test_sink_is_down(start, sink: Sink):
    """Nobody listens there: the same."""
    url = sink.url
    sink.shutdown()
    sink.server_close()
    answer = structured(start(K_SINK=url), data=EVENT)
    assert (answer.problem, answer.body["upstream"]["status"]) == ("sink-unavailable", 200)


def test_sink_hangs(start, sink: Sink, monkeypatch):
    """A sink that hangs has a bound of its own."""
    sink.status = 0
    monkeypatch.setattr("ddm_precheck.sink.TIMEOUT_SECONDS", 0.3)
    begun = time.monotonic()
    assert structured(start(K_SINK=sink.url), data=EVENT).problem == "sink-unavailable"
    assert time.monotonic() - begun < 1


def test_sink_and_plain_call(start, sink: Sink):
    """A plain call never touches the sink."""
    assert start(K_SINK=sink.url).ask().summary["verdict"] == "PASS"
    assert sink.got == []


def test_sink_and_pending(start, sink: Sink):
    """Nothing goes to the sink before there is a verdict."""
    assert structured(start(K_SINK=sink.url), data=EVENT | {"db_name": "pending"}).problem == "pending"
    assert sink.got == []
