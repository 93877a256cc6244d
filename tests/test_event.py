"""The event: its fields, its JSON text and its HTTP request. An invalid event causes no request to DDM."""

import json

import pytest
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, Function, FunctionResponse, ServedFunction

from testing.fake_ddm import FakeDDM

KIB, MIB = 1024, 1024 * 1024
MISSING = object()
IDS = ("project_id", "instance_id", "db_name", "job_id")
MAX_LENGTHS = {"project_id": 64, "instance_id": 64, "db_name": 48, "job_id": 64, "token": 65536, "region": 32}
INVALID_TEXTS = {
    "null": None,
    "number": 7,
    "boolean": True,
    "list": ["ab"],
    "object": {"a": "b"},
    "empty": "",
    "space": "a b",
    "trailing newline": "ab\n",
    "CRLF": "ab\r\nX-Evil: 1",
    "NUL": "ab\0",
    "not ASCII": "ab\u00e9",
    "digit that is not ASCII": "ab\u0663",
    "lone surrogate": "ab\ud800",
}
INVALID_IN_PATHS = {
    "dots": "..",
    "percent-encoded dots": "%2e%2e",
    "slash": "a/b",
    "backslash": "a\\b",
    "query": "ab?x",
    "fragment": "ab#x",
    "semicolon": "ab;x",
    "at sign": "ab@host",
}
INVALID_VALUES = [
    *((name, value, f"{name}: {what}") for name in (*IDS, "token", "region") for what, value in INVALID_TEXTS.items()),
    *((name, value, f"{name}: {what}") for name in (*IDS, "region") for what, value in INVALID_IN_PATHS.items()),
    *((name, "a" * (length + 1), f"{name}: too long") for name, length in MAX_LENGTHS.items()),
    *((name, MISSING, f"{name}: missing") for name in (*IDS, "token")),
    *(("db_name", value, f"db_name: {value}") for value in ("a", "A_b", "1ab", "_ab", "a-b")),
    *(("region", value, f"region: {value}") for value in ("-cn", "cn-", "cn--north", "CN", "localhost:80", "cn.evil")),
    *(("proceed_on_warn", value, f"proceed_on_warn: {value}") for value in (None, "true", 1, [])),
    *(("expected_checks", value, f"expected_checks: {value}") for value in (None, "1", 0, 1001, 1.5, True, 1e400, -1)),
]


@pytest.mark.parametrize(
    ("name", "value"),
    [row[:2] for row in INVALID_VALUES],
    ids=[row[2].encode("ascii", "replace") for row in INVALID_VALUES],
)
def test_invalid_field(function: Function, fake_ddm: FakeDDM, name, value):
    """If a field breaks its rule, the problem has the pointer of the field."""
    event = EVENT | {name: value}
    if value is MISSING:
        del event[name]
    response = function.send(json.dumps(event).replace("Infinity", "1e400").encode())
    assert (response.status, response.problem_code, response.pointers) == (400, "invalid-event", [f"/{name}"])
    assert fake_ddm.requests == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        (b"", []),
        (b"\xff{}", []),
        (b'{"project_id": "\xc3\x28"}', []),
        ("{}".encode("utf-16"), []),
        (b"{", []),
        (json.dumps(EVENT).encode() + b"x", []),
        (json.dumps(EVENT | {"expected_checks": float("nan")}).encode(), []),
        (json.dumps(EVENT | {"expected_checks": float("-inf")}).encode(), []),
        (json.dumps(EVENT)[:-1].encode() + b', "db_name": "fail"}', []),
        (json.dumps(EVENT)[:-1].encode() + b', "expected_checks": ' + b"1" * 5000 + b"}", []),
        (b"[" * 100_000, []),
        (b'{"a":' * 40_000, []),
        (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, []),
        (b"null", [""]),
        (b"true", [""]),
        (b"7", [""]),
        (b"7.5", [""]),
        (json.dumps([EVENT]).encode(), [""]),
        (json.dumps(json.dumps(EVENT)).encode(), [""]),
        (b"{}", ["/project_id", "/instance_id", "/db_name", "/job_id", "/token"]),
    ],
    ids=[
        *("empty", "invalid UTF-8", "invalid UTF-8 in a string", "UTF-16", "incomplete", "trailing text"),
        *("NaN", "-Infinity", "duplicate name", "number of 5000 digits", "100,000 open brackets"),
        *("40,000 open braces", "20,000 nested objects", "null", "boolean", "integer", "float", "list"),
        *("event as a string", "empty object"),
    ],
)
def test_invalid_body(function: Function, fake_ddm: FakeDDM, body, pointers):
    """A body that is not a strict JSON object is `invalid-event`. The function then handles the next request."""
    response = function.send(body)
    assert (response.status, response.problem_code, response.pointers) == (400, "invalid-event", pointers)
    assert fake_ddm.requests == []
    assert function.send_event().summary["verdict"] == "PASS"


