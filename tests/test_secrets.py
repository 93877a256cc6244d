"""The token is in no response and in no log line, even if DDM or the caller repeats the token.

`Function.send` checks it for every response of all tests. Here the token is where it could come out.
"""

import inspect
import json
from collections.abc import Iterator

import pytest
from helpers.envelopes import base64_json, binary_headers, push_body, send_structured
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, Function, ServedFunction, serve_function
from helpers.platform_token import AGENCY_HEADER, AGENCY_VARIABLES, TokenFile
from helpers.sink import Sink

from ddm_precheck import cloudevents, report, serialization, sink, verdict
from ddm_precheck.credentials import Token
from ddm_precheck.event import Precheck
from testing.fake_behaviours import FakeResponse, check, error, results
from testing.fake_ddm import FakeDDM
from testing.fault_server import FaultServer, chunk, reset, response_head, send

TEXT_FIELDS = ("name", "note", "handling_suggestion", "error_message", "error_detail_message")
TOKEN_BYTES = TOKEN.encode()
MALFORMED_RESPONSES = {
    "header without a colon": response_head()[:-2] + TOKEN_BYTES + b"\r\n\r\n",
    "header without a name": response_head()[:-2] + b": " + TOKEN_BYTES + b"\r\n\r\n",
    "space in a header's name": response_head()[:-2] + b"X " + TOKEN_BYTES + b": x\r\n\r\n",
    "name of a header": response_head(**{TOKEN: "x"}),
    "several headers": response_head(f"200 {TOKEN}", Content_Type=TOKEN, X_Request_Id=TOKEN, Date=TOKEN),
    "Content-Length": response_head(Content_Length=TOKEN),
    "Content-Encoding": response_head(Content_Encoding=TOKEN),
    "Transfer-Encoding": response_head(Transfer_Encoding=f"chunked, {TOKEN}"),
    "chunk size": response_head(Transfer_Encoding="chunked") + TOKEN_BYTES + b"\r\n",
    "chunk": response_head(Transfer_Encoding="chunked") + chunk(TOKEN_BYTES),
    "Location": response_head(f"302 {TOKEN}", Location=f"https://{TOKEN[:40]}/{TOKEN}"),
    "Retry-After": response_head(f"429 {TOKEN}", Retry_After=TOKEN, Connection="close"),
    "HTTP version": b"HTTP/1.1" + TOKEN_BYTES + b" 200 OK\r\n\r\n",
    "status": b"HTTP/1.1 " + TOKEN_BYTES + b" OK\r\n\r\n",
    "not HTTP": TOKEN_BYTES,
}
ENCODINGS = {
    "plain": lambda token: token,
    "escaped slash": lambda token: token.replace("/", "\\/"),
    "escaped": lambda token: "".join(f"\\u{ord(character):04x}" for character in token),
    "escaped digits": lambda token: "".join(f"\\u{ord(c):04X}" if c.isdigit() else c for c in token),
    "between surrogates": lambda token: f"\\ud800{token}\\udc00",
    "twice": lambda token: f"{token}{token}",
}


@pytest.fixture(scope="module")
def fault_server() -> Iterator[FaultServer]:
    with FaultServer([[reset]]) as server:
        yield server


@pytest.fixture(scope="module")
def function_of_faults(tmp_path_factory: pytest.TempPathFactory, fault_server: FaultServer) -> Iterator[ServedFunction]:
    environment = {"DDM_ENDPOINT": fault_server.url, "LOG_EXECUTION_ID": "true"}
    with serve_function(environment, tmp_path_factory.mktemp("served")) as function:
        yield function


@pytest.mark.parametrize("data", MALFORMED_RESPONSES.values(), ids=MALFORMED_RESPONSES)
@pytest.mark.no_mutation
def test_libraries_quote_a_malformed_response_but_the_function_does_not(
    function_of_faults: ServedFunction, fault_server: FaultServer, data
):
    fault_server.scripts = [[send(data)]]
    response = function_of_faults.send_event()
    assert response.status in {429, 502}
    assert TOKEN[:40] not in response.output


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_ddm_s_texts_are_redacted(function: Function, fake_ddm: FakeDDM, encode):
    checks = [check("a", "FAILED") | dict.fromkeys(TEXT_FIELDS, "Token TEXT.")]
    body = {"job_id": EVENT["job_id"], "pre_check_results": checks, "more": "TEXT"}
    text = json.dumps(body).replace("TEXT", encode(TOKEN))
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(200, text.encode())
    summary = function.send_event("echo").summary
    (issue,) = summary["issues"]
    assert all("***" in issue[name] for name in ("name", "note", "suggestion", "error", "error_detail"))
    assert "***" in summary["report"]
    assert "***" in summary["message"]


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_ddm_s_errors_are_redacted(function: Function, fake_ddm: FakeDDM, encode, status):
    body = '{"error_code": "DBS.TEXT", "error_msg": "invalid token:TEXT", "request_id": "TEXT"}'
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(
        status, body.replace("TEXT", encode(TOKEN)).encode(), {"X-Request-Id": ""}
    )
    upstream = function.send_event("echo").body["upstream"]
    assert "***" in upstream["error_code"]
    assert "***" in upstream["error_msg"]
    assert upstream["request_id"] is None


def test_long_error_is_redacted_before_it_is_truncated(function: Function, fake_ddm: FakeDDM):
    fake_ddm.behaviours["echo"] = error(400, "x", f"{'y' * 900}{TOKEN}")
    assert function.send_event("echo").body["upstream"]["error_msg"] == f"{'y' * 900}***"


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
def test_caller_s_synchronous_results_are_redacted(function: Function, encode):
    item = {"name": "a", "status": "FAILED"} | dict.fromkeys(TEXT_FIELDS, "Token TEXT.")
    body = json.dumps(EVENT | {"pre_check_results": [item]}).replace("TEXT", encode(TOKEN))
    summary = function.send(body.encode()).summary
    issue = summary["issues"][0]
    assert all("***" in issue[name] for name in ("name", "note", "suggestion", "error", "error_detail"))


