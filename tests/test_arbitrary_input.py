"""What holds for whatever comes in, from the caller or from DDM.

Each response is held against its schema and its one log line by the function itself (`Function.send`); here is what comes
on top. The examples are the same in each run; EXAMPLES=5000 in the environment looks at more of them.
"""

import base64
import gzip
import json
import os

import pytest
from helpers.fault_server import FaultServer, send
from helpers.function import EVENT, TOKEN, Function, FunctionResponse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.fake_ddm import PRIMARY_KEYS, FakeDDM, FakeResponse

EXAMPLES = int(os.environ.get("EXAMPLES", "100"))
many = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)

texts = st.text(max_size=40) | st.sampled_from(
    ["", " ", "\n", "null", "\ud800", "\u2028", TOKEN, f"x{TOKEN}\0", TOKEN[:9]]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))
names = st.sampled_from([*EVENT, "region", "proceed_on_warn", "expected_checks", "dbName"])
members = st.fixed_dictionaries(
    {},
    optional={
        "db_name": st.sampled_from(["pass", "warn", "fail", "pending", "many", "no_schema"]),
        "region": st.from_regex(r"[a-z0-9]{1,9}(-[a-z0-9]{1,9}){0,2}", fullmatch=True),
        "proceed_on_warn": st.booleans(),
        "expected_checks": st.integers(1, 1000) | st.floats(1, 1000).map(round).map(float),
    },
)
faults = st.dictionaries(names, values, min_size=1, max_size=2)
events = (members | members | faults).map(lambda members: EVENT | members)


@st.composite
def spliced(draw, documents):
    """Draw the bytes of a document with a piece cut out and another one put in."""
    data = draw(documents)
    start, length = draw(st.integers(0, len(data))), draw(st.integers(0, 20))
    return data[:start] + draw(st.binary(max_size=20)) + data[start + length :]


def wrapped(event) -> list:
    """Return the event in each of its envelopes, with a body and headers to send."""
    text = json.dumps(event)
    coded = base64.b64encode(text.encode()).decode()
    cloud = {"specversion": "1.0", "id": TOKEN, "source": "s", "type": "t"}
    push = {"message": {"data": coded, "messageId": "1"}, "subscription": "s"}
    return [
        (text, {}),
        (json.dumps(cloud | {"data": event}), {}),
        (json.dumps(cloud | {"data_base64": coded}), {"Content-Type": "application/cloudevents+json"}),
        (json.dumps(cloud | {"data": push}), {}),
        (text, {f"ce-{name}": value for name, value in cloud.items()}),
        (json.dumps(push), {}),
    ]


@pytest.fixture
def function(start, fake_ddm: FakeDDM, monkeypatch) -> Function:
    """A function in this process that waits for nothing, with a sink for none of its responses."""
    monkeypatch.setattr("ddm_precheck.ddm._FIRST_PAUSE_SECONDS", 0)
    return start(DDM_TIMEOUT_SECONDS="5")


def check_no_bug(response: FunctionResponse) -> FunctionResponse:
    """Hold the response against what nobody outside can bring about, and return it."""
    assert response.status == 200 or response.problem_code != "internal", response.log_entry
    assert TOKEN not in f"{response.headers}{response.text}{response.log_lines}"
    return response


@many
@given(document=events | values)
def test_any_json_as_event(function: Function, fake_ddm: FakeDDM, document):
    """Any JSON is a summary if it is an event, else its fault is told and DDM is not called."""
    fake_ddm.reset()
    response = check_no_bug(function.send(json.dumps(document).encode()))
    assert response.status in {200, 400, 404}
    assert len(fake_ddm.requests) == (response.status != 400)


