"""The sink: the function sends the summary of an event delivery as a CloudEvent to the URL in `K_SINK`."""

import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from helpers.certificates import Authority
from helpers.envelopes import (
    DELIVERIES,
    SMN_HEADERS,
    TRACEPARENT,
    UNWRAPPED_HEADERS,
    binary_headers,
    push_body,
    send_structured,
    smn_body,
)
from helpers.function import EVENT
from helpers.sink import Sink

from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM
from testing.fault_server import FaultServer, receive_slowly


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as server:
        yield server


@pytest.mark.parametrize("make_delivery", DELIVERIES.values(), ids=DELIVERIES)
@pytest.mark.parametrize(
    ("accepted", "can_proceed"), [(["DB instance time zone"], "true"), (["Removed check"], "false")]
)
def test_summary_goes_to_the_sink(start, sink: Sink, make_delivery, accepted, can_proceed):
    body, headers = make_delivery(EVENT | {"db_name": "warn", "accepted_warnings": accepted})
    response = start(K_SINK=sink.url).send(body, headers={"traceparent": TRACEPARENT} | headers)
    assert response.status == 202
    assert response.log_entry["verdict"] == "WARN"
    ((received, summary),) = sink.received
    assert received["content-type"] == "application/json"
    expected = {
        "user-agent": "ddm-precheck",
        "ce-specversion": "1.0",
        "ce-source": "ddm-precheck",
        "ce-type": "ddm.precheck.verdict.v1",
        "ce-subject": EVENT["job_id"],
        "ce-verdict": "WARN",
        "ce-canproceed": can_proceed,
        "ce-time": summary["checked_at"],
        "ce-traceparent": TRACEPARENT,
    }
    assert expected.items() <= received.items()
    assert summary["verdict"] == "WARN"


@pytest.mark.parametrize(
    ("body", "headers", "ce_id"),
    [
        (EVENT, binary_headers(), "e-1"),
        (push_body(EVENT), {}, "m-1"),
        (push_body(EVENT, messageId=7), {}, None),
        (EVENT, UNWRAPPED_HEADERS, None),
        (EVENT, {"x-goog-pubsub-message-id": "7"}, "7"),
        (smn_body(EVENT), SMN_HEADERS, "m-1"),
        (smn_body(EVENT, message_id=None), SMN_HEADERS, None),
    ],
    ids=["binary", "push", "number", "unwrapped", "unwrapped, ID", "SMN", "SMN, no ID"],
)
def test_id_of_the_cloudevent(start, sink: Sink, body, headers, ce_id):
    start(K_SINK=sink.url).send(body, headers=headers)
    ((received, _),) = sink.received
    assert received["ce-id"] == ce_id or (ce_id is None and UUID(received["ce-id"]))


@pytest.mark.parametrize("status", [200, 204, 299])
@pytest.mark.parametrize("body", [b"", b"x" * 60_000])
def test_sink_accepts_the_summary(start, sink: Sink, status, body):
    sink.status, sink.body = status, b"" if status == 204 else body
    assert send_structured(start(K_SINK=sink.url), data=EVENT).status == 202


@pytest.mark.parametrize("status", [300, 302, 404, 500])
def test_sink_rejects_the_summary(start, sink: Sink, status):
    sink.status = status
    response = send_structured(start(K_SINK=sink.url), data=EVENT)
    assert response.problem_code == "sink-unavailable"
    assert response.headers["Retry-After"] == "10"
    assert response.message == f"The sink did not accept the event: it responded {status}"
    assert response.body["upstream"]["status"] == 200
    assert len(sink.received) == 1


def test_sink_refuses_the_connection(start, sink: Sink):
    url = sink.url
    sink.server_close()
    response = send_structured(start(K_SINK=url), data=EVENT)
    assert response.problem_code == "sink-unavailable"
    assert response.message == "The sink did not accept the event: 127.0.0.1 refused the connection"
    assert response.body["upstream"]["status"] == 200


def test_sink_sends_no_response(start, sink: Sink, monkeypatch):
    sink.status = 0
    monkeypatch.setattr("ddm_precheck.sink._TIMEOUT_SECONDS", 0.3)
    started = time.monotonic()
    assert send_structured(start(K_SINK=sink.url), data=EVENT).problem_code == "sink-unavailable"
    assert time.monotonic() - started < 5


def test_sink_receives_slowly(start, monkeypatch, fake_ddm: FakeDDM, authority: Authority):
    monkeypatch.setattr("ddm_precheck.sink._TIMEOUT_SECONDS", 0.5)
    fake_ddm.behaviours["long"] = results(check("a", "WARN", note="b" * 900_000))
    with FaultServer([[receive_slowly]], tls=authority.context(), before_request=True) as server:
        function = start(K_SINK=server.url, REQUESTS_CA_BUNDLE=str(authority.bundle))
        started = time.monotonic()
        response = function.send(push_body(EVENT | {"db_name": "long"}))
    assert response.problem_code == "sink-unavailable"
    assert time.monotonic() - started < 5


def test_direct_request_does_not_use_the_sink(start, sink: Sink):
    assert start(K_SINK=sink.url).send_event().verdict == "PASS"
    assert sink.received == []


@pytest.mark.parametrize("make_delivery", DELIVERIES.values(), ids=DELIVERIES)
@pytest.mark.parametrize(("db_name", "code"), [("pending", "pending"), ("unauthorized", "unauthorized")])
def test_problem_does_not_go_to_the_sink(start, sink: Sink, make_delivery, db_name, code):
    body, headers = make_delivery(EVENT | {"db_name": db_name})
    assert start(K_SINK=sink.url).send(body, headers=headers).problem_code == code
    assert sink.received == []
