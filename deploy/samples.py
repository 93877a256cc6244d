"""The sample events of ``deploy.sh local``, and the required values in their results."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.output import DeployError

TOKEN: Final = "the-token-of-the-samples"  # noqa: S105 - the fake DDM accepts any token
README_EVENT: Final[Mapping[str, Any]] = {
    "project_id": "0483b6b16e954cb88930a360d2c4e663",
    "instance_id": "6a7cf4ec1f6b4a3b9b5a7c1d2e3f4a5bin09",
    "db_name": "orders",
    "job_id": "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90",
    "token": "MIIEXAMPLE",
    "region": "cn-north-4",
    "expected_checks": 3,
    "pre_check_results": [{"name": "Table name length", "status": "SUCCESS"}],
}
_FAILED_SYNCHRONOUS_CHECK: Final = {"name": "Table name length", "status": "FAILED"}
_TIMEOUT_SECONDS: Final = 60


@dataclass(frozen=True)
class Result:
    """A result of the function: an HTTP response or, without a status, what ``event_function.handler`` returned."""

    text: str
    status: int | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in the text. Any other text counts as an empty object."""
        try:
            value = json.loads(self.text)
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Sample:
    """A sample event and the required values in its result. A summary has no `code`."""

    name: str
    event: Mapping[str, Any]
    verdict: str
    can_proceed: bool = False
    retryable: bool = False
    status: int = 200
    code: str | None = None

    def differences(self, result: Result) -> list[str]:
        """Return a string for each value of the result that differs from the expected value."""
        names = ("code", "verdict", "can_proceed", "retryable")
        pairs = {name: (getattr(self, name), result.body.get(name)) for name in names}
        if result.status is not None:
            pairs["HTTP status"] = (self.status, result.status)
        return [f"{name} is {got!r}, not {wanted!r}" for name, (wanted, got) in pairs.items() if got != wanted]


def event(db_name: str, **fields: Any) -> dict[str, Any]:
    """Return a sample event."""
    ids = {"project_id": "sample-project", "instance_id": "sample-instance", "db_name": db_name}
    return ids | {"job_id": "11111111-2222-3333-4444-555555555555", "token": TOKEN} | fields


PASS: Final = Sample("db_name pass", event("pass", expected_checks=2), "PASS", can_proceed=True)
OF_VERDICTS: Final = (
    PASS,
    Sample("db_name warn", event("warn", expected_checks=3), "WARN"),
    Sample("db_name fail", event("fail", expected_checks=3), "FAIL"),
    Sample("db_name pending", event("pending", expected_checks=3), "PENDING", retryable=True),
    Sample("db_name unauthorized", event("unauthorized"), "ERROR", status=401, code="unauthorized"),
    Sample(
        "db_name pass, a synchronous check failed",
        event("pass", expected_checks=2, pre_check_results=[_FAILED_SYNCHRONOUS_CHECK]),
        "FAIL",
    ),
)
"""One sample for each verdict of the fake DDM's results, and one with results of the POST."""

INVALID: Final = Sample(
    "an event without a job_id",
    {name: value for name, value in event("orders").items() if name != "job_id"},
    "ERROR",
    status=400,
    code="invalid-event",
)
"""A sample for which the function sends no request to DDM."""


def post(sample: Sample, url: str) -> Result:
    """Send the event to the function and return the response. Raises DeployError if there is no response."""
    request = urllib.request.Request(url, json.dumps(sample.event).encode(), {"Content-Type": "application/json"})  # noqa: S310 - a loopback address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            return Result(response.read().decode(), response.status)
    except urllib.error.HTTPError as error:
        with error:
            return Result(error.read().decode(), error.code)
    except OSError as error:
        raise DeployError(f"the function did not respond: {error}") from None
