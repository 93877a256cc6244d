"""The token is in no response and in no log line, even if DDM returns the token."""

import json
import time
from collections.abc import Iterator

import pytest
from helpers.envelopes import binary_headers
from helpers.function import EVENT, TOKEN, Function, ServedFunction, serve_function

from testing.fake_behaviours import FakeResponse, check, error, results
from testing.fake_ddm import FakeDDM
from testing.fault_server import FaultServer, chunk, complete_response, reset, response_head, send

TEXT_FIELDS = ("note", "handling_suggestion", "error_message", "error_detail_message", "name")
TOKEN_BYTES = TOKEN.encode()
MALFORMED_RESPONSES = {
    "header without a colon": response_head()[:-2] + TOKEN_BYTES + b"\r\n\r\n",
    "header without a name": response_head()[:-2] + b": " + TOKEN_BYTES + b"\r\n\r\n",
    "space in a header's name": response_head()[:-2] + b"X " + TOKEN_BYTES + b": x\r\n\r\n",
    "name of a header": response_head(**{TOKEN: "x"}),
    "several headers": response_head(
        f"200 {TOKEN}", Content_Type=TOKEN, Set_Cookie=f"t={TOKEN}", X_Request_Id=TOKEN, Date=TOKEN
    ),
    "Content-Length": response_head(Content_Length=TOKEN),
    "two values of Content-Length": response_head(Content_Length=f"1, {TOKEN}"),
    "Content-Encoding": response_head(Content_Encoding=TOKEN),
    "Transfer-Encoding": response_head(Transfer_Encoding=f"chunked, {TOKEN}"),
    "Content-Length, chunked": response_head(Content_Length=TOKEN, Transfer_Encoding="chunked"),
    "chunk size": response_head(Transfer_Encoding="chunked") + TOKEN_BYTES + b"\r\n",
    "chunk": response_head(Transfer_Encoding="chunked") + chunk(TOKEN_BYTES),
    "Location": response_head(f"302 {TOKEN}", Location=f"https://{TOKEN}/{TOKEN}"),
    "Retry-After": response_head(f"429 {TOKEN}", Retry_After=TOKEN, Connection="close"),
    "HTTP version": b"HTTP/1.1" + TOKEN_BYTES + b" 200 OK\r\n\r\n",
    "status": b"HTTP/1.1 " + TOKEN_BYTES + b" OK\r\n\r\n",
    "not HTTP": TOKEN_BYTES,
}


def escape(text: str) -> str:
    r"""Return the text with each character as a ``\u`` escape of JSON."""
    return "".join(f"\\u{ord(character):04x}" for character in text)


@pytest.fixture(scope="module")
def fault_server() -> Iterator[FaultServer]:
    """A server that replaces DDM. Each test sets its script."""
    with FaultServer([[reset]]) as server:
        yield server


@pytest.fixture(scope="module", params=["", "true"], ids=["served", "served, LOG_EXECUTION_ID"])
def function_of_faults(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fault_server: FaultServer
) -> Iterator[ServedFunction]:
    """A served function that sends its requests to the fault server, with and without LOG_EXECUTION_ID."""
    environment = {"DDM_ENDPOINT": fault_server.url, "LOG_EXECUTION_ID": request.param}
    with serve_function(environment, tmp_path_factory.mktemp("served")) as function:
        yield function


@pytest.mark.parametrize("data", MALFORMED_RESPONSES.values(), ids=MALFORMED_RESPONSES)
def test_token_in_a_malformed_response(function_of_faults: ServedFunction, fault_server: FaultServer, data):
    """Errors of libraries quote a malformed response, but the function's response and log do not contain the token."""
    fault_server.scripts = [[send(data)]]
    assert function_of_faults.send_event().status in {429, 502}


