"""The event: its fields, its JSON and its HTTP request. An invalid event causes no request to DDM."""

import itertools
import json

import pytest
from helpers.function import EVENT, TOKEN, Function, FunctionResponse, ServedFunction

from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM

KIB, MIB = 1024, 1024 * 1024
IDS = ("project_id", "instance_id", "db_name", "job_id")
MAX_LENGTHS = {"project_id": 64, "instance_id": 64, "db_name": 48, "job_id": 64, "token": 65536, "region": 32}
OPTIONAL = ("region", "proceed_on_warn", "accepted_warnings", "expected_checks", "wait_seconds", "pre_check_results")
WRONG_STRINGS = [7, True, ["ab"], {"a": "b"}, "a b", "ab\n", "ab\r\nX-Evil: 1", "ab\0", "\u00e9b", "\u0663", "\ud800"]
WRONG_IN_PATHS = ["..", "%2e%2e", "a/b", "a\\b", "ab?x", "ab#x", "ab;x", "ab@host", "a*", "a,b"]
WRONG_VALUES = {
    **{name: [None, "", *WRONG_STRINGS, *WRONG_IN_PATHS, "a" * (MAX_LENGTHS[name] + 1)] for name in IDS},
    "region": [*WRONG_STRINGS, *WRONG_IN_PATHS, "a" * 33, "-cn", "cn-", "cn--north", "CN", "localhost:80", "cn.evil"],
    "proceed_on_warn": [[], 0],
    "expected_checks": [1001, True, -1, [], 1e400],
    "wait_seconds": ["30", 1.5, 3601, True, False, [], {}, 1e400],
    "accepted_warnings": [{}, 7, True, [None], [["a"]], ["a", {}], ["n" * 201], ["a"] * 51],
    "pre_check_results": [{}, 7, False, [check("a")] * 1001],
}
WRONG_VALUES["db_name"] += ["a", "A_b", "1ab", "_ab", "a-b"]


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in WRONG_VALUES.items() for value in values],
)
def test_wrong_value(function: Function, fake_ddm: FakeDDM, name, value):
    body = json.dumps(EVENT | {name: value}).replace("Infinity", "1e400").encode()
    response = function.send(body)
    assert response.problem_code == "invalid-event"
    assert {pointer.rstrip("0123456789").rstrip("/") for pointer in response.pointers} == {f"/{name}"}
    assert fake_ddm.requests == []


def test_missing_fields(function: Function):
    assert function.send({}).pointers == [f"/{name}" for name in (*IDS, "token")]


@pytest.mark.parametrize(
    ("name", "value"),
    [*itertools.product(OPTIONAL, [None, ""]), ("accepted_warnings", []), ("pre_check_results", [])],
)
def test_blank_optional_field_counts_as_absent(function: Function, name, value):
    summary = function.send_event("warn", **{name: value}).summary
    expected = function.send_event("warn").summary
    for each in (summary, expected):
        each["report"] = each["report"].replace(each.pop("checked_at"), "")
        del each["upstream"]
    assert summary == expected


@pytest.mark.sockets
def test_event_after_a_body_that_cannot_be_parsed(function: Function):
    for body in (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, json.dumps(EVENT).encode() + b"x"):
        response = function.send(body)
        assert response.problem_code == "invalid-event"
        assert response.pointers == []
    assert function.send_event().verdict == "PASS"


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({TOKEN: 1}, [""]),
        ({"n" * 129: 1}, [""]),
        ({"n" * 128: 1}, [f"/{'n' * 128}"]),
        ({"a/b": 1, "a~b": 1}, ["/a~1b", "/a~0b"]),
        ({"two\nlines": 1}, ["/two lines"]),
        ({f"m{number}": 1 for number in range(50)}, [f"/m{number}" for number in range(20)]),
    ],
    ids=["the token", "129 letters", "128 letters", "in a pointer", "line break", "fifty"],
)
def test_unknown_field(function: Function, fake_ddm: FakeDDM, fields, pointers):
    response = function.send(EVENT | fields)
    assert response.problem_code == "invalid-event"
    assert response.pointers == pointers
    if pointers == [""]:
        known = ", ".join([*EVENT, *OPTIONAL])
        assert response.message == f"the event has an unknown field; the known fields are {known}"
    assert fake_ddm.requests == []


def test_response_to_the_post_with_the_ids_is_an_event(function: Function, fake_ddm: FakeDDM):
    """As with ``jq '. + {project_id: …}'``."""
    started = {"job_id": EVENT["job_id"], "pre_check_results": [check("Binlog", "WARN")]}
    ids = {name: EVENT[name] for name in ("project_id", "instance_id", "db_name", "token")}
    assert function.send(started | ids).verdict == "WARN"


