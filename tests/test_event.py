"""The event: section 2 of the contract. Whatever is wrong with it, DDM is not called."""

import json

import pytest
from conftest import EVENT, TOKEN, Answer, Function, Served

from deploy.fake_ddm import FakeDDM

MISSING = object()
IDS = ("project_id", "instance_id", "db_name", "job_id")
LONGEST = {"project_id": 64, "instance_id": 64, "db_name": 48, "job_id": 64, "token": 65536, "region": 32}
BAD_TEXTS = {
    "null": None,
    "number": 7,
    "boolean": True,
    "list": ["ab"],
    "object": {"a": "b"},
    "empty": "",
    "space": "a b",
    "newline at the end": "ab\n",
    "CRLF": "ab\r\nX-Evil: 1",
    "NUL": "ab\0",
    "non-ASCII": "ab\u00e9",
    "other digits": "ab\u0663",
    "lone surrogate": "ab\ud800",
}
BAD_PATHS = {
    "dots": "..",
    "encoded dots": "%2e%2e",
    "slash": "a/b",
    "backslash": "a\\b",
    "query": "ab?x",
    "fragment": "ab#x",
    "semicolon": "ab;x",
    "at sign": "ab@host",
}
BAD_VALUES = [
    *((name, value, f"{name}: {what}") for name in (*IDS, "token", "region") for what, value in BAD_TEXTS.items()),
    *((name, value, f"{name}: {what}") for name in (*IDS, "region") for what, value in BAD_PATHS.items()),
    *((name, "a" * (most + 1), f"{name}: too long") for name, most in LONGEST.items()),
    *((name, MISSING, f"{name}: missing") for name in (*IDS, "token")),
    *(("db_name", value, f"db_name: {value}") for value in ("a", "A_b", "1ab", "_ab", "a-b")),
    *(("region", value, f"region: {value}") for value in ("-cn", "cn-", "cn--north", "CN", "localhost:80", "cn.evil")),
    *(("proceed_on_warn", value, f"proceed_on_warn: {value}") for value in (None, "true", 1, [])),
    *(("expected_checks", value, f"expected_checks: {value}") for value in (None, "1", 0, 1001, 1.5, True, 1e400, -1)),
]


@pytest.mark.parametrize(
    ("name", "value"), [row[:2] for row in BAD_VALUES], ids=[row[2].encode("ascii", "replace") for row in BAD_VALUES]
)
def test_bad_member(function: Function, fake_ddm: FakeDDM, name, value):
    """A member that breaks its rule is pointed at, and its value is not told on."""
    event = EVENT | {name: value}
    if value is MISSING:
        del event[name]
    answer = function.send(json.dumps(event).encode() if value != 1e400 else _huge_number(event))
    assert (answer.status, answer.problem, answer.pointers) == (400, "invalid-event", [f"/{name}"])
    assert fake_ddm.requests == []


def _huge_number(event: dict) -> bytes:
    return json.dumps(event).replace("Infinity", "1e400").encode()


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
        *("empty", "invalid UTF-8", "invalid UTF-8 in a text", "UTF-16", "cut", "trailing text", "NaN", "-Infinity"),
        *("duplicate member", "number of 5000 digits", "100,000 brackets", "40,000 braces", "deep and closed"),
        *("null", "boolean", "number", "float", "list", "event as a string", "nothing in it"),
    ],
)
def test_bad_body(function: Function, fake_ddm: FakeDDM, body, pointers):
    """A body that is no JSON object to be trusted is refused, and the function lives on."""
    answer = function.send(body)
    assert (answer.status, answer.problem, answer.pointers) == (400, "invalid-event", pointers)
    assert fake_ddm.requests == []
    assert function.ask().summary["verdict"] == "PASS"


@pytest.mark.parametrize(
    ("members", "pointers"),
    [
        ({"dbName": "orders"}, ["/dbName"]),
        ({"x y": 1}, [""]),
        ({TOKEN: 1}, [""]),
        ({"a/b": 1, "a~b": 1}, [""]),
        ({f"m{number}": 1 for number in range(50)}, [f"/m{number}" for number in range(20)]),
    ],
    ids=["typing error", "no name", "the token", "two", "fifty"],
)
def test_unknown_member(function: Function, fake_ddm: FakeDDM, members, pointers):
    """A member that is not known is refused; it is named only where it looks like a name."""
    answer = function.send(EVENT | members)
    assert (answer.problem, answer.pointers) == ("invalid-event", pointers)
    assert "known are project_id" in answer.body["errors"][0]["detail"]
    assert fake_ddm.requests == []