def test_trace_in_the_log(function_of_faults: ServedFunction, fault_server: FaultServer):
    """The log entry has the request's trace, with and without LOG_EXECUTION_ID."""
    fault_server.scripts = [[send(complete_response())]]
    headers = {"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}
    assert function_of_faults.send_event(headers=headers).log_entry["trace"] == "a" * 32


@pytest.mark.parametrize("field", TEXT_FIELDS)
@pytest.mark.parametrize("escaped", [False, True], ids=["plain", "escaped"])
def test_token_in_a_check(function: Function, fake_ddm: FakeDDM, field, escaped):
    """The token is redacted in each field of a check, even if it is escaped in JSON."""
    body = json.dumps(
        {
            "job_id": EVENT["job_id"],
            "pre_check_results": [check("a", "FAILED") | {field: f"Token {TOKEN} is wrong", "level": 3}],
        }
    )
    if escaped:
        body = body.replace(TOKEN, escape(TOKEN))
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(200, body.encode())
    response = function.send_event("echo")
    assert "Token *** is wrong" in response.summary["checks"][0].values()


@pytest.mark.parametrize("status", [400, 401, 429, 500])
def test_token_in_an_error(function: Function, fake_ddm: FakeDDM, status):
    """The token is redacted in DDM's error. A request ID that contains the token becomes null."""
    fake_ddm.behaviours["echo"] = error(status, f"DBS.{TOKEN}", f"invalid token:{TOKEN}", X_Request_Id=TOKEN)
    upstream = function.send_event("echo").body["upstream"]
    assert (upstream["error_code"], upstream["error_msg"], upstream["request_id"]) == (
        "DBS.***",
        "invalid token:***",
        None,
    )


@pytest.mark.parametrize(
    "encode",
    [
        lambda token: token.replace("/", "\\/"),
        escape,
        lambda token: "".join(f"\\u{ord(letter):04X}" if letter.isdigit() else letter for letter in token),
        lambda token: f"\\ud800{token}\\udc00",
        lambda token: f"{token}{token}",
        lambda token: f"{token[:9]}{token}{token[9:]}",
    ],
    ids=["escaped slash", "escaped", "escaped digits", "between surrogates", "twice", "inside itself"],
)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_token_encoded_in_json(function: Function, fake_ddm: FakeDDM, encode, status):
    """The token is redacted in each of the ways in which JSON can encode it."""
    checks = [check("a", "FAILED") | dict.fromkeys(TEXT_FIELDS, "TEXT")]
    errors = {} if status == 200 else {"error_code": "TEXT", "error_msg": "TEXT", "request_id": "TEXT"}
    body = {"job_id": EVENT["job_id"], "pre_check_results": checks} | errors
    text = json.dumps(body).replace("TEXT", encode(TOKEN))
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(status, text.encode(), {"X-Request-Id": ""})
    response = function.send_event("echo")
    assert "***" in response.text


def test_token_as_a_number(function: Function, fake_ddm: FakeDDM):
    """A token that consists of digits is redacted even if DDM returns it as a number."""
    number = 1234567890123
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(400, {"error_code": number, "error_msg": number})
    upstream = function.send_event("echo", token=str(number)).body["upstream"]
    assert (upstream["error_code"], upstream["error_msg"]) == ("***", "***")


def test_redacted_text_contains_the_token(function: Function, fake_ddm: FakeDDM):
    """If the redacted text contains the token again, the whole text is redacted."""
    token = "secret***secret"
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(400, {"error_code": "x", "error_msg": f"secret{token}secret"})
    assert function.send_event("echo", token=token).body["upstream"]["error_msg"] == "***"


def test_time_of_redaction(function: Function, fake_ddm: FakeDDM):
    """Redaction is fast, even if each replacement would create the token again."""
    token = "secret***secret"
    repeated = "secret" * 80_000
    fake_ddm.behaviours["echo"] = results(check("a", "FAILED", note=f"{repeated}{token}{repeated}"))
    started = time.monotonic()
    response = function.send_event("echo", token=token)
    assert time.monotonic() - started < 2
    assert response.summary["checks"][0]["note"] == "***"


@pytest.mark.parametrize("token", ["e", "true", "PASS", "FAILED", "SUCCESS", "verdict", "null", '"', "\\", "{}"])
def test_redaction_does_not_change_the_functions_text(function: Function, fake_ddm: FakeDDM, token):
    """A short token, or one that is a word of the summary, does not change the summary."""
    fake_ddm.behaviours["words"] = results(
        check("PASS", "WARN", note="true", error_message="e null FAILED SUCCESS verdict \\")
    )
    expected = function.send_event("words").summary
    summary = function.send_event("words", token=token).summary
    for each in (expected, summary):
        each["report"] = each["report"].replace(each.pop("checked_at"), "")
        del each["upstream"]
    assert summary == expected


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("depth", [100, 500, 700, 900, 2000, 50_000])
def test_deep_result_with_an_escape(function: Function, fake_ddm: FakeDDM, depth, status):
    """A result that is nested too deeply for redaction is `upstream-contract`, never `internal`."""
    deep = b'{"a":' * depth + b'"\\u0061"' + b"}" * depth
    body = b'{"pre_check_results":[{"name":"a","status":"SUCCESS"}],"more":' + deep + b"}"
    fake_ddm.behaviours["deep"] = lambda _: FakeResponse(status, body)
    response = function.send_event("deep")
    assert response.status == 200 or response.problem_code in {"upstream-contract", "forbidden"}


def test_deep_value_of_the_wrong_type(function: Function, fake_ddm: FakeDDM):
    """The problem is `upstream-contract` at each depth. Depending on the depth, parsing or validation fails."""
    for depth in range(800, 1000):
        name = b"[" * depth + b"]" * depth
        body = b'{"pre_check_results":[{"status":"SUCCESS","name":' + name + b"}]}"
        fake_ddm.behaviours["deep"] = lambda _, body=body: FakeResponse(200, body)
        assert function.send_event("deep").problem_code == "upstream-contract"


def test_token_in_the_traceparent(function: Function):
    """A trace context that contains the token is neither returned nor logged."""
    token = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{token}-00f067aa0ba902b7-01"}
    response = function.send(EVENT | {"token": token}, headers=headers | binary_headers())
    assert response.summary["verdict"] == "PASS"
    assert "ce-traceparent" not in response.headers
