"""The platform's token is in no response and in no log. The function sends it only to DDM."""

import pytest
from helpers.envelopes import binary_headers
from helpers.file_watch import FileWatch
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, Function
from helpers.platform_token import AGENCY_HEADER, AGENCY_VARIABLES, ENVELOPES, TokenFile
from helpers.sink import Sink

from testing.fake_behaviours import FakeResponse, check, error, results
from testing.fake_ddm import FakeDDM


@pytest.fixture(params=["file", "agency"])
def variables(request: pytest.FixtureRequest, token_file: TokenFile) -> dict[str, str]:
    """The environment variables of a function that uses the platform's token, for each source of the token."""
    return token_file.variables if request.param == "file" else AGENCY_VARIABLES


def test_token_is_not_sent_to_the_sink(start, token_file: TokenFile):
    """The sink receives the summary, but not the token."""
    with Sink() as sink:
        body, headers = ENVELOPES["structured"](EVENT_WITHOUT_TOKEN)
        function = start(**token_file.variables, K_SINK=sink.url)
        assert function.send(body, headers=headers).status == 202
        ((received, summary),) = sink.received
    assert summary["verdict"] == "PASS"
    assert TOKEN not in f"{received}{summary}"
    assert "x-auth-token" not in received


def test_token_in_ddms_result(start, fake_ddm: FakeDDM, variables):
    """The platform's token is redacted in DDM's texts, and in the report."""
    texts = dict.fromkeys(("note", "handling_suggestion", "error_message", "error_detail_message"), f"Token {TOKEN}.")
    fake_ddm.behaviours["echo"] = results(check(f"Token {TOKEN}.", "FAILED", **texts))
    event = EVENT_WITHOUT_TOKEN | {"db_name": "echo"}
    summary = start(**variables).send(event, headers={AGENCY_HEADER: TOKEN}).summary
    assert set(summary["issues"][0].values()) == {"Token ***.", "FAILED"}
    assert "- FAILED Token ***.: Token ***. → Token ***." in summary["report"]


@pytest.mark.parametrize("status", [400, 401, 403, 429, 500])
def test_token_in_ddms_error(start, fake_ddm: FakeDDM, variables, status):
    """The platform's token is redacted in DDM's errors."""
    fake_ddm.behaviours["echo"] = error(status, f"DBS.{TOKEN}", f"token:{TOKEN}", X_Request_Id=TOKEN)
    event = EVENT_WITHOUT_TOKEN | {"db_name": "echo"}
    response = start(**variables).send(event, headers={AGENCY_HEADER: TOKEN})
    upstream = response.body["upstream"]
    assert (upstream["error_code"], upstream["error_msg"], upstream["request_id"]) == ("DBS.***", "token:***", None)


@pytest.mark.parametrize("name", ["project_id", "instance_id", "db_name", "job_id", "region"])
def test_token_in_an_id(start, fake_ddm: FakeDDM, token_file: TokenFile, variables, name):
    """If an ID contains the platform's token, the event is invalid, and the log has the ID without the token."""
    token = "secrettoken"
    token_file.write(token.encode())
    event = EVENT_WITHOUT_TOKEN | {name: f"x{token}"}
    function = start(**variables | {"DDM_ALLOWED_INSTANCES": f"{event['project_id']}/{event['instance_id']}"})
    response = function.send(event, headers={AGENCY_HEADER: token})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/token"], [])
    assert token not in f"{response.headers}{response.text}{response.log_lines}"
    assert name == "region" or response.log_entry[name] == "x***"


def test_token_in_the_trace_and_in_the_id_of_the_event(function_with_file: Function, token_file: TokenFile):
    """A trace that contains the platform's token is not logged. In the ID of a CloudEvent, the token is redacted."""
    token = "0123456789abcdef" * 2
    token_file.write(token.encode())
    headers = binary_headers(id=f"e-{token}") | {"X-Cloud-Trace-Context": token}
    response = function_with_file.send(EVENT_WITHOUT_TOKEN, headers=headers)
    assert (response.summary["verdict"], response.headers["ce-id"]) == ("PASS", "e-***")
    assert (token in f"{response.headers}{response.text}{response.log_lines}", response.log_entry["trace"]) == (
        False,
        None,
    )


def test_redirect_gets_no_token(function_with_file: Function, fake_ddm: FakeDDM):
    """The function does not follow a redirect of DDM, so that no other host receives the token."""
    fake_ddm.behaviours["moved"] = lambda _: FakeResponse(302, b"", {"Location": f"{fake_ddm.url}/elsewhere"})
    response = function_with_file.send(EVENT_WITHOUT_TOKEN | {"db_name": "moved"})
    assert (response.problem_code, len(fake_ddm.requests)) == ("upstream-contract", 1)


def test_region_does_not_change_the_host(start, fake_ddm: FakeDDM, token_file: TokenFile):
    """If the endpoint has no `{region}`, the event's region does not change the host that receives the token."""
    function = start(**token_file.variables)
    summary = function.send(EVENT_WITHOUT_TOKEN | {"region": "elsewhere"}).summary
    assert (summary["verdict"], summary["region"], len(fake_ddm.requests)) == ("PASS", "elsewhere", 1)


@pytest.mark.parametrize(
    ("default", "region", "is_allowed"),
    [
        pytest.param("cn-north-4", None, True, id="default"),
        pytest.param("cn-north-4", "cn-north-4", True, id="same region"),
        pytest.param("cn-north-4", "cn-north-9", False, id="other region"),
        pytest.param("cn-north-4", "cn-north", False, id="prefix of the region"),
        pytest.param(None, "cn-north-9", True, id="no default"),
    ],
)
def test_region_in_the_endpoint(start, token_file: TokenFile, fake_ddm: FakeDDM, default, region, is_allowed):
    """If the endpoint has `{region}`, the function sends the platform's token only to the region in DDM_REGION."""
    # The fake DDM responds with 404 to a path that is not DDM's.
    endpoint = f"{fake_ddm.url}/{{region}}"
    function = start(**token_file.variables, DDM_ENDPOINT=endpoint, DDM_REGION=default)
    fields = {"region": region} if region else {}
    with FileWatch(token_file.path) as watch:
        response = function.send(EVENT_WITHOUT_TOKEN | fields)
        assert watch.new_opens() == is_allowed
    assert response.problem_code == ("not-found" if is_allowed else "forbidden")
    assert function.send(EVENT | fields).problem_code == "not-found"
    assert is_allowed or response.body["message"] == (
        "The platform's token may only be sent to the region in DDM_REGION; send a token for another region"
    )


@pytest.mark.parametrize("field", ["endpoint", "ddm_endpoint", "sink", "token_source", "allowed"])
def test_event_changes_no_setting(function_with_file: Function, fake_ddm: FakeDDM, token_file: TokenFile, field):
    """No field of the event changes the endpoint, the sink, the source of the token or the allowed instances."""
    with FileWatch(token_file.path) as watch:
        response = function_with_file.send(EVENT_WITHOUT_TOKEN | {field: fake_ddm.url})
        assert (response.problem_code, response.pointers) == ("invalid-event", [f"/{field}"])
        assert (watch.new_opens(), fake_ddm.requests) == (0, [])