def test_body_shorter_than_announced(start, fake_ddm: FakeDDM):
    """A body that ends before its Content-Length is cut, even where what there is could be read."""
    function = start()
    # As gunicorn gives it: the stream ends by itself, wherever that is.
    announced = {"CONTENT_LENGTH": "5000", "wsgi.input_terminated": True}
    response = function._client.post("/", data=json.dumps(EVENT), environ_overrides=announced)
    answer = Answer(response.status_code, response.headers, response.text, function.logged()).check(TOKEN)
    assert (answer.problem, answer.pointers, fake_ddm.requests) == ("invalid-event", [""], [])


def test_most_errors(start):
    """However much is wrong, twenty errors are told."""
    function = start(DDM_ENDPOINT="https://ddm.{region}.example.invalid", DDM_REGION=None)
    event = {name: value for name, value in EVENT.items() if name != "token"} | {f"m{n}": 1 for n in range(25)}
    answer = function.send(event)
    assert answer.pointers == [f"/m{n}" for n in range(20)]


def test_long_unknown_member(function: Function):
    """A long name may be a token in the wrong place, so it is not told."""
    event = {name: value for name, value in EVENT.items() if name != "token"} | {"MIISECRETTOKEN01234": 1}
    answer = function.send(event)
    assert "MIISECRET" not in answer.text


def test_unknown_member_named_as_the_token(function: Function):
    """A member that looks like a name but is the token is not named."""
    answer = function.send(EVENT | {"token": "secret-token-1", "x_secret-token-1": 1})
    assert answer.pointers == [""]


@pytest.mark.parametrize("name", IDS)
def test_token_in_an_id(function: Function, fake_ddm: FakeDDM, name):
    """A token that stands in an ID would be told on with it."""
    answer = function.send(EVENT | {name: "x" + "secret00", "token": "secret00"})
    assert (answer.problem, answer.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])


def test_token_in_the_region(function: Function, fake_ddm: FakeDDM):
    """The same goes for the region."""
    answer = function.send(EVENT | {"region": "xsecret00", "token": "secret00"})
    assert (answer.problem, answer.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ([], "a list"),
        ("{}", "a string (send the object itself, not its text)"),
        (7, "a number"),
        (7.5, "a number"),
        (True, "a boolean"),
        (None, "null"),
    ],
)
def test_message_says_what_the_event_is_instead(function: Function, body, kind):
    """An event that is no object is told what it is."""
    assert function.send(body).body["message"] == f"the event must be a JSON object, not {kind}"


def test_message_says_how_many(function: Function):
    """The message names the first fault and says how many more there are."""
    answer = function.send(EVENT | {"db_name": 1, "job_id": 2})
    assert answer.body["message"] == "/db_name must be of type string (and 1 more, see errors)"


@pytest.mark.parametrize(
    "body_type", ["", "application/octet-stream", "text/plain", "application/xml; charset=latin-1"]
)
def test_any_content_type(function: Function, body_type):
    """Whatever the sender calls the body, it is the event."""
    assert function.ask(headers={"Content-Type": body_type}).summary["verdict"] == "PASS"


def test_byte_order_mark(function: Function):
    """Some editors put a byte order mark before the JSON text."""
    assert function.send(b"\xef\xbb\xbf" + json.dumps(EVENT).encode()).status == 200


@pytest.mark.parametrize(
    ("own", "header", "sent"),
    [
        ("event-token", None, "event-token"),
        ("event-token", "header-token", "event-token"),
        (None, "header-token", "header-token"),
    ],
    ids=["event", "both", "header"],
)
def test_token_of_event_or_header(function: Function, fake_ddm: FakeDDM, own, header, sent):
    """The token may come in a header; the event's own wins."""
    event = EVENT | {"token": own}
    if own is None:
        del event["token"]
    answer = function.send(event, headers={"X-Auth-Token": header} if header else {})
    assert answer.summary["verdict"] == "PASS"
    assert [call.token for call in fake_ddm.requests] == [sent]


@pytest.mark.parametrize("header", ["two words", "caf\u00e9\u00e9\u00e9\u00e9"], ids=["space", "non-ASCII"])
def test_bad_token_in_header(function: Function, fake_ddm: FakeDDM, header):
    """A token that no header can carry is refused by its rule."""
    event = {name: value for name, value in EVENT.items() if name != "token"}
    answer = function.send(event, headers={"X-Auth-Token": header})
    assert (answer.problem, answer.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])
    assert header not in answer.text


