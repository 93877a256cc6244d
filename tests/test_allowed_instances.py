"""DDM_ALLOWED_INSTANCES: the platform's token is used only for listed instances. An invalid list stops the start."""

import subprocess
import sys

import pytest
from helpers.file_watch import FileWatch
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, ROOT, TOKEN, Function
from helpers.platform_token import AGENCY_HEADER, ENVELOPES, FOREIGN_PROJECT, INSTANCE, sent_tokens

from ddm_precheck.settings import PlatformToken, SettingsError, from_environment
from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment

NOT_ALLOWED = (
    "The platform's token may not be used for this instance; send a token, or add the instance to DDM_ALLOWED_INSTANCES"
)
MISSING_VARIABLES = {
    "no list": (
        {"DDM_TOKEN_SOURCE": "agency"},
        "DDM_TOKEN_SOURCE requires DDM_ALLOWED_INSTANCES, the instances for the token",
    ),
    "empty list": (
        {"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": ""},
        "DDM_TOKEN_SOURCE requires DDM_ALLOWED_INSTANCES, the instances for the token",
    ),
    "no source": (
        {"DDM_ALLOWED_INSTANCES": "p/*"},
        "DDM_ALLOWED_INSTANCES requires DDM_TOKEN_SOURCE, the source of the token",
    ),
    "empty source": (
        {"DDM_TOKEN_SOURCE": "", "DDM_ALLOWED_INSTANCES": "p/*"},
        "DDM_ALLOWED_INSTANCES requires DDM_TOKEN_SOURCE, the source of the token",
    ),
}


@pytest.mark.parametrize(
    ("allowed", "project_id", "instance_id", "is_allowed"),
    [
        pytest.param("p1/i1", "p1", "i1", True, id="pair"),
        pytest.param("p1/i1", "p1", "i2", False, id="other instance"),
        pytest.param("p1/i1", "p2", "i1", False, id="other project"),
        pytest.param("p1/i1,p2/i2", "p2", "i2", True, id="second pair"),
        pytest.param("p1/i1,p2/i2", "p1", "i2", False, id="parts of two pairs"),
        pytest.param("p1/*", "p1", "anything", True, id="all instances of the project"),
        pytest.param("p1/*", "p11", "i1", False, id="project with a suffix"),
        pytest.param("p1/*", "xp1", "i1", False, id="project with a prefix"),
        pytest.param("p1/*", "p", "i1", False, id="prefix of the project"),
        pytest.param("p1/*", "P1", "i1", False, id="project in upper case"),
        pytest.param("p1/i1", "p1", "i11", False, id="instance with a suffix"),
        pytest.param("p1/i1", "p1", "xi1", False, id="instance with a prefix"),
        pytest.param("p1/i1", "p1", "i", False, id="prefix of the instance"),
        pytest.param("p1/i1", "p1", "I1", False, id="instance in upper case"),
        pytest.param("p1/i1", "p1i1", "i1", False, id="no separator"),
        pytest.param("p1/i1", "i1", "p1", False, id="exchanged"),
    ],
)
def test_allowed_instances(start, fake_ddm: FakeDDM, token_file, allowed, project_id, instance_id, is_allowed):
    """The platform's token is used for listed instances only. Each ID must be equal to the ID in the list."""
    function = start(DDM_TOKEN_SOURCE=str(token_file.path), DDM_ALLOWED_INSTANCES=allowed)
    response = function.send(EVENT_WITHOUT_TOKEN | {"project_id": project_id, "instance_id": instance_id})
    if is_allowed:
        assert response.summary["verdict"] == "PASS"
        assert sent_tokens(fake_ddm) == [TOKEN]
    else:
        assert (response.status, response.problem_code, response.body["message"]) == (403, "forbidden", NOT_ALLOWED)
        assert (response.body["retryable"], response.body["upstream"], fake_ddm.requests) == (False, None, [])


@pytest.mark.parametrize("name", ["project_id", "instance_id"])
@pytest.mark.parametrize("value", ["*", "other-project/*", f"{INSTANCE},x"], ids=["star", "entry", "list"])
def test_id_with_a_character_of_the_list(function_with_file: Function, fake_ddm: FakeDDM, name, value):
    """An ID with a character that the list uses, such as a star or a comma, is invalid."""
    response = function_with_file.send(EVENT_WITHOUT_TOKEN | {name: value})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", [f"/{name}"], [])


@pytest.mark.parametrize("envelope", [None, *ENVELOPES], ids=str)
def test_file_is_not_opened_for_another_instance(function_with_file: Function, fake_ddm: FakeDDM, token_file, envelope):
    """If the instance is not listed, the file is not opened and DDM receives no request."""
    foreign = EVENT_WITHOUT_TOKEN | {"project_id": FOREIGN_PROJECT}
    body, headers = ENVELOPES[envelope](foreign) if envelope else (foreign, {})
    with FileWatch(token_file.path) as watch:
        response = function_with_file.send(body, headers=headers)
        assert (response.problem_code, watch.new_opens(), fake_ddm.requests) == ("forbidden", 0, [])
        log = response.log_entry
        assert (log["severity"], log["project_id"], log["token_from"]) == ("WARNING", FOREIGN_PROJECT, None)
        assert function_with_file.send(EVENT_WITHOUT_TOKEN).status == 200
        assert watch.new_opens() == 1


