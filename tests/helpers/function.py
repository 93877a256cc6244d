"""Sends requests to the function, in this process or over sockets.

`Function.send` validates every response: its JSON Schema, the rules between its fields, its one log line, and that the
token is in none of them.
"""

import base64
import functools
import json
import os
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import jsonschema
import pytest
import requests
from functions_framework import create_app

import testing
from testing.function_server import FunctionServer, serve

ROOT: Final = Path(__file__).parent.parent.parent
TOKEN: Final = f"MIIFSECRET{base64.b64encode(random.Random(27).randbytes(900)).decode()}_.~-"
"""A token as long as those of IAM, with each character that a token can have besides letters and digits."""

EVENT: Final[dict[str, Any]] = testing.EVENT | {"db_name": "pass", "token": TOKEN}
EVENT_WITHOUT_TOKEN: Final = {name: value for name, value in EVENT.items() if name != "token"}
COMMON_FIELDS: Final = ["verdict", "can_proceed", "retryable", "retry_after_seconds", "message"]
LOG_FIELDS: Final = [
    *("severity", "message", "verdict", "code", "http_status", "project_id", "instance_id", "db_name", "job_id"),
    *("duration_ms", "upstream", "token_from", "trace"),
]
OPTIONAL_LOG_FIELDS: Final = ["accepted_warnings", "exception", "logging.googleapis.com/labels"]
STRUCTURED_CONTENT_TYPE: Final = "application/cloudevents+json"


def json_schema_validator(name: str) -> jsonschema.Draft202012Validator:
    """Return jsonschema's own validator for one of the files in ``schemas/``."""
    schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    return jsonschema.Draft202012Validator(schema)


SUMMARY_VALIDATOR: Final = json_schema_validator("summary")
PROBLEM_VALIDATOR: Final = json_schema_validator("problem")


@dataclass
class FunctionResponse:
    """One response of the function, and the lines that were logged for it."""

    status: int
    headers: Mapping[str, str]
    text: str
    log_lines: list[str] = field(default_factory=list)

    @property
    def body(self) -> Any:
        return json.loads(self.text) if self.text else None

    @property
    def log_entry(self) -> dict[str, Any]:
        """The log entry. Fails unless exactly one line was logged."""
        (line,) = self.log_lines
        entry: dict[str, Any] = json.loads(line)
        return entry

    @property
    def summary(self) -> dict[str, Any]:
        """The summary. Fails unless the status is 200."""
        assert self.status == 200, self.text
        is_structured = self.headers["Content-Type"] == STRUCTURED_CONTENT_TYPE
        summary: dict[str, Any] = self.body["data"] if is_structured else self.body
        return summary

    @property
    def verdict(self) -> str:
        return str(self.summary["verdict"])

    @property
    def problem_code(self) -> str:
        """The code of the problem. Fails unless the status is 400 or above."""
        assert self.status >= 400, self.text
        return str(self.body["code"])

    @property
    def outcome(self) -> str:
        """The code of the problem, else the verdict."""
        return self.problem_code if self.status >= 400 else self.verdict

    @property
    def message(self) -> str:
        return str((self.body if self.status >= 400 else self.summary)["message"])

    @property
    def pointers(self) -> list[str]:
        """The JSON Pointers in the problem's ``errors``."""
        return [error["pointer"] for error in self.body["errors"]]

    @property
    def output(self) -> str:
        """Everything that leaves the function except the request to DDM."""
        return f"{self.headers}{self.text}{self.log_lines}"

    def validate(self, token: str = TOKEN) -> Self:
        """Validate the rules for every response, and return the response."""
        entry = self.log_entry
        if self.status == 200 and self.text:
            validate_summary(self.summary)
            validate_retry_after(self.summary, self.headers)
            assert entry["verdict"] == self.summary["verdict"]
        elif self.status >= 400:
            validate_problem(self.body, self.status)
            validate_retry_after(self.body, self.headers)
            assert entry["code"] == self.body["code"]
        else:
            assert self.text == ""
            assert self.status in {200, 202, 204}
        assert set(LOG_FIELDS) <= entry.keys() <= {*LOG_FIELDS, *OPTIONAL_LOG_FIELDS}
        assert entry["http_status"] == self.status
        if len(token) >= 8:
            assert token[:128] not in self.output
            assert token[-128:] not in self.output
        return self


def validate_summary(body: dict[str, Any]) -> None:
    """Validate a summary against its JSON Schema and the rules between its fields."""
    SUMMARY_VALIDATOR.validate(body)
    assert list(body)[:5] == COMMON_FIELDS
    checks = body["checks"]
    statuses = [check["status"] for check in checks]
    accepted = body["counts"]["accepted"]
    assert 0 <= accepted <= statuses.count("WARN")
    assert body["counts"] == {
        "total": len(statuses),
        "success": statuses.count("SUCCESS"),
        "warn": statuses.count("WARN"),
        "failed": statuses.count("FAILED"),
        "accepted": accepted,
    }
    phases = [check["phase"] for check in checks]
    assert phases == sorted(phases, reverse=True)  # synchronous first
    assert body["covers"] == ["synchronous"] * ("synchronous" in phases) + ["asynchronous"]
    assert len(body["report"].encode()) <= 2000
    order = ["FAILED", "WARN"]
    assert body["issues"] == [check for status in order for check in checks if check["status"] == status]
    assert not body["can_proceed"] or set(statuses) <= {"SUCCESS", "WARN"} != set()
    assert body["retryable"] == (body["verdict"] == "PENDING") == (body["retry_after_seconds"] == 10)
    assert body["upstream"]["status"] == 200


