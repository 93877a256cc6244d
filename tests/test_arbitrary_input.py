"""Properties that hold for arbitrary requests, and for arbitrary responses of DDM.

`Function.send` validates each response and its log entry. The tests add further properties. Each run has the same
examples. The environment variable ``EXAMPLES`` sets the number of examples of each test.
"""

import json

import pytest
from helpers.envelopes import DELIVERIES
from helpers.function import EVENT, TOKEN, Function, FunctionResponse
from hypothesis import given
from hypothesis import strategies as st

from testing.fake_behaviours import PRIMARY_KEYS, FakeResponse
from testing.fake_ddm import FakeDDM
from testing.fault_server import FaultServer, send

pytestmark = pytest.mark.no_mutation

texts = st.text(max_size=40) | st.sampled_from(
    ["", " ", "\n", "null", "\ud800", "\u2028", "*", TOKEN, f"x{TOKEN}\0", TOKEN[:9], json.dumps(EVENT)]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4)
)
statuses = st.sampled_from(["SUCCESS", "WARN", "FAILED"])
valid_checks = statuses.map(lambda status: PRIMARY_KEYS | {"status": status})
arbitrary_checks = st.dictionaries(
    st.sampled_from([*PRIMARY_KEYS, "more"]), texts | statuses | scalars, max_size=3
).map(lambda fields: PRIMARY_KEYS | fields)
check_lists = st.lists(valid_checks, max_size=4) | st.lists(valid_checks | arbitrary_checks, max_size=4) | json_values
optional_names = ("region", "proceed_on_warn", "accepted_warnings", "expected_checks", "wait_seconds", "dbName")
valid_fields = st.fixed_dictionaries(
    {},
    optional={
        "db_name": st.sampled_from(["pass", "warn", "fail", "pending", "many", "no_schema"]),
        "region": st.from_regex(r"[a-z]{1,9}(-[a-z]{1,9}){0,2}", fullmatch=True) | st.sampled_from([None, ""]),
        "proceed_on_warn": st.booleans() | st.none(),
        "expected_checks": st.integers(1, 1000) | st.floats(1, 1000).map(round).map(float) | st.just(""),
        "pre_check_results": st.lists(valid_checks, max_size=3),
        "accepted_warnings": st.lists(st.text(min_size=1, max_size=9), max_size=3),
    },
)
arbitrary_fields = st.dictionaries(
    st.sampled_from([*EVENT, *optional_names]), json_values, min_size=1, max_size=2
) | st.fixed_dictionaries({"pre_check_results": check_lists})
events = (valid_fields | valid_fields | arbitrary_fields).map(lambda fields: EVENT | fields)


def to_json(value) -> bytes:
    return json.dumps(value).encode()


@st.composite
def damaged(draw, byte_strings):
    """Draw a byte string in which up to 20 bytes are replaced by up to 20 random bytes."""
    data = draw(byte_strings)
    start, length = draw(st.integers(0, len(data))), draw(st.integers(0, 20))
    return data[:start] + draw(st.binary(max_size=20)) + data[start + length :]


@pytest.fixture
def function(function: Function, monkeypatch) -> Function:
    """The function in this process, without pauses."""
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_BACKOFF_SECONDS", 0)
    monkeypatch.setattr("ddm_precheck.app.sleep", lambda _: None)
    monkeypatch.setattr("ddm_precheck.app._POLL_SECONDS", 0.001)
    return function


def assert_no_bug(response: FunctionResponse) -> FunctionResponse:
    """Fail if the problem is `internal`, or if the response or the log contains the token. Return the response."""
    assert response.status == 200 or response.problem_code != "internal", response.log_entry
    assert TOKEN not in response.output
    return response


@given(body=(events | json_values).map(to_json) | st.binary(max_size=200) | damaged(events.map(to_json)))
def test_arbitrary_body(function: Function, fake_ddm: FakeDDM, body):
    fake_ddm.reset()
    response = assert_no_bug(function.send(body.replace(b'"wait_seconds": ', b'"wait_seconds": -')))
    assert response.status in {200, 400, 404}
    assert bool(fake_ddm.requests) == (response.status != 400)


@given(event=events, delivery=st.sampled_from(list(DELIVERIES)))
def test_event_has_the_same_outcome_in_each_envelope(function: Function, fake_ddm: FakeDDM, event, delivery):
    event.pop("wait_seconds", None)
    body, headers = DELIVERIES[delivery](event)
    response = assert_no_bug(function.send(to_json(body), headers=headers))
    direct = function.send(to_json(event))
    for name in ("verdict", "project_id", "instance_id", "db_name", "job_id"):
        assert response.log_entry[name] == direct.log_entry[name]


