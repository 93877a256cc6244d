"""The sample events of ``deploy.sh local``, and the required values in their responses."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from deploy.errors import DeployError

TOKEN: Final = "the-token-of-the-samples"  # noqa: S105 - the fake DDM accepts any token
_TIMEOUT_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Response:
    """A response of the function. A body that is not a JSON object counts as empty."""

    status: int
    text: str

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in the body."""
        try:
            value = json.loads(self.text)
        except ValueError:
            value = None
        return value if isinstance(value, dict) else {}


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample event and the required values in its response. A summary has no `code`."""

    event: Mapping[str, Any]
    status: int
    verdict: str
    can_proceed: bool
    retryable: bool
    code: str | None = None

    def differences(self, response: Response) -> list[str]:
        """Return one text for each value of the response that differs from the expected value."""
        body = response.body
        expected = {
            "HTTP status": (self.status, response.status),
            "code": (self.code, body.get("code")),
            "verdict": (self.verdict, body.get("verdict")),
            "can_proceed": (self.can_proceed, body.get("can_proceed")),
            "retryable": (self.retryable, body.get("retryable")),
        }
        return [f"{name} is {got!r}, not {wanted!r}" for name, (wanted, got) in expected.items() if got != wanted]


def event(db_name: str, *, expected_checks: int | None = None) -> dict[str, Any]:
    """Return a sample event."""
    fields: dict[str, Any] = {
        "project_id": "sample-project",
        "instance_id": "sample-instance",
        "db_name": db_name,
        "job_id": "11111111-2222-3333-4444-555555555555",
        "token": TOKEN,
    }
    return fields if expected_checks is None else fields | {"expected_checks": expected_checks}


def verdict_samples() -> tuple[Sample, ...]:
    """Return one sample for each verdict of the fake DDM's results."""
    return (
        Sample(event("pass", expected_checks=2), 200, "PASS", can_proceed=True, retryable=False),
        Sample(event("warn", expected_checks=3), 200, "WARN", can_proceed=False, retryable=False),
        Sample(event("fail", expected_checks=3), 200, "FAIL", can_proceed=False, retryable=False),
        Sample(event("pending", expected_checks=3), 200, "PENDING", can_proceed=False, retryable=True),
        Sample(event("unauthorized"), 401, "ERROR", can_proceed=False, retryable=False, code="unauthorized"),
    )


def invalid_sample() -> Sample:
    """Return a sample for which the function sends no request to DDM: its event has no job_id."""
    fields = {name: value for name, value in event("orders").items() if name != "job_id"}
    return Sample(fields, 400, "ERROR", can_proceed=False, retryable=False, code="invalid-event")


def send(sample: Sample, url: str) -> Response:
    """Send the event to the function and return the response. Raises DeployError if there is no response."""
    request = urllib.request.Request(url, json.dumps(sample.event).encode(), {"Content-Type": "application/json"})  # noqa: S310 - a loopback address
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as response:
            return Response(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Response(error.code, error.read().decode())
    except OSError as error:
        raise DeployError(f"the function did not respond: {error}") from None
