"""The token: whose it is, which forms are accepted, and for which instances the platform token is used."""

from pathlib import Path

import pytest
from helpers.envelopes import DELIVERIES
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, Function
from helpers.platform_token import AGENCY_HEADER, AGENCY_VARIABLES, TokenFile, sent_tokens

from ddm_precheck.settings import PlatformToken, SettingsError, from_environment
from testing.fake_ddm import FakeDDM

MAX_TOKEN_LENGTH = 65536
FOREIGN = EVENT_WITHOUT_TOKEN | {"project_id": "f" * 32}
WRONG_CHARACTERS = "it may only have the characters A-Z a-z 0-9 + / = _ . ~ -; send the token alone"
NO_AGENCY_TOKEN = (
    "is required: neither the caller nor the agency sent a token (an HTTP function needs Include Keys, an event"
    " function an agency)"
)
WHITESPACE = {"space": " ", "LF": "\n", "CRLF": "\r\n", "tab": "\t", "several": " \n\n"}


def unusable(response, path: Path) -> str:
    """Validate the problem of a token file, whose reason and path only the log has, and return the reason."""
    assert response.problem_code == "internal"
    assert response.message == "The function has no usable token; see the function log"
    log = response.log_entry
    assert log["severity"] == "ERROR"
    assert log["token_from"] is None
    assert log["job_id"] == EVENT["job_id"]
    assert str(path) not in response.output
    reason = log["message"].removeprefix("The file in DDM_TOKEN_SOURCE has no usable token: ")
    assert reason != log["message"]
    return reason


# The caller's token


@pytest.mark.parametrize("token", ["t", "+/=_.~-", "t" * MAX_TOKEN_LENGTH, "nullable", "None1"])
def test_forms_of_a_token(function: Function, fake_ddm: FakeDDM, token):
    response = function.send_event(token=token)
    # The fake DDM's HTTP server limits headers.
    assert response.outcome == ("PASS" if len(token) < 60_000 else "rejected")
    assert len(token) > 60_000 or sent_tokens(fake_ddm) == [token]


@pytest.mark.parametrize("space", WHITESPACE.values(), ids=WHITESPACE)
def test_whitespace_around_a_token_is_dropped(function: Function, fake_ddm: FakeDDM, space):
    assert function.send_event(token=f"{space}{TOKEN}{space}").verdict == "PASS"
    assert function.send(EVENT_WITHOUT_TOKEN, headers={"X-Auth-Token": f" {TOKEN}\t"}).verdict == "PASS"
    assert sent_tokens(fake_ddm) == [TOKEN, TOKEN]


@pytest.mark.parametrize(
    ("event", "headers", "sent", "source"),
    [
        (EVENT, {"X-Auth-Token": "header-token"}, TOKEN, "event"),
        (EVENT_WITHOUT_TOKEN, {"X-Auth-Token": "header-token"}, "header-token", "header"),
        (EVENT | {"token": ""}, {"X-Auth-Token": "header-token"}, "header-token", "header"),
        (EVENT | {"token": None}, {"X-Auth-Token": "header-token"}, "header-token", "header"),
        (EVENT | {"token": " \n"}, {"X-Auth-Token": "header-token"}, "header-token", "header"),
        (EVENT_WITHOUT_TOKEN, {}, "platform-token", None),
        (EVENT | {"token": ""}, {"X-Auth-Token": ""}, "platform-token", None),
    ],
)
@pytest.mark.parametrize("platform", ["file", "agency", None])
def test_order_of_the_sources(start, fake_ddm: FakeDDM, token_file: TokenFile, platform, event, headers, sent, source):
    variables = {"file": token_file.variables, "agency": AGENCY_VARIABLES, None: {}}[platform]
    token_file.write(b"platform-token")
    response = start(**variables).send(event, headers=headers | {AGENCY_HEADER: "platform-token"})
    if not platform and not source:
        assert response.message == "/token is required, in the event or in the header X-Auth-Token"
        assert fake_ddm.requests == []
    else:
        assert sent_tokens(fake_ddm) == [sent]
        assert response.log_entry["token_from"] == (source or platform)


def test_platform_token_does_not_replace_an_invalid_token(function_with_file: Function, fake_ddm: FakeDDM):
    for response in (
        function_with_file.send(EVENT | {"token": "null"}),
        function_with_file.send(EVENT | {"token": 7}),
        function_with_file.send(EVENT_WITHOUT_TOKEN, headers={"X-Auth-Token": "two words"}),
    ):
        assert response.problem_code == "invalid-event"
        assert response.pointers == ["/token"]
    assert fake_ddm.requests == []


# The token file


