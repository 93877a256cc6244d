"""Huawei Cloud's SDK for DDM, with its default settings and one client. It validates nothing."""

import os
from functools import cache
from typing import Any

from flask import Request
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkddm.v1 import CheckPreliminaryResultsRequest, DdmClient


def precheck(request: Request) -> dict[str, Any]:
    """Handle an event. The SDK signs its request with an access key instead of sending the token."""
    event = request.get_json()
    sdk_request = CheckPreliminaryResultsRequest(event["instance_id"], event["db_name"], event["job_id"])
    result = _client(event["project_id"]).check_preliminary_results(sdk_request)
    statuses = {check.status for check in result.pre_check_results}
    return {"verdict": "FAIL" if "FAILED" in statuses else "WARN" if "WARN" in statuses else "PASS"}


@cache
def _client(project_id: str) -> Any:
    credentials = BasicCredentials("AK", "SK", project_id)
    return DdmClient.new_builder().with_credentials(credentials).with_endpoint(os.environ["DDM_ENDPOINT"]).build()
