"""The platform's token: its sources, and when the function uses it instead of the caller's token."""

import os
from pathlib import Path

import pytest
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, Function, FunctionResponse
from helpers.platform_token import AGENCY_HEADER, AGENCY_VARIABLES, ENVELOPES, TokenFile, sent_tokens

from testing.fake_ddm import FakeDDM

MAX_TOKEN_BYTES = 65536
NO_TOKEN_IN_FILE = "The function has no usable token; its log has the reason"
REASON = "The file in DDM_TOKEN_SOURCE has no usable token: "
WRONG_CONTENT = "its content is not printable ASCII without spaces"
TOO_LONG = f"it has over {MAX_TOKEN_BYTES} bytes"


def validate_unusable_file(response: FunctionResponse, reason: str, path: Path) -> None:
    """Fail unless the problem is `internal` and retryable. Only the log may have the reason, and nothing the path."""
    assert (response.status, response.problem_code, response.body["message"]) == (500, "internal", NO_TOKEN_IN_FILE)
    assert (response.body["retryable"], response.body["retry_after_seconds"]) == (True, 10)
    log = response.log_entry
    assert (log["severity"], log["code"], log["token_from"]) == ("ERROR", "internal", None)
    assert (log["message"], log["job_id"]) == (REASON + reason, EVENT["job_id"])
    assert str(path) not in f"{response.headers}{response.text}{response.log_lines}"


def test_file_is_read_for_each_request(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile):
    """A renewed token is used for the next request, without a restart. Its file may be rewritten or replaced."""
    first = function_with_file.send(EVENT_WITHOUT_TOKEN)
    token_file.path.write_text("rewritten-token\n")
    assert function_with_file.send(EVENT_WITHOUT_TOKEN).status == 200
    replacement = token_file.path.with_suffix(".new")
    replacement.write_text("replaced-token")
    replacement.rename(token_file.path)
    assert function_with_file.send(EVENT_WITHOUT_TOKEN).status == 200
    assert sent_tokens(fake_ddm) == [TOKEN, "rewritten-token", "replaced-token"]
    assert (first.summary["verdict"], first.log_entry["token_from"]) == ("PASS", "file")


def test_file_of_a_mounted_secret(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile, tmp_path):
    """Kubernetes mounts a secret as a symbolic link to another symbolic link. The function follows both."""
    (tmp_path / "version-1").mkdir()
    (tmp_path / "version-1" / "token").write_text("mounted-token")
    (tmp_path / "..data").symlink_to("version-1")
    token_file.remove()
    token_file.path.symlink_to(tmp_path / "..data" / "token")
    assert function_with_file.send(EVENT_WITHOUT_TOKEN).status == 200
    assert sent_tokens(fake_ddm) == ["mounted-token"]


@pytest.mark.parametrize(
    ("content", "token"),
    [
        pytest.param(b"t", "t", id="one byte"),
        pytest.param(b"token\n", "token", id="newline"),
        pytest.param(b'!~"\\%{}+/=', '!~"\\%{}+/=', id="printable ASCII"),
    ],
)
def test_content_of_the_file(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile, content, token):
    """The token is the content of the file. One newline at the end is ignored."""
    token_file.write(content)
    assert function_with_file.send(EVENT_WITHOUT_TOKEN).log_entry["token_from"] == "file"
    assert sent_tokens(fake_ddm) == [token]