def test_file_is_read_for_each_request(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile):
    function_with_file.send(EVENT_WITHOUT_TOKEN)
    token_file.write(b"rewritten-token\r\n")
    function_with_file.send(EVENT_WITHOUT_TOKEN)
    replacement = token_file.path.with_suffix(".new")
    replacement.write_text(" replaced-token\n\n")
    replacement.rename(token_file.path)
    function_with_file.send(EVENT_WITHOUT_TOKEN)
    assert sent_tokens(fake_ddm) == [TOKEN, "rewritten-token", "replaced-token"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b" \r\n", "it is empty"),
        (b"tok en", "it has a space or a line break; remove it"),
        (b"\xef\xbb\xbftoken", WRONG_CHARACTERS),
        (b"t" * (MAX_TOKEN_LENGTH + 1), "it must have at most 65536 characters"),
    ],
)
def test_unusable_content_of_the_file(
    function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile, content, reason
):
    token_file.write(content)
    assert unusable(function_with_file.send(EVENT_WITHOUT_TOKEN), token_file.path) == reason
    assert fake_ddm.requests == []


def test_path_without_a_file(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile):
    token_file.path.unlink()
    reason = unusable(function_with_file.send(EVENT_WITHOUT_TOKEN), token_file.path)
    assert reason == "No such file or directory"
    token_file.path.mkdir()
    assert unusable(function_with_file.send(EVENT_WITHOUT_TOKEN), token_file.path) == "Is a directory"
    assert fake_ddm.requests == []
    token_file.path.rmdir()
    token_file.write(TOKEN.encode())
    assert function_with_file.send(EVENT_WITHOUT_TOKEN).verdict == "PASS"


# The token of an agency


@pytest.mark.parametrize("token", [TOKEN, f"{TOKEN} "])
def test_token_of_the_agency(function_with_agency: Function, fake_ddm: FakeDDM, token):
    response = function_with_agency.send(EVENT_WITHOUT_TOKEN, headers={AGENCY_HEADER: token})
    assert response.verdict == "PASS"
    assert response.log_entry["token_from"] == "agency"
    assert sent_tokens(fake_ddm) == [TOKEN]


@pytest.mark.parametrize(
    ("headers", "fault"),
    [
        ({}, NO_AGENCY_TOKEN),
        ({AGENCY_HEADER: ""}, NO_AGENCY_TOKEN),
        ({AGENCY_HEADER: "null"}, NO_AGENCY_TOKEN),
        ({AGENCY_HEADER: "two words"}, "from the agency has a space or a line break; remove it"),
    ],
)
def test_agency_without_a_usable_token(function_with_agency: Function, fake_ddm: FakeDDM, headers, fault):
    response = function_with_agency.send(EVENT_WITHOUT_TOKEN, headers=headers)
    assert response.problem_code == "invalid-event"
    assert response.message == f"/token {fault}"
    assert response.pointers == ["/token"]
    assert response.log_entry["token_from"] is None
    assert fake_ddm.requests == []


def test_agency_header_of_a_caller_is_ignored_with_another_source(
    function_with_file: Function, function: Function, fake_ddm: FakeDDM
):
    headers = {AGENCY_HEADER: "callers-token"}
    assert function_with_file.send(EVENT_WITHOUT_TOKEN, headers=headers).verdict == "PASS"
    assert function.send(EVENT_WITHOUT_TOKEN, headers=headers).pointers == ["/token"]
    assert sent_tokens(fake_ddm) == [TOKEN]


@pytest.mark.parametrize("make_delivery", DELIVERIES.values(), ids=DELIVERIES)
@pytest.mark.parametrize("source", ["file", "agency"])
def test_platform_token_of_a_delivery(start, fake_ddm: FakeDDM, token_file: TokenFile, source, make_delivery):
    function = start(**(token_file.variables if source == "file" else AGENCY_VARIABLES))
    body, headers = make_delivery(EVENT_WITHOUT_TOKEN)
    response = function.send(body, headers=headers | {AGENCY_HEADER: TOKEN})
    assert response.verdict == "PASS"
    assert response.log_entry["token_from"] == source
    assert sent_tokens(fake_ddm) == [TOKEN]


# Where the platform token may be used


@pytest.mark.parametrize(
    ("allowed", "project_id", "instance_id", "is_allowed"),
    [
        ("p1/i1", "p1", "i1", True),
        ("p1/i1", "p1", "i2", False),
        ("p1/i1", "p2", "i1", False),
        ("p1/i1,p2/i2", "p2", "i2", True),
        ("p1/i1,p2/i2", "p1", "i2", False),
        ("p1/*", "p1", "anything", True),
        ("p1/*", "p11", "i1", False),
        ("p1/*", "xp1", "i1", False),
        ("p1/*", "p", "i1", False),
        ("p1/*", "P1", "i1", False),
        ("p1/i1", "p1", "i11", False),
        ("p1/i1", "p1", "xi1", False),
        ("p1/i1", "p1", "i", False),
        ("p1/i1", "p1", "I1", False),
        ("p1/i1", "p1i1", "i1", False),
        ("p1/i1", "i1", "p1", False),
    ],
)
def test_allowed_instances(start, fake_ddm: FakeDDM, token_file, allowed, project_id, instance_id, is_allowed):
    function = start(DDM_TOKEN_SOURCE=str(token_file.path), DDM_ALLOWED_INSTANCES=allowed)
    ids = {"project_id": project_id, "instance_id": instance_id}
    response = function.send(EVENT_WITHOUT_TOKEN | ids)
    assert response.outcome == ("PASS" if is_allowed else "forbidden")
    assert sent_tokens(fake_ddm) == ([TOKEN] if is_allowed else [])
    assert function.send(EVENT | ids).verdict == "PASS", "the caller's own token is not restricted"