@pytest.mark.parametrize(
    ("event", "headers"),
    [(EVENT, {}), (EVENT_WITHOUT_TOKEN, {"X-Auth-Token": TOKEN})],
    ids=["event", "header"],
)
def test_callers_token_needs_no_list(function_with_file: Function, fake_ddm: FakeDDM, token_file, event, headers):
    """If the caller sends a token, each instance is allowed, and the file is not opened."""
    with FileWatch(token_file.path) as watch:
        response = function_with_file.send(event | {"project_id": FOREIGN_PROJECT}, headers=headers)
        assert (response.summary["verdict"], watch.new_opens()) == ("PASS", 0)
    assert sent_tokens(fake_ddm) == [TOKEN]


def test_agency_is_not_used_for_another_instance(function_with_agency: Function, fake_ddm: FakeDDM):
    """If the instance is not listed, the problem is `forbidden`, with and without the agency's header."""
    for headers in ({}, {AGENCY_HEADER: TOKEN}, {AGENCY_HEADER: "two words"}):
        response = function_with_agency.send(EVENT_WITHOUT_TOKEN | {"instance_id": "another"}, headers=headers)
        assert (response.problem_code, response.body["message"]) == ("forbidden", NOT_ALLOWED)
    assert fake_ddm.requests == []


@pytest.mark.parametrize(
    ("event", "pointers"),
    [
        pytest.param(EVENT_WITHOUT_TOKEN | {"db_name": "X"}, ["/db_name"], id="wrong value"),
        pytest.param(EVENT_WITHOUT_TOKEN | {"dbName": "orders"}, ["/dbName"], id="unknown field"),
        pytest.param({}, ["/project_id", "/instance_id", "/db_name", "/job_id"], id="empty object"),
        pytest.param([], [""], id="list"),
    ],
)
@pytest.mark.parametrize("is_missing", [False, True], ids=["file", "no file"])
def test_other_errors_come_first(
    function_with_file: Function, fake_ddm: FakeDDM, token_file, event, pointers, is_missing
):
    """If the event is invalid, the problem is `invalid-event`, and the file is not opened, whether it exists or not."""
    with FileWatch(token_file.path.parent) as watch:
        if is_missing:
            token_file.remove()
        watch.new_opens()
        response = function_with_file.send(event)
        assert (response.status, response.problem_code, response.pointers) == (400, "invalid-event", pointers)
        assert (watch.new_opens(), fake_ddm.requests, response.log_entry["token_from"]) == (0, [], None)


@pytest.mark.parametrize(("variables", "message"), MISSING_VARIABLES.values(), ids=MISSING_VARIABLES)
def test_both_variables_are_necessary(start, variables, message):
    """If only one of the two variables is set, the function does not start."""
    with pytest.raises(SystemExit) as caught:
        start(**variables)
    assert caught.value.code == f"ddm-precheck cannot start: {message}"


def test_one_variable_stops_the_served_function():
    """The start ends with one line that names the missing variable."""
    command = [sys.executable, "-m", "functions_framework", "--target", "precheck"]
    variables = clean_environment() | {"DDM_TOKEN_SOURCE": "/run/secrets/ddm-token"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60, check=False)
    message = MISSING_VARIABLES["no list"][1]
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"ddm-precheck cannot start: {message}\n")


@pytest.mark.parametrize(
    "value", ["Agency", "AGENCY", " agency", "file", "secrets/token", "./token", "~/token", "/a\0b"]
)
def test_wrong_source(value):
    """The source must be `agency` or an absolute path. The message does not quote the invalid value."""
    with pytest.raises(SettingsError) as caught:
        from_environment({"DDM_TOKEN_SOURCE": value, "DDM_ALLOWED_INSTANCES": "p/*"})
    assert str(caught.value) == "DDM_TOKEN_SOURCE must be agency or the absolute path of a file"


@pytest.mark.parametrize(
    "value",
    [
        *("*", "*/*", "*/i", "p", "p/", "/i", "p/i/j", "p/i*", "p/**", "p/i,", ",p/i", "p/i,,q/j", "p/i, q/j", "p/i\n"),
        *("p/i;q/j", "p/\u00e9", "p p/i", "p/" + "i" * 65, "p" * 65 + "/i", "p/i,*/*", " ", "p/[a-z]"),
    ],
    ids=lambda value: value.encode("ascii", "replace").decode()[:12],
)
def test_wrong_list(value):
    """Each entry of the list must be a pair of IDs, or a project with a star. Commas separate the entries."""
    with pytest.raises(SettingsError) as caught:
        from_environment({"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": value})
    assert str(caught.value) == (
        "DDM_ALLOWED_INSTANCES must be a list of project_id/instance_id or project_id/*, separated by commas without"
        " spaces"
    )


def test_valid_list():
    """The list may have pairs of IDs and projects with a star, with IDs of the max length."""
    longest = f"{'p' * 64}/{'i' * 64}"
    settings = from_environment({"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": f"p_1/i-1,p-2/*,{longest}"})
    assert settings.platform_token == PlatformToken("agency", frozenset({"p_1/i-1", "p-2/*", longest}))


def test_no_platform_token():
    """If both variables are empty, the function uses no platform token."""
    settings = from_environment({"DDM_TOKEN_SOURCE": "", "DDM_ALLOWED_INSTANCES": ""})
    assert settings.platform_token is None