@many
@given(event=events, envelope=st.integers(0, 5))
def test_any_envelope(function: Function, fake_ddm: FakeDDM, event, envelope):
    """Whatever envelope an event comes in, it is the same event."""
    body, headers = wrapped(event)[envelope]
    response = check_no_bug(function.send(body.encode(), headers=headers))
    plain = function.send(json.dumps(event).encode())
    told = ("verdict", "project_id", "instance_id", "db_name", "job_id")
    assert [response.log_entry[name] for name in told] == [plain.log_entry[name] for name in told]


@many
@given(body=st.binary(max_size=200) | spliced(events.map(lambda event: json.dumps(event).encode())))
def test_any_bytes_as_event(function: Function, fake_ddm: FakeDDM, body):
    """Any bytes are a summary or a refusal; a refused event does not reach DDM."""
    fake_ddm.reset()
    response = check_no_bug(function.send(body))
    assert response.status in {200, 400, 404}
    assert len(fake_ddm.requests) == (response.status != 400)


@many
@given(
    headers=st.dictionaries(
        st.sampled_from(["ce-id", "ce-specversion", "ce-type", "traceparent", "X-Auth-Token", "Accept", "Content-Type"])
        | st.sampled_from(["X-Cloud-Trace-Context", "ce-traceparent", "Content-Encoding", "ce-source", "Cookie"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
        | st.sampled_from(["1.0", "application/cloudevents+json", "*/*;q=x", "%00%0d%0a", "application/problem+json"]),
    )
)
def test_any_headers(function: Function, headers):
    """No header makes a bug, or more of an event than it is."""
    response = check_no_bug(function.send_event(headers={name: value.strip() for name, value in headers.items()}))
    assert response.status in {200, 400}


def judged(document) -> str:
    """Say what an response of DDM's is worth, from its document alone: a verdict, or that it is no response."""
    if not isinstance(document, dict) or document.get("job_id", EVENT["job_id"]) != EVENT["job_id"]:
        return "upstream-contract"
    checks = document.get("pre_check_results", "missing")
    if checks is None or checks == []:
        return "PENDING"
    if not isinstance(checks, list) or not all(is_check(each) for each in checks):
        return "upstream-contract"
    statuses = {each["status"] for each in checks}
    return "FAIL" if "FAILED" in statuses else "WARN" if "WARN" in statuses else "PASS"


def is_check(check) -> bool:
    """Say whether a value is a check that can be relied on."""
    if not isinstance(check, dict) or check.get("status") not in ("SUCCESS", "WARN", "FAILED"):
        return False
    optional = ("note", "handling_suggestion", "error_message", "error_detail_message")
    name = check.get("name")
    return (
        isinstance(name, str)
        and name.strip() != ""
        and all(check.get(each) is None or isinstance(check[each], str) for each in optional)
    )


checks = st.dictionaries(
    st.sampled_from([*PRIMARY_KEYS, "more"]),
    texts | st.sampled_from(["SUCCESS", "WARN", "FAILED"]) | scalars,
    max_size=3,
).map(lambda members: PRIMARY_KEYS | members)
found = st.sampled_from(["SUCCESS", "WARN", "FAILED"]).map(lambda status: PRIMARY_KEYS | {"status": status})
results = st.fixed_dictionaries(
    {"pre_check_results": st.lists(found, max_size=4) | st.lists(found | checks, max_size=4) | values},
    optional={"job_id": st.just(EVENT["job_id"]) | values, "total": values},
)


@many
@given(document=results | results | values, ascii_only=st.booleans(), zipped=st.booleans(), flag=st.booleans())
def test_any_json_from_ddm(function: Function, fake_ddm: FakeDDM, document, ascii_only, zipped, flag):
    """Any JSON is exactly the verdict that its checks come to, or it is no response; no doubt ever proceeds."""
    text = json.dumps(document, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    body, headers = (gzip.compress(text), {"Content-Encoding": "gzip"}) if zipped else (text, {})
    fake_ddm.behaviours["any"] = lambda _: FakeResponse(200, body, headers)
    response = check_no_bug(function.send_event("any", proceed_on_warn=flag))
    try:
        expected = judged(json.loads(text.decode(), parse_constant=int))
    except ValueError:  # not UTF-8, or NaN
        expected = "upstream-contract"
    assert (response.body["verdict"] if response.status == 200 else response.problem_code) == expected
    assert response.body["can_proceed"] == (expected == "PASS" or (expected == "WARN" and flag))


@many
@given(
    status=st.sampled_from([200, 202, 302, 400, 401, 403, 404, 409, 429, 500, 503, 999]),
    body=st.binary(max_size=200) | spliced(results.map(lambda document: json.dumps(document).encode())),
    members=values,
)
def test_any_status_and_bytes_from_ddm(function: Function, fake_ddm: FakeDDM, status, body, members):
    """Any bytes with any status are a verdict only as a 200, and never a bug."""
    fake_ddm.behaviours["any"] = lambda _: FakeResponse(status, body)
    response = check_no_bug(function.send_event("any"))
    assert status == 200 or response.status >= 400
    fake_ddm.behaviours["any"] = lambda _: FakeResponse(status, {"error_code": members, "error": members})
    assert check_no_bug(function.send_event("any")).status >= 400


@many
@given(
    note=st.lists(st.text(max_size=9) | st.sampled_from([TOKEN, TOKEN[:9], TOKEN[9:], "***"]), max_size=5).map("".join),
    status=st.sampled_from(["SUCCESS", "WARN", "FAILED"]),
)
def test_any_text_from_ddm(function: Function, fake_ddm: FakeDDM, note, status):
    """A text of DDM's arrives as it is, but for the token and for what is no character."""
    fake_ddm.behaviours["any"] = lambda _: FakeResponse(
        200, {"pre_check_results": [PRIMARY_KEYS | {"status": status, "note": note}]}
    )
    (found,) = function.send_event("any").summary["checks"]
    expected = note.encode("utf-8", "replace").decode().replace(TOKEN, "***")
    assert found["note"] == (expected if expected.strip() else None)


heads = st.lists(
    st.tuples(
        st.sampled_from(
            ["Content-Length", "Transfer-Encoding", "Content-Type", "Content-Encoding", "Location", "Set-Cookie"]
        )
        | st.sampled_from(["Connection", "Retry-After", "X-Request-Id", "Upgrade", "Trailer", "", " ", "Date"]),
        st.sampled_from(["0", "9", "-1", "1, 2", "chunked", "gzip", "deflate", "x;charset", "text/html; charset=\xff"])
        | st.sampled_from(["close", "keep-alive", "a=b; expires=x; max-age=y", "//", "Mon, 99 Foo 0000 00:00:00 +9999"])
        | st.text(st.characters(max_codepoint=255), max_size=30),
    ).map(lambda pair: f"{pair[0]}: {pair[1]}\r\n".encode("latin-1")),
    max_size=5,
).map(b"".join)
starts = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 429 Slow\r\n", b"HTTP/1.1 503 \r\n", b"HTTP/1.1 302 Go\r\n"]
)
wires = st.builds(
    lambda start, head, body: start + head + b"\r\n" + body,
    starts,
    heads,
    st.binary(max_size=40) | st.just(b"2\r\n{}\r\n0\r\n\r\n"),
)


@many
@given(data=wires | spliced(wires) | st.binary(max_size=100))
def test_any_bytes_on_the_wire(start, monkeypatch, data):
    """Any bytes instead of HTTP are a problem of DDM's, and never a bug."""
    monkeypatch.setattr("ddm_precheck.ddm._FIRST_PAUSE_SECONDS", 0)
    with FaultServer([[send(data)]]) as server:
        response = check_no_bug(start(DDM_ENDPOINT=server.url, DDM_TIMEOUT_SECONDS="5").send_event())
    assert response.status >= 400
    assert response.problem_code.startswith(("upstream-", "throttled"))
