"""One sample response of the function for each verdict and each problem code.

The function runs in this process, behind Flask's test client, and sends its requests to the fake DDM.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final
from unittest import mock

from functions_framework import create_app

from testing.fake_ddm import FakeDDM

EVENT: Final[dict[str, Any]] = {
    "project_id": "0483b6b16e954cb88930a360d2c4e663",
    "instance_id": "6a7cf4ec1f6b4a3b9b5a7c1d2e3f4a5bin09",
    "db_name": "orders",
    "job_id": "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90",
    "expected_checks": 3,
}

SUMMARIES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "pass": ("pass", {"expected_checks": 2}),
    "warn": ("warn", {}),
    "fail": ("fail", {}),
    "pending": ("pending", {}),
}
"""Name of the sample: the behaviour of the fake DDM, and the fields of the event that differ from `EVENT`."""

_PROBLEMS: Final = {
    "unauthorized": "unauthorized",
    "forbidden": "forbidden",
    "not-found": "not_found",
    "rejected": "rejected",
    "throttled": "throttled",
    "upstream-unavailable": "down",
    "upstream-contract": "running",
}
"""Problem code: the behaviour of the fake DDM that causes the problem."""

_ENVELOPE: Final = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
_MAIN: Final = Path(__file__).resolve().parent.parent / "main.py"


def sample_responses() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the body of each sample. Values that differ from run to run are replaced by fixed values."""
    with FakeDDM() as fake_ddm:
        threading.Thread(target=fake_ddm.serve_forever, daemon=True).start()
        sample = _Sampler(fake_ddm).sample
        for name, (behaviour, fields) in SUMMARIES.items():
            yield f"summary-{name}", sample(behaviour, fields)
        for code, behaviour in _PROBLEMS.items():
            yield f"problem-{code}", sample(behaviour)
        yield "problem-upstream-timeout", sample("slow", DDM_TIMEOUT_SECONDS="0.2")
        yield "problem-invalid-event", sample("pass", {"job_id": None})
        yield "problem-event-too-large", sample("pass", {"job_id": "x" * 300_000})
        yield "problem-method-not-allowed", sample("pass", method="GET")
        yield "problem-pending", sample("pending", envelope=_ENVELOPE)
        with _closed_port() as port:
            sink = f"http://127.0.0.1:{port}"
            yield "problem-sink-unavailable", sample("pass", {"expected_checks": 2}, envelope=_ENVELOPE, K_SINK=sink)
        with mock.patch("ddm_precheck.ddm.DDMClient.fetch", side_effect=RuntimeError):
            yield "problem-internal", sample("pass")
        fake_ddm.shutdown()


class _Sampler:
    def __init__(self, fake_ddm: FakeDDM) -> None:
        self._fake_ddm = fake_ddm

    def sample(
        self,
        behaviour: str,
        fields: dict[str, Any] | None = None,
        *,
        envelope: dict[str, Any] | None = None,
        method: str = "POST",
        **variables: str,
    ) -> dict[str, Any]:
        """Send one event to a function with these environment variables, and return the body of the response."""
        self._fake_ddm.behaviours[EVENT["db_name"]] = self._fake_ddm.behaviours[behaviour]
        environment = {"DDM_ENDPOINT": self._fake_ddm.url, "DDM_REGION": "cn-north-4"} | variables
        event = EVENT | {"token": "MIIEXAMPLE"} | (fields or {})
        with mock.patch.dict(os.environ, environment), redirect_stdout(StringIO()):
            client = create_app("precheck", str(_MAIN)).test_client()
            response = client.open("/", method=method, json=envelope | {"data": event} if envelope else event)
        return _with_fixed_values(response.get_json())


def _with_fixed_values(body: dict[str, Any]) -> dict[str, Any]:
    if body["upstream"] and body["upstream"]["request_id"]:
        body["upstream"]["request_id"] = "19570c722c754223918d85cdc38b6e18"
    if "checked_at" not in body:
        return body
    fixed, now = "2026-11-23T08:00:00Z", body["checked_at"]
    return {name: value.replace(now, fixed) if isinstance(value, str) else value for name, value in body.items()}


@contextmanager
def _closed_port() -> Iterator[int]:
    """Reserve a loopback port on which nothing listens."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield reserved.getsockname()[1]