@given(
    headers=st.dictionaries(
        st.sampled_from(["ce-id", "ce-specversion", "ce-type", "traceparent", "X-Auth-Token", "Accept", "Content-Type"])
        | st.sampled_from(["X-Cloud-Trace-Context", "ce-traceparent", "X-SMN-MESSAGE-TYPE", "ce-source", "Cookie"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30)
        | st.sampled_from(["1.0", "application/cloudevents+json", "*/*;q=x", "%00%0d%0a", "application/problem+json"]),
    )
)
def test_arbitrary_headers(function: Function, headers):
    response = assert_no_bug(function.send_event(headers={name: value.strip() for name, value in headers.items()}))
    assert response.status in {200, 400}


def is_valid_check(check) -> bool:
    if not isinstance(check, dict) or check.get("status") not in ("SUCCESS", "WARN", "FAILED"):
        return False
    name = check.get("name")
    optional = ("note", "handling_suggestion", "error_message", "error_detail_message")
    are_texts = all(check.get(each) is None or isinstance(check[each], str) for each in optional)
    return isinstance(name, str) and name.strip() != "" and are_texts


def expected_outcome(result) -> str:
    """Return the verdict of a result of DDM, or `upstream-contract` if it is invalid."""
    if not isinstance(result, dict) or result.get("job_id") != EVENT["job_id"]:
        return "upstream-contract"
    checks = result.get("pre_check_results", "missing")
    if checks is None or checks == []:
        return "PENDING"
    if not isinstance(checks, list) or not all(is_valid_check(each) for each in checks):
        return "upstream-contract"
    found = {each["status"] for each in checks}
    return "FAIL" if "FAILED" in found else "WARN" if "WARN" in found else "PASS"


results = st.fixed_dictionaries(
    {"pre_check_results": check_lists, "job_id": st.just(EVENT["job_id"]) | st.just(EVENT["job_id"]) | json_values},
    optional={"total": json_values},
)


@given(value=results | results | json_values, ascii_only=st.booleans(), flag=st.booleans())
def test_arbitrary_json_from_ddm(function: Function, fake_ddm: FakeDDM, value, ascii_only, flag):
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    fake_ddm.behaviours["any"] = lambda _: FakeResponse(200, body)
    response = assert_no_bug(function.send_event("any", proceed_on_warn=flag))
    try:
        expected = expected_outcome(json.loads(body.decode(), parse_constant=int))
    except ValueError:  # not UTF-8, or NaN
        expected = "upstream-contract"
    assert response.outcome == expected
    assert response.body["can_proceed"] == (expected == "PASS" or (expected == "WARN" and flag))


@given(
    status=st.sampled_from([200, 202, 302, 400, 401, 403, 404, 407, 409, 429, 500, 503, 999]),
    body=st.binary(max_size=200) | damaged(results.map(to_json)) | json_values.map(lambda each: to_json({"x": each})),
)
def test_arbitrary_status_and_body_from_ddm(function: Function, fake_ddm: FakeDDM, status, body):
    fake_ddm.behaviours["any"] = lambda _: FakeResponse(status, body)
    response = assert_no_bug(function.send_event("any"))
    assert status == 200 or response.status >= 400


headers = st.lists(
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
status_lines = st.sampled_from(
    [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 429 Slow\r\n", b"HTTP/1.1 503 \r\n", b"HTTP/1.1 302 Go\r\n"]
)
http_responses = st.builds(
    lambda status_line, headers, body: status_line + headers + b"\r\n" + body,
    status_lines,
    headers,
    st.binary(max_size=40) | st.just(b"2\r\n{}\r\n0\r\n\r\n"),
)


@given(data=http_responses | damaged(http_responses) | st.binary(max_size=100))
def test_arbitrary_bytes_on_the_connection(start, monkeypatch, data):
    monkeypatch.setattr("ddm_precheck.ddm._MAX_FIRST_BACKOFF_SECONDS", 0)
    with FaultServer([[send(data)]]) as server:
        response = assert_no_bug(start(DDM_ENDPOINT=server.url, DDM_TIMEOUT_SECONDS="5").send_event())
    assert response.problem_code.startswith(("upstream-", "throttled"))
