"""The sink: the function sends the summary of an event delivery as a CloudEvent to the URL in `K_SINK`."""

import time
from collections.abc import Iterator
from uuid import UUID

import pytest
from helpers.envelopes import ATTRIBUTES, TRACEPARENT, binary_headers, push_body, send_structured
from helpers.function import EVENT, TOKEN
from helpers.sink import Sink


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A sink for one test."""
    with Sink() as server:
        yield server


@pytest.mark.parametrize(
    ("body", "headers", "ce_id"),
    [
        pytest.param(ATTRIBUTES | {"data": EVENT}, {}, "e-1", id="structured"),
        pytest.param(EVENT, binary_headers(), "e-1", id="binary"),
        pytest.param(push_body(EVENT), {}, "m-1", id="push"),
        pytest.param(push_body(EVENT, messageId=7), {}, None, id="push without an ID"),
        pytest.param(push_body(EVENT, messageId="x" * 1024), {}, "x" * 1024, id="push, max ID"),
        pytest.param(push_body(EVENT, messageId="x" * 1025), {}, None, id="push, ID too long"),
    ],
)
@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_summary_goes_to_the_sink(start, sink: Sink, body, headers, ce_id, status):
    """The sink receives the summary in binary mode. If its status is 2xx, the event delivery gets 202 and no body."""
    sink.status = status
    response = start(K_SINK=sink.url).send(body, headers={"traceparent": TRACEPARENT} | headers)
    assert (response.status, response.text, response.log_entry["verdict"]) == (202, "", "PASS")
    ((received, summary),) = sink.received
    assert received["content-type"] == "application/json"
    expected = {
        "user-agent": "ddm-precheck",
        "ce-specversion": "1.0",
        "ce-source": "ddm-precheck",
        "ce-type": "ddm.precheck.verdict.v1",
        "ce-subject": EVENT["job_id"],
        "ce-verdict": "PASS",
        "ce-traceparent": TRACEPARENT,
    }
    assert expected.items() <= received.items()
    assert ce_id == received["ce-id"] or (ce_id is None and UUID(received["ce-id"]))
    assert (summary["verdict"], summary["checked_at"]) == ("PASS", received["ce-time"])
    assert TOKEN not in f"{received}{summary}"


@pytest.mark.parametrize("body", [b"taken", b"x" * 100_000], ids=["short", "long"])
def test_body_of_the_sinks_response_is_ignored(start, sink: Sink, body):
    """The function uses only the status of the sink's response."""
    sink.body = body
    assert send_structured(start(K_SINK=sink.url), data=EVENT).status == 202


@pytest.mark.parametrize("status", [300, 302, 307, 400, 404, 500, 503])
def test_sink_rejects_the_summary(start, sink: Sink, status):
    """If the sink responds with anything but 2xx, the problem `sink-unavailable` makes the broker retry."""
    sink.status = status
    response = send_structured(start(K_SINK=sink.url), data=EVENT)
    assert (response.status, response.problem_code, response.headers["Retry-After"]) == (502, "sink-unavailable", "10")
    assert response.body["message"] == f"The sink did not accept the event: its HTTP status is {status}"
    assert (response.body["upstream"]["status"], response.log_entry["upstream"]["attempts"]) == (200, 1)
    assert len(sink.received) == 1


def test_sink_refuses_the_connection(start, sink: Sink):
    """If nothing listens at the sink's URL, the problem is `sink-unavailable`."""
    url = sink.url
    sink.server_close()
    response = send_structured(start(K_SINK=url), data=EVENT)
    assert (response.problem_code, response.body["upstream"]["status"]) == ("sink-unavailable", 200)


def test_sink_sends_no_response(start, sink: Sink, monkeypatch):
    """If the sink sends no response, the exchange ends after the sink's timeout."""
    sink.status = 0
    monkeypatch.setattr("ddm_precheck.sink.TIMEOUT_SECONDS", 0.3)
    started = time.monotonic()
    assert send_structured(start(K_SINK=sink.url), data=EVENT).problem_code == "sink-unavailable"
    assert time.monotonic() - started < 5


def test_direct_request_does_not_use_the_sink(start, sink: Sink):
    """A direct request gets its summary in the response. The sink receives nothing."""
    assert start(K_SINK=sink.url).send_event().summary["verdict"] == "PASS"
    assert sink.received == []


def test_pending_does_not_go_to_the_sink(start, sink: Sink):
    """The sink receives nothing while the verdict is PENDING."""
    response = send_structured(start(K_SINK=sink.url), data=EVENT | {"db_name": "pending"})
    assert response.problem_code == "pending"
    assert sink.received == []