def test_values_of_maximum_length(function: Function, fake_ddm: FakeDDM):
    names = ["检" * 200] * 50
    longest = {name: "a" * length for name, length in MAX_LENGTHS.items()} | {"token": "+~" * 32700}
    fake_ddm.behaviours[longest["db_name"]] = results(check(names[0], "WARN"))
    assert function.send(longest | {"accepted_warnings": names}).summary["can_proceed"]
    (request,) = fake_ddm.requests
    assert {name: getattr(request, name) for name in (*IDS, "token")} == {
        name: longest[name] for name in (*IDS, "token")
    }


@pytest.mark.parametrize("value", [0, 2.0, 3600, 3600.0, -0.0], ids=str)
def test_integer_may_have_a_fraction_of_zero(function: Function, value):
    assert function.send_event(wait_seconds=value).verdict == "PASS"


def test_message_counts_further_errors(function: Function):
    response = function.send(EVENT | {"db_name": 1, "job_id": 2})
    assert response.message == "/db_name must be a string, in double quotes (and 1 more, see errors)"
    assert response.body["errors"] == [
        {"pointer": "/db_name", "detail": "must be a string, in double quotes"},
        {"pointer": "/job_id", "detail": "must be a string, in double quotes"},
    ]


@pytest.mark.parametrize("content_type", ["", "application/octet-stream", "application/xml; charset=latin-1"])
@pytest.mark.sockets
def test_content_type_of_a_direct_request_is_ignored(function: Function, content_type):
    assert function.send_event(headers={"Content-Type": content_type}).verdict == "PASS"


def test_byte_order_mark_is_ignored(function: Function):
    assert function.send(b"\xef\xbb\xbf" + json.dumps(EVENT).encode()).status == 200


def test_region_is_required_if_the_endpoint_has_a_placeholder(start):
    response = start(DDM_ENDPOINT="https://ddm.{region}.example.invalid", DDM_REGION=None).send_event()
    assert response.message == "/region is required, because DDM_REGION is not set"


@pytest.mark.parametrize("size", [256 * KIB, 256 * KIB + 1, 40 * MIB], ids=["maximum", "one more", "40 MiB"])
@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
@pytest.mark.no_mutation
def test_size_over_sockets(served_function: ServedFunction, fake_ddm: FakeDDM, size, chunked):
    """The sender can read the response if the body has at most 32 MiB. A longer body is not read to its end."""
    text = json.dumps(EVENT).encode()
    body = text + b" " * (size - len(text))
    served_function.new_log_lines()
    pieces = (body[start : start + 65536] for start in range(0, size, 65536))
    try:
        response = served_function.exchange("POST", pieces if chunked else body, {})
    except OSError:
        assert size > 32 * MIB
        return
    assert response.status == (200 if size == 256 * KIB else 413)
    assert len(fake_ddm.requests) == (size == 256 * KIB)


@pytest.mark.parametrize(("size", "status"), [(256 * KIB, 200), (256 * KIB + 1, 413), (40 * MIB, 413)])
def test_size(function: Function, size, status):
    text = json.dumps(EVENT).encode()
    response = function.send(b" " * (size - len(text)) + text)
    assert response.status == status
    if status == 413:
        assert response.message == "The body is over 262144 bytes, the limit for an event"


class EndlessBody:
    bytes_read = 0

    def read(self, size: int) -> bytes:
        self.bytes_read += size
        return b" " * size


@pytest.mark.parametrize(("method", "status"), [("POST", 413), ("GET", 405)])
def test_at_most_32_mib_of_a_body_are_read(function: Function, method, status):
    body = EndlessBody()
    stream = {"wsgi.input": body, "wsgi.input_terminated": True}
    response = function.client.open("/", method=method, environ_overrides=stream)
    assert response.status_code == status
    assert body.bytes_read == 32 * MIB


class BrokenBody:
    """As gunicorn's stream of a malformed chunked body."""

    def read(self, size: int) -> bytes:
        raise ValueError


def test_body_that_cannot_be_read(function: Function, fake_ddm: FakeDDM):
    stream = {"wsgi.input": BrokenBody(), "wsgi.input_terminated": True}
    received = function.client.open("/", method="POST", environ_overrides=stream)
    response = FunctionResponse(received.status_code, received.headers, received.text, function.new_log_lines())
    assert response.validate().problem_code == "invalid-event"
    assert response.message == "the event cannot be read: it is truncated, not base64, not JSON or nested too deeply"
    assert response.pointers == [""]
    assert fake_ddm.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"])
@pytest.mark.sockets
def test_other_methods(function: Function, method):
    response = function.send(EVENT, method=method)
    assert response.problem_code == "method-not-allowed"
    assert response.message == "Send the event with POST"
    assert response.headers["Allow"] == "POST, OPTIONS"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("application/problem+json", "application/problem+json"),
        ("Application/Problem+JSON", "application/problem+json"),
        ("application/json, application/problem+json;q=0.5", "application/problem+json"),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
@pytest.mark.sockets
def test_content_type_of_a_problem(function: Function, accept, content_type):
    assert function.send(b"", headers={"Accept": accept}).headers["Content-Type"] == content_type
    assert function.send_event("fail", headers={"Accept": accept}).headers["Content-Type"] == "application/json"
