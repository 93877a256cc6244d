"""The example sink, served as on Cloud Run: it receives summaries from the function and posts reports to a chat."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
import requests
from helpers.function import EVENT, ROOT, ServedFunction, serve_function
from helpers.http_stub import HTTPStub, StubResponse
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment, free_port

SOURCE: Final = ROOT / "examples" / "google" / "chat_sink" / "main.py"
KEY: Final = "0123456789abcdef"
ENVELOPE: Final = {"specversion": "1.0", "id": "1", "source": "test", "type": "wanted"}


@contextmanager
def chat_sink(webhook: str) -> Iterator[str]:
    """Serve the sink, and yield its URL without the key."""
    port = free_port()
    command = [sys.executable, "-B", "-m", "functions_framework", "--source", str(SOURCE), "--target", "receive"]
    environment = clean_environment() | {"CHAT_WEBHOOK": webhook, "SINK_KEY": KEY, "PYTHONDONTWRITEBYTECODE": "1"}
    arguments = ["--host", "127.0.0.1", "--port", str(port)]
    with subprocess.Popen([*command, *arguments], env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            with requests.Session() as session:
                session.mount("http://", HTTPAdapter(max_retries=Retry(connect=20, backoff_factor=0.01)))
                session.get(f"http://127.0.0.1:{port}/", timeout=30)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def chat() -> Iterator[HTTPStub]:
    """A chat that accepts every message."""
    with HTTPStub(lambda _: StubResponse(200)) as server:
        yield server


@pytest.fixture(scope="module")
def sink(chat: HTTPStub) -> Iterator[str]:
    """The URL of a sink that posts to the chat, with the key."""
    with chat_sink(f"{chat.url}/webhook?key=secret") as url:
        yield f"{url}/{KEY}"


@pytest.fixture(scope="module")
def function(sink: str, fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedFunction]:
    """The served function, with this sink as K_SINK."""
    variables = {"DDM_ENDPOINT": fake_ddm_server.url, "DDM_REGION": "cn-north-4", "K_SINK": sink}
    with serve_function(variables, tmp_path_factory.mktemp("served")) as served:
        yield served


@pytest.mark.parametrize("db_name", ["pass", "warn", "fail"])
def test_the_report_of_an_event_delivery_arrives_in_the_chat(function, chat, db_name):
    chat.requests.clear()
    report = function.send_event(db_name).summary["report"]
    response = function.send(ENVELOPE | {"data": EVENT | {"db_name": db_name}})
    assert response.status == 202
    (message,) = chat.requests
    assert (message.method, message.path) == ("POST", "/webhook?key=secret")
    assert list(message.body) == ["text"]
    lines, expected = message.body["text"].splitlines(), report.splitlines()
    assert [lines[0], *lines[2:]] == [expected[0], *expected[2:]]


def test_a_direct_request_does_not_reach_the_chat(function, chat):
    """The sink receives no summary of a direct request, because the caller receives it in the response."""
    chat.requests.clear()
    function.send_event("fail")
    assert chat.requests == []


@pytest.mark.parametrize("path", ["/", "", "/wrong", f"/{KEY}/x", f"/{KEY[:-1]}", f"/{KEY}0", "/%C3%A9"])
def test_a_request_without_the_key(sink, chat, path):
    chat.requests.clear()
    url = sink.removesuffix(f"/{KEY}") + path
    assert requests.post(url, json={"report": "forged"}, timeout=10).status_code == 404
    assert chat.requests == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"report"', b'{"report": null}', b'{"report": ["x"]}', b"[" * 100_000]
)
def test_a_body_without_a_report(sink, chat, body):
    chat.requests.clear()
    assert requests.post(sink, data=body, timeout=10).status_code == 400
    assert requests.get(sink, timeout=10).status_code == 400
    assert chat.requests == []


@pytest.mark.parametrize(
    "respond",
    [
        pytest.param(lambda _: StubResponse(404), id="404"),
        pytest.param(lambda _: StubResponse(302, None, (("Location", "/elsewhere"),)), id="redirect"),
    ],
)
def test_a_chat_that_fails_makes_the_broker_retry(fake_ddm_server, tmp_path, respond):
    with HTTPStub(respond) as chat, chat_sink(f"{chat.url}/webhook?key=secret") as url:
        variables = {"DDM_ENDPOINT": fake_ddm_server.url, "DDM_REGION": "cn-north-4", "K_SINK": f"{url}/{KEY}"}
        with serve_function(variables, tmp_path) as function:
            response = function.send(ENVELOPE | {"data": EVENT | {"db_name": "fail"}})
        assert (response.problem_code, len(chat.requests)) == ("sink-unavailable", 1)
        body = requests.post(f"{url}/{KEY}", json={"report": "x"}, timeout=10).text
        assert "secret" not in body
