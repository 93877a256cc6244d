"""Google's Pub/Sub emulator pushes an event to the served function, and retries until there is a verdict."""

import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from helpers.function import EVENT, ServedFunction

from testing.fake_ddm import FakeDDM
from testing.function_server import free_port

PROJECT = "v1/projects/ddm-precheck"


def _jar() -> Path | None:
    """Return the emulator that gcloud contains, or None."""
    gcloud = shutil.which("gcloud")
    if not gcloud:
        return None
    roots = [Path(gcloud).resolve().parent.parent, Path("/usr/lib/google-cloud-sdk")]
    found = [jar for root in roots for jar in root.glob("platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar")]
    return found[0] if found else None


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of an emulator that runs during the tests of this module."""
    jar, java = _jar(), shutil.which("java")
    if not (jar and java):
        pytest.skip("the Pub/Sub emulator or Java is missing")
    port = free_port()
    output = tmp_path_factory.mktemp("emulator") / "log"
    command = [java, "-jar", str(jar), "--host=127.0.0.1", f"--port={port}"]
    with (
        output.open("wb") as log,
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True) as process,
    ):
        try:
            _wait_until_started(output, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def _wait_until_started(output: Path, process: "subprocess.Popen[bytes]") -> None:
    for _ in range(600):
        if "Server started" in output.read_text():
            return
        assert process.poll() is None, output.read_text()
        time.sleep(0.1)
    pytest.fail(output.read_text())


def _put(url: str, body: dict) -> None:
    requests.put(url, json=body, timeout=30).raise_for_status()


def test_broker_retries_while_pending(emulator, served_function: ServedFunction, fake_ddm: FakeDDM):
    """If the verdict is PENDING twice and then PASS, there are exactly three push requests."""
    _put(f"{emulator}/{PROJECT}/topics/wanted", {})
    subscription = {
        "topic": "projects/ddm-precheck/topics/wanted",
        "pushConfig": {"pushEndpoint": served_function.url},
        "ackDeadlineSeconds": 10,
        "retryPolicy": {"minimumBackoff": "0.1s", "maximumBackoff": "0.5s"},
    }
    _put(f"{emulator}/{PROJECT}/subscriptions/push", subscription)
    data = base64.b64encode(json.dumps(EVENT | {"db_name": "pending_twice"}).encode()).decode()
    served_function.new_log_lines()
    messages = {"messages": [{"data": data}]}
    requests.post(f"{emulator}/{PROJECT}/topics/wanted:publish", json=messages, timeout=30).raise_for_status()
    lines = served_function.wait_for_log_lines(3, seconds=60)
    time.sleep(4)  # longer than the maximum backoff: a further push request would arrive now
    entries = [json.loads(line) for line in [*lines, *served_function.new_log_lines()]]
    assert [(entry["code"], entry["http_status"], entry["verdict"]) for entry in entries] == [
        ("pending", 503, "PENDING"),
        ("pending", 503, "PENDING"),
        (None, 200, "PASS"),
    ]
    assert [request.number for request in fake_ddm.requests] == [1, 2, 3]