@pytest.mark.parametrize("newline", [b"", b"\n"], ids=["no newline", "newline"])
def test_file_of_max_size(function_with_file: Function, token_file: TokenFile, newline):
    """A token of 65,536 bytes is sent to DDM. The fake DDM rejects it, because its HTTP server limits headers."""
    token_file.write(b"t" * MAX_TOKEN_BYTES + newline)
    response = function_with_file.send(EVENT_WITHOUT_TOKEN)
    assert (response.problem_code, response.body["upstream"]["status"]) == ("rejected", 431)
    assert response.log_entry["token_from"] == "file"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"\n", "it is empty", id="newline only"),
        pytest.param(b"token\n\n", WRONG_CONTENT, id="two newlines"),
        pytest.param(b"token\r\n", WRONG_CONTENT, id="CRLF"),
        pytest.param(b"\ntoken", WRONG_CONTENT, id="leading newline"),
        pytest.param(b" token", WRONG_CONTENT, id="leading space"),
        pytest.param(b"token \n", WRONG_CONTENT, id="trailing space"),
        pytest.param(b"tok\ten", WRONG_CONTENT, id="tab"),
        pytest.param(b"tok\0en", WRONG_CONTENT, id="NUL"),
        pytest.param(b"\xef\xbb\xbftoken", WRONG_CONTENT, id="byte order mark"),
        pytest.param("tok\u00e9n".encode(), WRONG_CONTENT, id="not ASCII"),
        pytest.param(b"t" * (MAX_TOKEN_BYTES + 1), TOO_LONG, id="one byte too long"),
        pytest.param(b"t" * (MAX_TOKEN_BYTES + 1) + b"\n", TOO_LONG, id="one byte too long, newline"),
        pytest.param(b"t" * MAX_TOKEN_BYTES + b"\n\n", TOO_LONG, id="max length, two newlines"),
        pytest.param(b"t" * 5_000_000, TOO_LONG, id="5 MB"),
    ],
)
def test_unusable_content(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile, content, reason):
    """If the file's content breaks the rule of a token, the problem is `internal` and DDM receives no request."""
    token_file.write(content)
    validate_unusable_file(function_with_file.send(EVENT_WITHOUT_TOKEN), reason, token_file.path)
    assert fake_ddm.requests == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        pytest.param(lambda _: None, "No such file or directory", id="missing"),
        pytest.param(lambda path: path.mkdir(), "Is a directory", id="directory"),
        pytest.param(os.mkfifo, "it is a pipe or a device", id="pipe without a writer"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "it is a pipe or a device", id="device"),
        pytest.param(lambda path: path.symlink_to(path), "Too many levels of symbolic links", id="circular link"),
    ],
)
def test_path_without_a_file(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile, make, reason):
    """If there is no regular file, the problem `internal` comes without delay. The next request can succeed."""
    token_file.remove()
    make(token_file.path)
    validate_unusable_file(function_with_file.send(EVENT_WITHOUT_TOKEN), reason, token_file.path)
    assert fake_ddm.requests == []
    token_file.write(TOKEN.encode())
    assert function_with_file.send(EVENT_WITHOUT_TOKEN).status == 200


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, Path.touch], ids=["directory", "pipe", "empty file"])
def test_unusable_file_leaves_no_open_file(start, token_file: TokenFile, make):
    """Requests without a usable token file leave no open file descriptors."""
    function = start(**token_file.variables)
    token_file.remove()
    make(token_file.path)
    function.send(EVENT_WITHOUT_TOKEN)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        assert function.send(EVENT_WITHOUT_TOKEN).status == 500
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_token_of_the_agency(function_with_agency: Function, fake_ddm: FakeDDM):
    """FunctionGraph sends the agency's token in a header."""
    response = function_with_agency.send(EVENT_WITHOUT_TOKEN, headers={AGENCY_HEADER: TOKEN})
    assert (response.summary["verdict"], response.log_entry["token_from"]) == ("PASS", "agency")
    assert sent_tokens(fake_ddm) == [TOKEN]


@pytest.mark.parametrize(
    "headers",
    [{}, {AGENCY_HEADER: ""}, {AGENCY_HEADER: "null"}],
    ids=["absent", "empty", "null"],
)
def test_agency_without_a_token(function_with_agency: Function, fake_ddm: FakeDDM, headers):
    """If FunctionGraph's header is absent, empty or `null`, there is no token."""
    response = function_with_agency.send(EVENT_WITHOUT_TOKEN, headers=headers)
    assert (response.status, response.problem_code, response.pointers) == (400, "invalid-event", ["/token"])
    assert response.body["message"] == (
        "/token is required: neither the caller nor the agency sent a token (turn on Include Keys)"
    )
    assert (response.log_entry["token_from"], fake_ddm.requests) == (None, [])


@pytest.mark.parametrize("token", ["two words", "caf\u00e9\u00e9\u00e9\u00e9"], ids=["space", "not ASCII"])
def test_invalid_token_of_the_agency(function_with_agency: Function, fake_ddm: FakeDDM, token):
    """If the agency's token breaks the rule of a token, the event is invalid. The problem does not quote the token."""
    response = function_with_agency.send(EVENT_WITHOUT_TOKEN, headers={AGENCY_HEADER: token})
    assert (response.problem_code, response.pointers) == ("invalid-event", ["/token"])
    assert response.body["message"] == "/token from the agency must be printable ASCII without spaces"
    assert token not in f"{response.text}{response.log_lines}"
    assert (response.log_entry["token_from"], fake_ddm.requests) == (None, [])