@pytest.mark.parametrize(
    ("fields", "pointers"),
    [
        ({"dbName": "orders"}, ["/dbName"]),
        ({"x y": 1}, [""]),
        ({TOKEN: 1}, [""]),
        ({"a/b": 1, "a~b": 1}, [""]),
        ({f"m{number}": 1 for number in range(50)}, [f"/m{number}" for number in range(20)]),
    ],
    ids=["misspelled", "space in the name", "the token", "two, no identifiers", "fifty"],
)
def test_unknown_field(function: Function, fake_ddm: FakeDDM, fields, pointers):
    """An unknown field is `invalid-event`. The problem quotes the name only if the name is a short identifier."""
    response = function.send(EVENT | fields)
    assert (response.problem_code, response.pointers) == ("invalid-event", pointers)
    assert "the known fields are project_id" in response.body["errors"][0]["detail"]
    assert fake_ddm.requests == []


def test_body_shorter_than_its_content_length(start, fake_ddm: FakeDDM):
    """A body that ends before its Content-Length is `invalid-event`, even if it is a valid event."""
    function = start()
    # gunicorn's stream ends at the Content-Length, or earlier if the client closes the connection.
    announced = {"CONTENT_LENGTH": "5000", "wsgi.input_terminated": True}
    received = function.client.post("/", data=json.dumps(EVENT), environ_overrides=announced)
    log_lines = function.new_log_lines()
    response = FunctionResponse(received.status_code, received.headers, received.text, log_lines).validate(TOKEN)
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", [""], [])


def test_max_errors(start):
    """A problem lists at most twenty errors."""
    function = start(DDM_ENDPOINT="https://ddm.{region}.example.invalid", DDM_REGION=None)
    response = function.send(EVENT_WITHOUT_TOKEN | {f"m{n}": 1 for n in range(25)})
    assert response.pointers == [f"/m{n}" for n in range(20)]


def test_unknown_field_with_a_long_name(function: Function):
    """The problem does not quote the long name of an unknown field, because the name may be a token."""
    response = function.send(EVENT_WITHOUT_TOKEN | {"MIISECRETTOKEN01234": 1})
    assert "MIISECRET" not in response.text


def test_unknown_field_named_like_the_token(function: Function):
    """If the name of an unknown field contains the token, the problem does not quote it."""
    response = function.send(EVENT | {"token": "secret-token-1", "x_secret-token-1": 1})
    assert response.pointers == [""]


@pytest.mark.parametrize("name", IDS)
def test_token_in_an_id(function: Function, fake_ddm: FakeDDM, name):
    """If an ID contains the token, the event is invalid, because responses and log entries contain the IDs."""
    response = function.send(EVENT | {name: "x" + "secret00", "token": "secret00"})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])


def test_token_in_the_region(function: Function, fake_ddm: FakeDDM):
    """If the region contains the token, the event is invalid."""
    response = function.send(EVENT | {"region": "xsecret00", "token": "secret00"})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param([], "a list", id="list"),
        pytest.param("{}", "a string (send the object itself, not its text)", id="string"),
        pytest.param(7, "a number", id="integer"),
        pytest.param(7.5, "a number", id="float"),
        pytest.param(True, "a boolean", id="boolean"),
        pytest.param(None, "null", id="null"),
    ],
)
def test_message_names_the_json_type(function: Function, body, kind):
    """If the event is not an object, the message names its JSON type."""
    assert function.send(body).body["message"] == f"the event must be a JSON object, not {kind}"


def test_message_counts_the_errors(function: Function):
    """The message has the first error and the number of further errors."""
    response = function.send(EVENT | {"db_name": 1, "job_id": 2})
    assert response.body["message"] == "/db_name must be of type string (and 1 more, see errors)"


@pytest.mark.parametrize(
    "content_type",
    ["", "application/octet-stream", "text/plain", "application/xml; charset=latin-1"],
    ids=["empty", "octet-stream", "text", "xml"],
)
def test_any_content_type(function: Function, content_type):
    """The Content-Type of a direct request is ignored."""
    assert function.send_event(headers={"Content-Type": content_type}).summary["verdict"] == "PASS"


def test_byte_order_mark(function: Function):
    """A byte order mark before the JSON text is ignored."""
    assert function.send(b"\xef\xbb\xbf" + json.dumps(EVENT).encode()).status == 200


@pytest.mark.parametrize(
    ("event_token", "header_token", "sent"),
    [
        ("event-token", None, "event-token"),
        ("event-token", "header-token", "event-token"),
        (None, "header-token", "header-token"),
    ],
    ids=["event", "both", "header"],
)
def test_token_of_event_or_header(function: Function, fake_ddm: FakeDDM, event_token, header_token, sent):
    """The token comes from the event or the header `X-Auth-Token`. If both are set, the event's token is used."""
    event = EVENT_WITHOUT_TOKEN | ({"token": event_token} if event_token else {})
    response = function.send(event, headers={"X-Auth-Token": header_token} if header_token else {})
    assert response.summary["verdict"] == "PASS"
    assert [request.token for request in fake_ddm.requests] == [sent]


@pytest.mark.parametrize("header", ["two words", "caf\u00e9\u00e9\u00e9\u00e9"], ids=["space", "not ASCII"])
def test_invalid_token_in_header(function: Function, fake_ddm: FakeDDM, header):
    """The rule for the token is the same in the header and in the event."""
    response = function.send(EVENT_WITHOUT_TOKEN, headers={"X-Auth-Token": header})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])
    assert header not in response.text


