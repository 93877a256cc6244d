"""The minimum: functions-framework, and one request over a pooled session. DDM's bytes are returned unchanged."""

from typing import Final

import requests
from flask import Request, Response
from requests.adapters import HTTPAdapter

from tools.benchmark.peers import THREADS, url

_SESSION: Final = requests.Session()
_SESSION.mount("http://", HTTPAdapter(pool_maxsize=THREADS))


def precheck(request: Request) -> Response:
    """Handle an event."""
    event = request.get_json()
    response = _SESSION.get(url(event), headers={"X-Auth-Token": event["token"]}, timeout=10)
    return Response(response.content, content_type="application/json")
