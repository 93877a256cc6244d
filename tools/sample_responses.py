"""One sample response of the function for each verdict and each problem code, from the function itself."""

import json
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, Final
from unittest import mock

import testing
from ddm_precheck.app import App
from ddm_precheck.messages import MAX_BODY_BYTES, Incoming
from testing.fake_behaviours import SYNCHRONOUS_CHECKS
from testing.fake_ddm import FakeDDM
from testing.function_server import free_port

EVENT: Final[dict[str, Any]] = testing.EVENT | {"expected_checks": 3, "pre_check_results": SYNCHRONOUS_CHECKS}
VERDICTS: Final = ("pass", "warn", "fail", "pending")

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


def sample_responses() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the body of each sample."""
    with FakeDDM() as fake_ddm:
        threading.Thread(target=fake_ddm.serve_forever, daemon=True).start()
        for verdict in VERDICTS:
            yield f"summary-{verdict}", _sample(fake_ddm, verdict, expected_checks=2 if verdict == "pass" else 3)
        for code, behaviour in _PROBLEMS.items():
            yield f"problem-{code}", _sample(fake_ddm, behaviour)
        yield "problem-upstream-timeout", _sample(fake_ddm, "slow", {"DDM_TIMEOUT_SECONDS": "0.2"})
        yield "problem-invalid-event", _sample(fake_ddm, job_id="a b")
        yield "problem-event-too-large", _sample(fake_ddm, job_id="x" * MAX_BODY_BYTES)
        yield "problem-method-not-allowed", _sample(fake_ddm, method="GET")
        yield "problem-pending", _sample(fake_ddm, "pending", delivery=True)
        sink = {"K_SINK": f"http://127.0.0.1:{free_port()}"}
        yield "problem-sink-unavailable", _sample(fake_ddm, "warn", sink, delivery=True)
        with mock.patch("ddm_precheck.app.judge", side_effect=RuntimeError):
            yield "problem-internal", _sample(fake_ddm)
        fake_ddm.shutdown()


def _sample(
    fake_ddm: FakeDDM,
    behaviour: str = "pass",
    variables: dict[str, str] | None = None,
    *,
    method: str = "POST",
    delivery: bool = False,
    **fields: Any,
) -> dict[str, Any]:
    """Send `EVENT` with these fields to a function with these variables, and return the body of the response."""
    fake_ddm.behaviours[EVENT["db_name"]] = fake_ddm.behaviours[behaviour]
    app = App.from_environment({"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4"} | (variables or {}))
    headers = {"content-type": "application/json", "x-auth-token": testing.TOKEN}
    if delivery:
        headers |= {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    with redirect_stdout(StringIO()):
        outgoing = app.handle(Incoming(method, headers, json.dumps(EVENT | fields).encode()))
    body: dict[str, Any] = json.loads(outgoing.body)
    # Values that differ from run to run are replaced by fixed values.
    if body["upstream"] and body["upstream"]["request_id"]:
        body["upstream"]["request_id"] = "19570c722c754223918d85cdc38b6e18"
    if "checked_at" in body:
        body["report"] = body["report"].replace(body["checked_at"], "2026-11-23T08:00:00Z")
        body["checked_at"] = "2026-11-23T08:00:00Z"
    return body