def test_max_length_of_the_agencys_token(start):
    """The agency's token may have 65,536 characters, and no more."""
    function = start(**AGENCY_VARIABLES)
    longest = function.send(EVENT_WITHOUT_TOKEN, headers={AGENCY_HEADER: "t" * MAX_TOKEN_BYTES})
    assert (longest.problem_code, longest.log_entry["token_from"]) == ("rejected", "agency")
    too_long = function.send(EVENT_WITHOUT_TOKEN, headers={AGENCY_HEADER: "t" * (MAX_TOKEN_BYTES + 1)})
    assert (too_long.problem_code, too_long.pointers) == ("invalid-event", ["/token"])


def test_agency_header_is_ignored_with_a_file(function_with_file: Function, fake_ddm: FakeDDM):
    """If the token's source is a file, a caller cannot replace the token with the agency's header."""
    response = function_with_file.send(EVENT_WITHOUT_TOKEN, headers={AGENCY_HEADER: "callers-token"})
    assert (sent_tokens(fake_ddm), response.log_entry["token_from"]) == ([TOKEN], "file")


def test_agency_header_is_ignored_without_a_platform_token(function: Function, fake_ddm: FakeDDM):
    """If DDM_TOKEN_SOURCE is not set, the agency's header is not read."""
    response = function.send(EVENT_WITHOUT_TOKEN, headers={AGENCY_HEADER: TOKEN})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])


@pytest.mark.parametrize(
    ("event", "headers", "sent", "token_from"),
    [
        pytest.param(EVENT, {"X-Auth-Token": "header-token"}, TOKEN, "event", id="event before header"),
        pytest.param(EVENT, {}, TOKEN, "event", id="event before platform"),
        pytest.param(
            EVENT_WITHOUT_TOKEN, {"X-Auth-Token": "header-token"}, "header-token", "header", id="header before platform"
        ),
        pytest.param(EVENT_WITHOUT_TOKEN, {}, "platform-token", None, id="platform"),
        pytest.param(EVENT_WITHOUT_TOKEN, {"X-Auth-Token": ""}, "platform-token", None, id="empty header"),
    ],
)
@pytest.mark.parametrize("source", ["file", "agency"])
def test_order_of_the_tokens(start, fake_ddm: FakeDDM, token_file, source, event, headers, sent, token_from):
    """The function uses the event's token, else the token in the header `X-Auth-Token`, else the platform's token."""
    function = start(**(token_file.variables if source == "file" else AGENCY_VARIABLES))
    token_file.write(b"platform-token")
    agency = {AGENCY_HEADER: "platform-token"} if source == "agency" else {}
    response = function.send(event, headers=headers | agency)
    assert (sent_tokens(fake_ddm), response.log_entry["token_from"]) == ([sent], token_from or source)


@pytest.mark.parametrize("token", ["", None, "two words"], ids=["empty", "null", "space"])
def test_invalid_token_of_the_caller(function_with_file: Function, fake_ddm: FakeDDM, token):
    """If the caller's own token is invalid, the platform's token does not replace it."""
    response = function_with_file.send(EVENT | {"token": token})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])


def test_invalid_token_in_the_header(function_with_file: Function, fake_ddm: FakeDDM):
    """If the token in the header is invalid, the platform's token does not replace it."""
    response = function_with_file.send(EVENT_WITHOUT_TOKEN, headers={"X-Auth-Token": "two words"})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])


@pytest.mark.parametrize("make_envelope", ENVELOPES.values(), ids=ENVELOPES)
def test_event_delivery_without_a_token(function_with_file: Function, fake_ddm: FakeDDM, make_envelope):
    """An event delivery without a token uses the platform's token."""
    body, headers = make_envelope(EVENT_WITHOUT_TOKEN)
    response = function_with_file.send(body, headers=headers)
    assert (response.summary["verdict"], response.log_entry["token_from"]) == ("PASS", "file")
    assert sent_tokens(fake_ddm) == [TOKEN]


@pytest.mark.parametrize("make_envelope", ENVELOPES.values(), ids=ENVELOPES)
def test_event_delivery_with_the_agencys_token(function_with_agency: Function, fake_ddm: FakeDDM, make_envelope):
    """On FunctionGraph, an event delivery without a token uses the agency's token."""
    body, headers = make_envelope(EVENT_WITHOUT_TOKEN)
    response = function_with_agency.send(body, headers={AGENCY_HEADER: TOKEN} | headers)
    assert (response.summary["verdict"], response.log_entry["token_from"]) == ("PASS", "agency")
    assert sent_tokens(fake_ddm) == [TOKEN]
