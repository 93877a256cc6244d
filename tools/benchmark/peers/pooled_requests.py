"""The minimum: functions-framework, and one request over a pooled session. DDM's bytes are returned unchanged."""

import os
from typing import Final

import requests
from flask import Request, Response
from requests.adapters import HTTPAdapter

_URL: Final = "{DDM_ENDPOINT}/v3/{project_id}/instances/{instance_id}/databases/{db_name}/migration/precheck/{job_id}"
_SESSION: Final = requests.Session()
_SESSION.mount("http://", HTTPAdapter(pool_maxsize=64))


def precheck(request: Request) -> Response:
    """Handle an event."""
    event = request.get_json()
    url = _URL.format_map(os.environ | event)
    response = _SESSION.get(url, headers={"X-Auth-Token": event["token"]}, timeout=10)
    return Response(response.content, content_type="application/json")
