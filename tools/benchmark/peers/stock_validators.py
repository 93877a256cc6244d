"""The usual implementation: a pooled session, and validators of jsonschema that are created once."""

import json
from pathlib import Path
from typing import Any, Final

import requests
from flask import Request
from jsonschema import Draft202012Validator
from requests.adapters import HTTPAdapter

from tools.benchmark.peers import THREADS, url, verdict

_SCHEMAS: Final = Path(__file__).resolve().parents[3] / "schemas"
_EVENT: Final = Draft202012Validator(json.loads((_SCHEMAS / "event.schema.json").read_text()))
_RESULT: Final = Draft202012Validator(json.loads((_SCHEMAS / "precheck-result.schema.json").read_text()))
_SESSION: Final = requests.Session()
_SESSION.mount("http://", HTTPAdapter(pool_maxsize=THREADS))


def precheck(request: Request) -> dict[str, Any]:
    """Handle an event."""
    event = request.get_json()
    _EVENT.validate(event)
    result = _SESSION.get(url(event), headers={"X-Auth-Token": event["token"]}, timeout=10).json()
    _RESULT.validate(result)
    return verdict({check["status"] for check in result["pre_check_results"]})
