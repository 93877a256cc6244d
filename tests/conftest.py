"""The function and its stand-in DDM, as the tests call them.

`function` is called through the front door twice: in this process, where coverage sees it, and served by
functions-framework over real sockets. Each answer is held against its schema, and against what all answers share,
before a test gets to see it.
"""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import requests
from functions_framework import create_app

from deploy.fake_ddm import FakeDDM

ROOT = Path(__file__).parent.parent
TOKEN = "MIISECRETTOKEN+/=0123456789"
EVENT = {
    "project_id": "0483b6b16e954cb88930a360d2c4e663",
    "instance_id": "6a7cf4ec1f6b4a3b9b5a7c1d2e3f4a5bin09",
    "db_name": "pass",
    "job_id": "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90",
    "token": TOKEN,
}
FIVE = ["verdict", "can_proceed", "retryable", "retry_after_seconds", "message"]
LOGGED = [
    *("severity", "message", "verdict", "code", "http_status", "project_id", "instance_id", "db_name", "job_id"),
    *("duration_ms", "upstream", "trace"),
]
SLOW_FILES = {
    f"test_{name}.py" for name in ("deploy", "faults", "flows", "keywords", "network", "overload", "properties")
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the slow files for last: what is broken shows in the quick ones already, most of the time."""
    items.sort(key=lambda item: (item.path.name in SLOW_FILES, item.path.name))


def schema(name: str) -> jsonschema.Draft202012Validator:
    """Return the stock validator of one of the schemas."""
    document = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    return jsonschema.Draft202012Validator(document)


SUMMARY, PROBLEM = schema("summary"), schema("problem")


@dataclass
class Answer:
    """One answer of the function and the lines it logged meanwhile."""

    status: int
    headers: Mapping[str, str]
    text: str
    logs: list[str] = field(default_factory=list)

    @property
    def body(self) -> Any:
        """The JSON body, None for an empty one."""
        return json.loads(self.text) if self.text else None

    @property
    def log(self) -> dict[str, Any]:
        """The one line that was logged."""
        (line,) = self.logs
        return json.loads(line)

    @property
    def summary(self) -> dict[str, Any]:
        """The body of a 200."""
        assert self.status == 200, self.text
        return self.body["data"] if self.headers["Content-Type"] == "application/cloudevents+json" else self.body

    @property
    def problem(self) -> str:
        """The code of a problem."""
        assert self.status >= 400, self.text
        return self.body["code"]

    @property
    def pointers(self) -> list[str]:
        """Where the problem says the fault is."""
        return [error["pointer"] for error in self.body["errors"]]

    def check(self, token: str | None) -> "Answer":
        """Hold the answer against what every answer has to be, and return it."""
        if self.status == 200:
            check_summary(self.summary)
            check_retry_after(self.summary, self.headers)
        elif self.status >= 400:
            check_problem(self.body, self.status)
            check_retry_after(self.body, self.headers)
        else:
            assert self.text == ""
            assert self.status in {202, 204}
        assert set(LOGGED) <= self.log.keys() <= {*LOGGED, "exception", "logging.googleapis.com/labels"}
        assert self.log["http_status"] == self.status
        if token and len(token) >= 8:
            assert token not in f"{self.headers}{self.text}{self.logs}"
        return self


def check_summary(body: dict[str, Any]) -> None:
    """Hold a summary against its schema and against what a schema cannot say."""
    SUMMARY.validate(body)
    assert list(body)[:5] == FIVE
    statuses = [check["status"] for check in body["checks"]]
    assert body["counts"] == {
        "total": len(statuses),
        "success": statuses.count("SUCCESS"),
        "warn": statuses.count("WARN"),
        "failed": statuses.count("FAILED"),
    }
    order = ["FAILED", "WARN"]
    assert body["issues"] == [check for status in order for check in body["checks"] if check["status"] == status]
    assert not body["can_proceed"] or set(statuses) <= {"SUCCESS", "WARN"} != set()
    assert body["retryable"] == (body["verdict"] == "PENDING") == (body["retry_after_seconds"] == 10)


def check_problem(body: dict[str, Any], status: int) -> None:
    """Hold a problem against its schema and against what a schema cannot say."""
    PROBLEM.validate(body)
    assert list(body)[:5] == FIVE
    assert (body["status"], body["detail"]) == (status, body["message"])
    assert body["type"] == f"urn:problem-type:ddm-precheck:{body['code']}"
    assert body["retryable"] == (body["retry_after_seconds"] is not None)


def check_retry_after(body: dict[str, Any], headers: Mapping[str, str]) -> None:
    """Hold the header against the member that says the same."""
    seconds = body["retry_after_seconds"]
    assert headers.get("Retry-After") == (None if seconds is None else str(seconds))


class Function:
    """The function, however it is run: `exchange` sends a request, `logged` returns the lines since the last call."""

    def exchange(self, method: str, body: Any, headers: dict[str, str]) -> Answer:
        """Send a request and return the answer."""
        raise NotImplementedError

    def logged(self) -> list[str]:
        """Return the lines logged since the last call."""
        raise NotImplementedError

    def send(self, body: Any, *, method: str = "POST", headers: dict[str, str] | None = None) -> Answer:
        """Send any body, as JSON where it is not bytes, and return the checked answer."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.logged()
        answer = self.exchange(method, data, {"Content-Type": "application/json"} | (headers or {}))
        answer.logs = self.logged()
        token = body.get("token") if isinstance(body, dict) else None
        return answer.check(token if isinstance(token, str) else TOKEN)

    def ask(self, db_name: str = "pass", *, headers: dict[str, str] | None = None, **members: Any) -> Answer:
        """Send the event for a schema of the stand-in's."""
        return self.send(EVENT | {"db_name": db_name} | members, headers=headers)


class InProcess(Function):
    """The function in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._client = create_app("precheck", str(ROOT / "main.py")).test_client()
        self._capsys = capsys

    def exchange(self, method: str, body: Any, headers: dict[str, str]) -> Answer:
        """Send the request through Flask's test client."""
        response = self._client.open("/", method=method, data=body, headers=headers)
        return Answer(response.status_code, response.headers, response.text)

    def logged(self) -> list[str]:
        """Return what went to stdout."""
        return self._capsys.readouterr().out.splitlines()


class Served(Function):
    """The function as functions-framework serves it, in a process of its own."""

    def __init__(self, url: str, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self.url = url
        self.process = process
        self._output = output
        self._read = 0

    def exchange(self, method: str, body: Any, headers: dict[str, str]) -> Answer:
        """Send the request over a socket."""
        response = requests.request(method, self.url, data=body, headers=headers, timeout=60)
        return Answer(response.status_code, response.headers, response.text)

    def logged(self) -> list[str]:
        """Return the new lines of stdout and stderr."""
        text = self._output.read_text()
        new, self._read = text[self._read :], len(text)
        return new.splitlines()


@contextmanager
def served(environment: Mapping[str, str], folder: Path, root: Path = ROOT) -> Iterator[Served]:
    """Serve the function on a free loopback port while the context lasts."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    output = folder / f"served-{port}.log"
    command = [sys.executable, "-m", "functions_framework", "--target", "precheck", "--host", "127.0.0.1"]
    with (
        output.open("wb") as log,
        subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=root,
            env=clean_environment() | environment,
            stdout=log,
            stderr=log,
        ) as process,
    ):
        try:
            wait_for(port, process, output)
            yield Served(f"http://127.0.0.1:{port}/", process, output)
        finally:
            process.terminate()


def wait_for(port: int, process: "subprocess.Popen[bytes]", output: Path) -> None:
    """Wait until the port takes connections."""
    for _ in range(600):
        if process.poll() is not None:
            break
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"it does not listen: {output.read_text()}")


def clean_environment() -> dict[str, str]:
    """Return the environment without what the function, its server or requests would take from it."""
    taken = (
        r"(?i)(DDM_|K_|CLOUD_RUN_|FUNCTION_|GUNICORN_).*|THREADS|WORKERS|PORT|LOG_EXECUTION_ID|.*_proxy|.*_CA_BUNDLE"
    )
    return {name: value for name, value in os.environ.items() if not re.fullmatch(taken, name)}


@pytest.fixture(scope="session")
def fake_ddm_server() -> Iterator[FakeDDM]:
    """One stand-in DDM for the whole run."""
    with FakeDDM() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def fake_ddm(fake_ddm_server: FakeDDM) -> FakeDDM:
    """The stand-in DDM as if it had just started."""
    fake_ddm_server.reset()
    return fake_ddm_server


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, fake_ddm: FakeDDM) -> dict[str, str]:
    """The environment of a function in this process; create_app writes to it as well."""
    variables = clean_environment() | {"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4"}
    monkeypatch.setattr(os, "environ", variables)
    return variables


@pytest.fixture
def start(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Callable[..., InProcess]:
    """Start a function in this process with further variables; None takes one away."""

    def start_with(**variables: str | None) -> InProcess:
        for name, value in variables.items():
            environment.pop(name, None)
            if value is not None:
                environment[name] = value
        return InProcess(capsys)

    return start_with


@pytest.fixture(scope="session")
def served_function(fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One served function for the whole run."""
    variables = {"DDM_ENDPOINT": fake_ddm_server.url, "DDM_REGION": "cn-north-4"}
    with served(variables, tmp_path_factory.mktemp("served")) as function:
        yield function


@pytest.fixture(params=["in-process", "served"])
def function(request: pytest.FixtureRequest, fake_ddm: FakeDDM) -> Function:
    """The function with its usual settings, run in both ways."""
    if request.param == "served":
        return request.getfixturevalue("served_function")
    return request.getfixturevalue("start")()