@pytest.mark.parametrize("source", ["file", "agency"])
def test_platform_token_is_redacted(start, fake_ddm: FakeDDM, token_file: TokenFile, source):
    function = start(**(token_file.variables if source == "file" else AGENCY_VARIABLES))
    texts = dict.fromkeys(TEXT_FIELDS, f"Token {TOKEN}.")
    fake_ddm.behaviours |= {"echo": results(check("a", "FAILED") | texts), "error": error(403, TOKEN, TOKEN)}
    event = EVENT_WITHOUT_TOKEN | {"pre_check_results": [check("a", "WARN") | texts]}
    summary = function.send(event | {"db_name": "echo"}, headers={AGENCY_HEADER: TOKEN}).summary
    assert [issue["name"] for issue in summary["issues"]] == ["Token ***."] * 2
    problem = function.send(event | {"db_name": "error"}, headers={AGENCY_HEADER: TOKEN}).body
    assert problem["upstream"]["error_code"] == problem["upstream"]["error_msg"] == "***"


def test_accepted_names_are_not_in_the_output(function: Function, fake_ddm: FakeDDM):
    """A name of 200 characters cannot hold a token, but a token can be shorter than IAM's."""
    token = "t" * 150
    fake_ddm.behaviours["echo"] = results(check(token, "WARN"))
    response = function.send_event("echo", token=token, accepted_warnings=[token])
    assert response.summary["issues"][0]["name"] == "***"
    assert not response.summary["can_proceed"]


def test_id_of_a_cloudevent_is_redacted(function: Function):
    token = TOKEN[:500]
    for response in (
        send_structured(function, id=f"job {token}", data=EVENT | {"token": token}),
        function.send(EVENT | {"token": token}, headers=binary_headers(id=f"job%20{token}")),
    ):
        assert token not in response.output
        assert "***" in response.output


def test_sink_receives_no_token(start, token_file: TokenFile):
    with Sink() as server:
        function = start(**token_file.variables, K_SINK=server.url)
        assert function.send(EVENT_WITHOUT_TOKEN, headers=binary_headers(id=TOKEN[:1000])).status == 202
        ((received, summary),) = server.received
    assert TOKEN not in f"{received}{summary}"
    assert "x-auth-token" not in received


@pytest.mark.parametrize(
    "body",
    [
        json.dumps(EVENT | {"db_name": "?"}).encode(),
        json.dumps(EVENT)[:-1].encode(),
        json.dumps(EVENT | {"token": [TOKEN]}).encode(),
        json.dumps(EVENT | {"token": f"Bearer {TOKEN}"}).encode(),
        json.dumps(EVENT | {TOKEN: 1}).encode(),
        json.dumps(EVENT | {"region": TOKEN, "job_id": TOKEN, "db_name": TOKEN}).encode(),
        json.dumps(EVENT | {"pre_check_results": [{"name": "a", "status": TOKEN}]}).encode(),
        json.dumps(EVENT | {"pre_check_results": TOKEN}).encode(),
        json.dumps(EVENT | {"accepted_warnings": TOKEN}).encode(),
        json.dumps({TOKEN: EVENT}).encode(),
        json.dumps(TOKEN).encode(),
        TOKEN_BYTES,
        json.dumps(push_body(EVENT | {"db_name": TOKEN})).encode(),
        json.dumps(push_body(EVENT, data=TOKEN)).encode(),
        json.dumps({"specversion": "1.0", "id": TOKEN, "source": TOKEN, "type": "", "data": {}}).encode(),
        json.dumps({"specversion": TOKEN, "data_base64": base64_json(EVENT)}).encode(),
    ],
    ids=range(16),
)
def test_no_problem_quotes_the_event(function: Function, fake_ddm: FakeDDM, body):
    response = function.send(body)
    assert response.problem_code == "invalid-event"
    assert TOKEN[:40] not in response.output


@pytest.mark.parametrize("token", ["e", "true", "PASS", "FAILED", "SUCCESS", "verdict", "7"])
def test_short_token_does_not_damage_the_summary(function: Function, fake_ddm: FakeDDM, token):
    fake_ddm.behaviours["words"] = results(check("PASS", "WARN", note="true e FAILED SUCCESS verdict 7"))
    expected, summary = (function.send_event("words", token=each).summary for each in (TOKEN, token))
    assert summary["checks"] == expected["checks"]
    assert summary["message"] == expected["message"]


@pytest.mark.parametrize(("token", "shown"), [("8ormore_", "***"), ("7orless", "7orless")])
def test_shortest_redacted_token(function: Function, fake_ddm: FakeDDM, token, shown):
    fake_ddm.behaviours["echo"] = results(check("a", note=f"Token {token}."))
    assert function.send_event("echo", token=token).summary["checks"][0]["note"] == f"Token {shown}."


def test_token_is_not_in_its_representation():
    assert TOKEN not in repr(Token(TOKEN, "event"))


@pytest.mark.parametrize("module", [verdict, report, serialization, sink, cloudevents])
def test_modules_that_receive_no_token_by_type(module):
    """No function or class of these modules has the type, and the precheck that they receive has no field for it."""
    for name, value in vars(module).items():
        if getattr(value, "__module__", None) == module.__name__ and callable(value):
            parameters = inspect.signature(value).parameters.values()
            assert not any("Token" in str(parameter.annotation) for parameter in parameters), name
    assert Token not in vars(module).values()
    assert "token" not in Precheck.__dataclass_fields__
