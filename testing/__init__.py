"""Shared by the tests, the tools and ``deploy.sh local``: a fake DDM, faults, hostile bodies, a served function."""

from typing import Any, Final

EVENT: Final[dict[str, Any]] = {
    "project_id": "0483b6b16e954cb88930a360d2c4e663",
    "instance_id": "6a7cf4ec1f6b4a3b9b5a7c1d2e3f4a5bin09",
    "db_name": "orders",
    "job_id": "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90",
}
TOKEN: Final = "MIITOKEN" + "b64+/=-_" * 150
"""As long as IAM tokens are."""
