"""The sample events of ``deploy.sh local``, and what the function responds to them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import testing

TOKEN: Final = "the-token-of-the-samples"  # noqa: S105 - the fake DDM accepts any token
README_EVENT: Final[Mapping[str, Any]] = testing.EVENT | {
    "token": "MIIEXAMPLE",
    "region": "cn-north-4",
    "expected_checks": 3,
    "pre_check_results": [{"name": "Table name length", "status": "SUCCESS"}],
}
_FAILED_SYNCHRONOUS_CHECK: Final = {"name": "Table name length", "status": "FAILED"}


@dataclass(frozen=True)
class Sample:
    """A sample event, and the required verdict and HTTP status."""

    name: str
    event: Mapping[str, Any]
    verdict: str
    status: int = 200


def event(db_name: str, **fields: Any) -> dict[str, Any]:
    """Return a sample event."""
    ids = {"project_id": "sample-project", "instance_id": "sample-instance", "db_name": db_name}
    return ids | {"job_id": "11111111-2222-3333-4444-555555555555", "token": TOKEN} | fields


OF_VERDICTS: Final = (
    Sample("db_name pass", event("pass", expected_checks=2), "PASS"),
    Sample("db_name warn", event("warn", expected_checks=3), "WARN"),
    Sample("db_name fail", event("fail", expected_checks=3), "FAIL"),
    Sample("db_name pending", event("pending", expected_checks=3), "PENDING"),
    Sample("db_name unauthorized", event("unauthorized"), "ERROR", 401),
    Sample(
        "db_name pass, a synchronous check failed",
        event("pass", expected_checks=2, pre_check_results=[_FAILED_SYNCHRONOUS_CHECK]),
        "FAIL",
    ),
)
INVALID: Final = Sample("an event whose job_id is null", event("orders", job_id=None), "ERROR", 400)
"""A sample for which the function sends no request to DDM."""