def test_empty_header_is_no_token(function: Function):
    """An empty header counts as none, and the problem says where a token may be."""
    event = {name: value for name, value in EVENT.items() if name != "token"}
    answer = function.send(event, headers={"X-Auth-Token": ""})
    assert answer.body["message"] == "/token is required, here or as the header X-Auth-Token"


def test_longest_values(function: Function, fake_ddm: FakeDDM):
    """The longest IDs that the rules allow reach DDM as they are, and so does a token as long as the stand-in reads."""
    longest = {name: "a" * most for name, most in LONGEST.items()} | {"token": "!~" * 32700}
    fake_ddm.behaviours[longest["db_name"]] = fake_ddm.behaviours["pass"]
    answer = function.send(longest)
    assert answer.summary["verdict"] == "PASS"
    (call,) = fake_ddm.requests
    assert {name: getattr(call, name) for name in (*IDS, "token")} == {name: longest[name] for name in (*IDS, "token")}


def test_region_needed(start, fake_ddm: FakeDDM):
    """Where the endpoint has the region in it and no default is set, the event has to name one."""
    function = start(DDM_ENDPOINT="https://ddm.{region}.example.invalid", DDM_REGION=None)
    answer = function.ask()
    assert (answer.problem, answer.pointers) == ("invalid-event", ["/region"])
    assert answer.body["message"] == "/region is required, since the function has no DDM_REGION"


def test_region_not_needed(start):
    """Where the endpoint needs no region, the summary has none."""
    assert start(DDM_REGION=None).ask().summary["region"] is None


@pytest.mark.parametrize("size", [256 * 1024, 256 * 1024 + 1, 40 * 1024 * 1024], ids=["most", "one over", "far over"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_size_over_sockets(served_function: Served, fake_ddm: FakeDDM, size, chunked):
    """Bodies over 256 KiB are too large, however they are sent; their sender gets to read the answer."""
    text = json.dumps(EVENT).encode()
    body = text + b" " * (size - len(text))
    served_function.logged()
    pieces = (body[start : start + 65536] for start in range(0, size, 65536))
    try:
        answer = served_function.exchange("POST", pieces if chunked else body, {})
    except OSError:
        assert size > 32 * 1024 * 1024  # past this, nobody waits for the rest
        return
    assert (answer.status, len(fake_ddm.requests)) == ((200, 1) if size == 256 * 1024 else (413, 0))
    assert size == 256 * 1024 or answer.problem == "event-too-large"


@pytest.mark.parametrize(("size", "status"), [(256 * 1024, 200), (256 * 1024 + 1, 413), (40 * 1024 * 1024, 413)])
def test_size(start, size, status):
    """The same, where coverage sees it."""
    text = json.dumps(EVENT).encode()
    assert start().send(b" " * (size - len(text)) + text).status == status


class Endless:
    """A body that never ends; ``given`` counts its bytes."""

    given = 0

    def read(self, size: int) -> bytes:
        """Give all that is asked for."""
        self.given += size
        return b" " * size


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_endless_body(start, method):
    """A body without an end is read up to 32 MiB and no further, whether an event may be in it or not."""
    body = Endless()
    stream = {"wsgi.input": body, "wsgi.input_terminated": True}
    response = start()._client.open("/", method=method, environ_overrides=stream)
    assert response.status_code == (413 if method == "POST" else 405)
    assert body.given == 32 * 1024 * 1024


def test_half_a_body(start, fake_ddm: FakeDDM):
    """A body that ends before the length that was announced is refused, even where it is whole JSON."""
    body = json.dumps(EVENT).encode()
    longer = {"CONTENT_LENGTH": str(len(body) + 1)}
    response = start()._client.post("/", data=body, environ_overrides=longer)
    assert (response.status_code, response.json["code"]) == (400, "invalid-event")
    assert response.json["message"] == "the event ended before it was whole; send it again"
    assert fake_ddm.requests == []


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_other_methods(function: Function, method):
    """Only POST asks."""
    answer = function.send(EVENT, method=method)
    assert (answer.status, answer.problem, answer.headers["Allow"]) == (405, "method-not-allowed", "POST, OPTIONS")
    assert answer.body["message"] == "Send the event with POST"


def test_options(function: Function):
    """OPTIONS tells what is allowed."""
    answer = function.send(b"", method="OPTIONS")
    assert (answer.status, answer.headers["Allow"], answer.text) == (204, "POST, OPTIONS", "")
    assert "Content-Type" not in answer.headers
    assert (answer.log["message"], answer.log["verdict"]) == ("Told what is allowed", None)
