"""The example sink, served as on Cloud Run: it receives summaries from the function and posts reports to a chat."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
import requests
from helpers.function import EVENT, ROOT, ServedFunction, serve_function
from helpers.http_stub import HTTPStub, StubResponse

from testing.fake_ddm import FakeDDM
from testing.function_server import serve

FOLDER: Final = ROOT / "examples" / "google" / "chat_sink"
KEY: Final = "0123456789abcdef"
ENVELOPE: Final = {"specversion": "1.0", "id": "1", "source": "test", "type": "wanted"}


@contextmanager
def chat_sink(webhook: str, log: Path) -> Iterator[str]:
    """Serve the sink, and yield its URL with the key."""
    variables = {"CHAT_WEBHOOK": webhook, "SINK_KEY": KEY, "PYTHONDONTWRITEBYTECODE": "1"}
    with serve(variables, log, root=FOLDER, target="receive") as server:
        yield f"{server.url}{KEY}"


@pytest.fixture(scope="module")
def chat() -> Iterator[HTTPStub]:
    """A chat that accepts every message."""
    with HTTPStub(lambda _: StubResponse(200)) as server:
        yield server


@pytest.fixture(scope="module")
def sink(chat: HTTPStub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a sink that posts to the chat."""
    with chat_sink(f"{chat.url}/webhook?key=secret", tmp_path_factory.mktemp("sink") / "log") as url:
        yield url


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
def test_a_chat_that_fails_makes_the_broker_retry(tmp_path, respond):
    with HTTPStub(respond) as chat, chat_sink(f"{chat.url}/webhook?key=secret", tmp_path / "log") as url:
        response = requests.post(url, json={"report": "x"}, timeout=10)
    assert (response.status_code, len(chat.requests)) == (502, 1)
    assert "secret" not in response.text
