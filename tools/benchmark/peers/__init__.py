"""The other implementations of the benchmark. Each module has one function, named ``precheck``.

All of them except ``pooled_requests`` return only a verdict, which is less than the function's summary. Each module
imports only what its function needs, because the benchmark also measures the memory.
"""

import os
from typing import Any

THREADS = 64
"""The number of threads of each instance, and of pooled connections."""


def url(event: dict[str, Any]) -> str:
    """Return DDM's URL for the event."""
    path = "/v3/{project_id}/instances/{instance_id}/databases/{db_name}/migration/precheck/{job_id}"
    return os.environ["DDM_ENDPOINT"] + path.format_map(event)


def verdict(statuses: set[str]) -> dict[str, Any]:
    """Return the verdict on checks with these statuses."""
    return {"verdict": "FAIL" if "FAILED" in statuses else "WARN" if "WARN" in statuses else "PASS"}
