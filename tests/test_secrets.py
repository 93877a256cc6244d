"""The token stays where it belongs: section 7 of the contract, with hostile eyes."""

import json
import time
from collections.abc import Iterator

import pytest
from conftest import TOKEN, Function, Served, served
from helpers.fault_server import Peer, chunk, head, reset, send, whole

from deploy.fake_ddm import FakeDDM, FakeResponse, check

QUOTED = TOKEN.encode()
HEADERS = {
    "no colon": head()[:-2] + QUOTED + b"\r\n\r\n",
    "no name": head()[:-2] + b": " + QUOTED + b"\r\n\r\n",
    "name with a space": head()[:-2] + b"X " + QUOTED + b": x\r\n\r\n",
    "as a name": head(**{TOKEN: "x"}),
    "everywhere": head(f"200 {TOKEN}", Content_Type=TOKEN, Set_Cookie=f"t={TOKEN}", X_Request_Id=TOKEN, Date=TOKEN),
    "content length": head(Content_Length=TOKEN),
    "two content lengths": head(Content_Length=f"1, {TOKEN}"),
    "content coding": head(Content_Encoding=TOKEN),
    "transfer coding": head(Transfer_Encoding=f"chunked, {TOKEN}"),
    "length and chunks": head(Content_Length=TOKEN, Transfer_Encoding="chunked"),
    "chunk size": head(Transfer_Encoding="chunked") + QUOTED + b"\r\n",
    "chunk": head(Transfer_Encoding="chunked") + chunk(QUOTED),
    "location": head(f"302 {TOKEN}", Location=f"https://{TOKEN}/{TOKEN}"),
    "retry after": head(f"429 {TOKEN}", Retry_After=TOKEN, Connection="close"),
    "version": b"HTTP/1.1" + QUOTED + b" 200 OK\r\n\r\n",
    "status": b"HTTP/1.1 " + QUOTED + b" OK\r\n\r\n",
    "no HTTP": QUOTED,
}


@pytest.fixture(scope="module")
def echo() -> Iterator[Peer]:
    """A DDM that answers as each test says."""
    with Peer([[reset]]) as peer:
        yield peer


@pytest.fixture(scope="module", params=["", "true"], ids=["served", "served-LOG_EXECUTION_ID"])
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, echo: Peer) -> Iterator[Served]:
    """A served function, all of whose output is looked at; with LOG_EXECUTION_ID the framework sets up logging."""
    environment = {"DDM_ENDPOINT": echo.url, "LOG_EXECUTION_ID": request.param}
    with served(environment, tmp_path_factory.mktemp("watched")) as function:
        yield function


@pytest.mark.parametrize("answer", HEADERS.values(), ids=HEADERS)
def test_token_in_headers(watched: Served, echo: Peer, answer):
    """Whatever a broken answer quotes, one line is logged, and neither it nor the answer holds the token."""
    echo.scripts = [[send(answer)]]
    assert watched.ask().status in {429, 502}


def test_trace_in_the_log(watched: Served, echo: Peer):
    """The trace of the request is in the line, whoever writes it."""
    echo.scripts = [[send(whole())]]
    assert watched.ask(headers={"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}).log["trace"] == "a" * 32


@pytest.mark.parametrize(
    "spell",
    [
        lambda token: token.replace("/", "\\/"),
        lambda token: "".join(f"\\u{ord(letter):04x}" for letter in token),
        lambda token: "".join(f"\\u{ord(letter):04X}" if letter.isdigit() else letter for letter in token),
        lambda token: f"\\ud800{token}\\udc00",
        lambda token: f"{token}{token}",
        lambda token: f"{token[:9]}{token}{token[9:]}",
    ],
    ids=["escaped slash", "escaped", "half escaped", "among surrogates", "twice", "inside itself"],
)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_token_spelled_by_json(function: Function, fake_ddm: FakeDDM, spell, status):
    """JSON spells a text in many ways; none of them carries the token."""
    texts = ("name", "note", "handling_suggestion", "error_message", "error_detail_message")
    checks = [check("a", "FAILED") | dict.fromkeys(texts, "TEXT")]
    body = {"pre_check_results": checks, "error_code": "TEXT", "error_msg": "TEXT", "request_id": "TEXT"}
    text = json.dumps(body).replace("TEXT", spell(TOKEN))
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(status, text.encode(), {"X-Request-Id": ""})
    answer = function.ask("echo")
    assert "***" in answer.text


def test_token_as_a_number(function: Function, fake_ddm: FakeDDM):
    """A token of digits may come back as a number."""
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(400, {"error_code": 1234567890123, "error_msg": 1234567890123})
    upstream = function.ask("echo", token="1234567890123").body["upstream"]
    assert (upstream["error_code"], upstream["error_msg"]) == ("***", "***")


def test_token_that_masking_would_spell(function: Function, fake_ddm: FakeDDM):
    """Taking the token out must not put it together again."""
    token = "secret***secret"
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(400, {"error_code": "x", "error_msg": f"secret{token}secret"})
    assert function.ask("echo", token=token).body["upstream"]["error_msg"] == "***"


def test_token_in_endless_layers(function: Function, fake_ddm: FakeDDM):
    """However often taking the token out would put it together again, it takes no time."""
    token = "secret***secret"
    layers = "secret" * 200_000
    fake_ddm.behaviours["echo"] = lambda _: FakeResponse(
        200, {"pre_check_results": [check("a", "FAILED", note=f"{layers}{token}{layers}")]}
    )
    started = time.monotonic()
    answer = function.ask("echo", token=token)
    assert time.monotonic() - started < 2
    assert answer.summary["checks"][0]["note"] == "***"


@pytest.mark.parametrize("status", [200, 403])
@pytest.mark.parametrize("depth", [100, 500, 700, 900, 2000, 50_000])
def test_deep_answer_with_an_escape(function: Function, fake_ddm: FakeDDM, depth, status):
    """An answer so deep that masking it takes too many steps is no answer; it is never a bug."""
    deep = b'{"a":' * depth + b'"\\u0061"' + b"}" * depth
    body = b'{"pre_check_results":[{"name":"a","status":"SUCCESS"}],"more":' + deep + b"}"
    fake_ddm.behaviours["deep"] = lambda _: FakeResponse(status, body)
    answer = function.ask("deep")
    assert answer.status == 200 or answer.problem in {"upstream-contract", "forbidden"}


def test_deep_value_of_the_wrong_type(function: Function, fake_ddm: FakeDDM):
    """Whether reading an answer or telling what is wrong with it takes too many steps, it is no answer."""
    for depth in range(800, 1000):
        name = b"[" * depth + b"]" * depth
        body = b'{"pre_check_results":[{"status":"SUCCESS","name":' + name + b"}]}"
        fake_ddm.behaviours["deep"] = lambda _, body=body: FakeResponse(200, body)
        assert function.ask("deep").problem == "upstream-contract"
