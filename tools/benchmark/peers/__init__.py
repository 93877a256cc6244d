"""The functions with which the benchmark compares: each module has one, named ``precheck``.

Apart from ``pooled_requests`` they return a verdict and nothing else, much less than the function's summary. Each
module imports only what its function needs, because the benchmark measures memory as well.
"""

import os
from typing import Any

THREADS = 64
"""Threads of each instance; also the number of connections that a session keeps."""


def url(event: dict[str, Any]) -> str:
    """Return DDM's URL for the event."""
    path = "/v3/{project_id}/instances/{instance_id}/databases/{db_name}/migration/precheck/{job_id}"
    return os.environ["DDM_ENDPOINT"] + path.format_map(event)


def verdict(statuses: set[str]) -> dict[str, Any]:
    """Return the verdict on checks with these statuses."""
    return {"verdict": "FAIL" if "FAILED" in statuses else "WARN" if "WARN" in statuses else "PASS"}