def validate_problem(body: dict[str, Any], status: int) -> None:
    """Validate a problem against its JSON Schema, the HTTP status and the rules between its fields."""
    PROBLEM_VALIDATOR.validate(body)
    assert list(body)[:5] == COMMON_FIELDS
    assert body["status"] == status
    assert body["detail"] == body["message"]
    assert body["message"] == " ".join(body["message"].split()), "one line"
    assert body["type"] == f"urn:problem-type:ddm-precheck:{body['code']}"
    assert body["retryable"] == (status == 429 or status >= 500)
    assert body["retryable"] == (body["retry_after_seconds"] is not None)
    if body["code"] in {"invalid-event", "method-not-allowed", "event-too-large"}:
        assert body["upstream"] is None, "no request was sent"
    elif body["code"] not in {"forbidden", "internal"}:
        assert body["upstream"] is not None


def validate_retry_after(body: dict[str, Any], headers: Mapping[str, str]) -> None:
    """Compare the header ``Retry-After`` with the field ``retry_after_seconds``."""
    seconds = body["retry_after_seconds"]
    assert headers.get("Retry-After") == (None if seconds is None else str(seconds))


class Function:
    """The function. One subclass runs it in this process, the other one in its own process."""

    def exchange(self, method: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> FunctionResponse:
        """Send one request. Return the response without validation and without log lines."""
        raise NotImplementedError

    def new_log_lines(self) -> list[str]:
        """Return the lines that were logged since the previous call."""
        raise NotImplementedError

    def send(self, body: Any, *, method: str = "POST", headers: Mapping[str, str] | None = None) -> FunctionResponse:
        """Send a body and return the validated response. A body that is not bytes is serialized as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.new_log_lines()
        response = self.exchange(method, data, {"Content-Type": "application/json", **(headers or {})})
        response.log_lines = self.new_log_lines()
        token = body.get("token") if isinstance(body, dict) else None
        return response.validate(token.strip() if isinstance(token, str) else TOKEN)

    def send_event(
        self, db_name: str = "pass", *, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> FunctionResponse:
        """Send `EVENT` with this database schema and these fields, and return the validated response."""
        return self.send(EVENT | {"db_name": db_name} | fields, headers=headers)


class InProcessFunction(Function):
    """The function in this process, where coverage measures it."""

    def __init__(self, capsys: pytest.CaptureFixture[str], *, shared: bool = False) -> None:
        app = _shared_app(os.environ["DDM_ENDPOINT"]) if shared else _new_app()
        self.client = app.test_client()
        self._capsys = capsys

    def exchange(self, method: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> FunctionResponse:
        """Send the request with Flask's test client."""
        response = self.client.open("/", method=method, data=body, headers=headers)
        return FunctionResponse(response.status_code, response.headers, response.text)

    def new_log_lines(self) -> list[str]:
        """Return the lines written to stdout."""
        return self._capsys.readouterr().out.splitlines()


def _new_app() -> Any:
    return create_app("precheck", str(ROOT / "main.py"))


@functools.cache
def _shared_app(_endpoint: str) -> Any:
    """Return the app with the default settings, which are the same for a session: a new one takes 50 ms."""
    return _new_app()


class ServedFunction(Function):
    """The function that functions-framework serves, in its own process."""

    def __init__(self, server: FunctionServer, output: Path) -> None:
        self.server = server
        self.port = server.port
        self.url = server.url
        self._output = output
        self._read_characters = 0

    def exchange(self, method: str, body: bytes | Iterable[bytes], headers: Mapping[str, str]) -> FunctionResponse:
        """Send the request over a socket."""
        response = requests.request(method, self.url, data=body, headers=dict(headers), timeout=60)
        return FunctionResponse(response.status_code, response.headers, response.text)

    def new_log_lines(self) -> list[str]:
        """Return the lines written to stdout and stderr."""
        text = self._output.read_text()[self._read_characters :]
        complete = text[: text.rfind("\n") + 1]
        self._read_characters += len(complete)
        return complete.splitlines()

    def wait_for_log_lines(self, number: int, *, seconds: float = 10) -> list[str]:
        """Wait for this number of lines, at most `seconds`, and return the lines written to stdout and stderr.

        If a caller closes its connection early, the function may log this request after a later request.
        """
        deadline = time.monotonic() + seconds
        lines = self.new_log_lines()
        while len(lines) < number and time.monotonic() < deadline:
            time.sleep(0.05)
            lines += self.new_log_lines()
        return lines


@contextmanager
def serve_function(
    environment: Mapping[str, str], folder: Path, root: Path = ROOT, prefix: Sequence[str] = ()
) -> Iterator[ServedFunction]:
    """Serve the function with `testing.function_server.serve` until the context ends. Its output is in the folder."""
    output = folder / "served.log"
    with serve(environment, output, root=root, prefix=prefix) as server:
        yield ServedFunction(server, output)