def test_empty_token_header(function: Function):
    """An empty header `X-Auth-Token` is ignored. The message says where the token is required."""
    response = function.send(EVENT_WITHOUT_TOKEN, headers={"X-Auth-Token": ""})
    assert response.body["message"] == "/token is required, in the event or in the header X-Auth-Token"


def test_values_of_max_length(function: Function, fake_ddm: FakeDDM):
    """IDs of the max length, and the longest token that the fake DDM's server can read, are sent unchanged."""
    longest = {name: "a" * length for name, length in MAX_LENGTHS.items()} | {"token": "!~" * 32700}
    fake_ddm.behaviours[longest["db_name"]] = fake_ddm.behaviours["pass"]
    response = function.send(longest)
    assert response.summary["verdict"] == "PASS"
    (request,) = fake_ddm.requests
    names = (*IDS, "token")
    assert {name: getattr(request, name) for name in names} == {name: longest[name] for name in names}


def test_region_is_required(start, fake_ddm: FakeDDM):
    """If the endpoint contains `{region}` and `DDM_REGION` is not set, the event must have a region."""
    function = start(DDM_ENDPOINT="https://ddm.{region}.example.invalid", DDM_REGION=None)
    response = function.send_event()
    assert (response.problem_code, response.pointers) == ("invalid-event", ["/region"])
    assert response.body["message"] == "/region is required, because DDM_REGION is not set"


def test_region_is_optional(start):
    """If neither the event nor `DDM_REGION` has a region, the region of the summary is null."""
    assert start(DDM_REGION=None).send_event().summary["region"] is None


@pytest.mark.parametrize("size", [256 * KIB, 256 * KIB + 1, 40 * MIB], ids=["max", "max + 1", "40 MiB"])
@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
def test_size_over_sockets(served_function: ServedFunction, fake_ddm: FakeDDM, size, chunked):
    """A body of more than 256 KiB is `event-too-large`. If it has at most 32 MiB, the sender can read the response."""
    text = json.dumps(EVENT).encode()
    body = text + b" " * (size - len(text))
    served_function.new_log_lines()
    pieces = (body[start : start + 65536] for start in range(0, size, 65536))
    try:
        response = served_function.exchange("POST", pieces if chunked else body, {})
    except OSError:
        assert size > 32 * MIB  # the function does not drain a longer body, so the sender may get a reset
        return
    assert (response.status, len(fake_ddm.requests)) == ((200, 1) if size == 256 * KIB else (413, 0))
    assert size == 256 * KIB or response.problem_code == "event-too-large"


@pytest.mark.parametrize(
    ("size", "status"),
    [(256 * KIB, 200), (256 * KIB + 1, 413), (40 * MIB, 413)],
    ids=["max", "max + 1", "40 MiB"],
)
def test_size_in_process(start, size, status):
    """A body of more than 256 KiB is `event-too-large`: in this process, where coverage measures it."""
    text = json.dumps(EVENT).encode()
    assert start().send(b" " * (size - len(text)) + text).status == status


class EndlessBody:
    """A stream that never ends. ``bytes_read`` is the number of bytes that were read."""

    bytes_read = 0

    def read(self, size: int) -> bytes:
        """Return as many bytes as requested."""
        self.bytes_read += size
        return b" " * size


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_endless_body(start, method):
    """At most 32 MiB of a body are read, for each method."""
    body = EndlessBody()
    stream = {"wsgi.input": body, "wsgi.input_terminated": True}
    response = start().client.open("/", method=method, environ_overrides=stream)
    assert response.status_code == (413 if method == "POST" else 405)
    assert body.bytes_read == 32 * MIB


def test_body_one_byte_short(start, fake_ddm: FakeDDM):
    """If a body is one byte shorter than its Content-Length, the message says that the event is incomplete."""
    body = json.dumps(EVENT).encode()
    announced = {"CONTENT_LENGTH": str(len(body) + 1)}
    response = start().client.post("/", data=body, environ_overrides=announced)
    assert (response.status_code, response.json["code"]) == (400, "invalid-event")
    assert response.json["message"] == "the event is incomplete: the body ended too early; send it again"
    assert fake_ddm.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_other_methods(function: Function, method):
    """Each method except POST and OPTIONS is `method-not-allowed`."""
    response = function.send(EVENT, method=method)
    assert (response.status, response.problem_code, response.headers["Allow"]) == (
        405,
        "method-not-allowed",
        "POST, OPTIONS",
    )
    assert response.body["message"] == "Send the event with POST"


def test_options(function: Function):
    """The response to OPTIONS has the allowed methods in the header `Allow`, and no body."""
    response = function.send(b"", method="OPTIONS")
    assert (response.status, response.headers["Allow"], response.text) == (204, "POST, OPTIONS", "")
    assert "Content-Type" not in response.headers
    assert (response.log_entry["message"], response.log_entry["verdict"]) == ("OPTIONS: the allowed methods", None)