@pytest.mark.parametrize("name", [None, *DELIVERIES], ids=str)
def test_platform_token_is_not_fetched_for_another_instance(
    function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile, name
):
    """Without the file, the outcome would be `internal`."""
    token_file.path.unlink()
    body, headers = DELIVERIES[name](FOREIGN) if name else (FOREIGN, {})
    response = function_with_file.send(body, headers=headers)
    assert response.problem_code == "forbidden"
    assert response.message == (
        "The platform token may not be used for this instance; send a token, or add the instance to"
        " DDM_ALLOWED_INSTANCES"
    )
    assert response.body["upstream"] is None
    assert response.log_entry["project_id"] == FOREIGN["project_id"]
    assert response.log_entry["severity"] == "WARNING"
    assert function_with_file.send(FOREIGN | {"db_name": "X"}).problem_code == "invalid-event"
    assert fake_ddm.requests == []


def test_agency_is_not_used_for_another_instance(function_with_agency: Function, fake_ddm: FakeDDM):
    for headers in ({}, {AGENCY_HEADER: TOKEN}, {AGENCY_HEADER: "two words"}):
        assert function_with_agency.send(FOREIGN, headers=headers).problem_code == "forbidden"
    assert fake_ddm.requests == []


@pytest.mark.parametrize(
    ("default", "region", "is_allowed"),
    [
        ("cn-north-4", None, True),
        ("cn-north-4", "cn-north-4", True),
        ("cn-north-4", "cn-north-9", False),
        ("cn-north-4", "cn-north", False),
        (None, "cn-north-9", True),
    ],
)
def test_platform_token_stays_in_the_region(
    start, token_file: TokenFile, fake_ddm: FakeDDM, default, region, is_allowed
):
    # The fake DDM responds with 404 to a path that is not DDM's.
    endpoint = f"{fake_ddm.url}/{{region}}"
    function = start(**token_file.variables, DDM_ENDPOINT=endpoint, DDM_REGION=default)
    fields = {"region": region} if region else {}
    response = function.send(EVENT_WITHOUT_TOKEN | fields)
    if is_allowed:
        assert response.problem_code == "not-found"
    else:
        assert response.problem_code == "forbidden"
        assert response.message == (
            "The platform token may only be sent to the region in DDM_REGION; send a token for another region"
        )
    assert function.send(EVENT | fields).problem_code == "not-found"


def test_region_does_not_change_the_host(function_with_file: Function, fake_ddm: FakeDDM):
    summary = function_with_file.send(EVENT_WITHOUT_TOKEN | {"region": "elsewhere"}).summary
    assert summary["region"] == "elsewhere"
    assert len(fake_ddm.requests) == 1


# Settings

WRONG_SOURCE = "DDM_TOKEN_SOURCE must be agency or the absolute path of a file"
WRONG_LIST = (
    "DDM_ALLOWED_INSTANCES must be a list of project_id/instance_id or project_id/*, separated by commas without spaces"
)


@pytest.mark.parametrize(
    ("source", "allowed", "message"),
    [
        ("agency", "", "DDM_TOKEN_SOURCE requires DDM_ALLOWED_INSTANCES, the instances for the token"),
        ("", "p/*", "DDM_ALLOWED_INSTANCES requires DDM_TOKEN_SOURCE, the source of the token"),
        *((source, "p/*", WRONG_SOURCE) for source in ("Agency", " agency", "file", "./token")),
        *(
            ("agency", allowed, WRONG_LIST)
            for allowed in (
                *("*", "*/*", "*/i", "p", "p/", "/i", "p/i/j", "p/i*", "p/i,", ",p/i", "p/i,,q/j", "p/i, q/j", "p/i\n"),
                *("p/i;q/j", "p/\u00e9", "p p/i", "p/" + "i" * 65, "p" * 65 + "/i", "p/i,*/*", " ", "p/[a-z]"),
            )
        ),
    ],
)
def test_wrong_settings_of_the_platform_token(source, allowed, message):
    with pytest.raises(SettingsError) as caught:
        from_environment({"DDM_TOKEN_SOURCE": source, "DDM_ALLOWED_INSTANCES": allowed})
    assert str(caught.value) == message


def test_settings_of_the_platform_token():
    longest = f"{'p' * 64}/{'i' * 64}"
    settings = from_environment({"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": f"p_1/i-1,p-2/*,{longest}"})
    assert settings.platform_token == PlatformToken("agency", frozenset({"p_1/i-1", "p-2/*", longest}))
    assert from_environment({"DDM_TOKEN_SOURCE": "", "DDM_ALLOWED_INSTANCES": ""}).platform_token is None
