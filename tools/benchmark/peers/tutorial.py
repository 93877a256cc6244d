"""The code in the tutorials of the packages: ``requests.get`` and ``jsonschema.validate`` for each event."""

import json
from pathlib import Path
from typing import Any, Final

import jsonschema
import requests
from flask import Request

from tools.benchmark.peers import url, verdict

_SCHEMAS: Final = Path(__file__).resolve().parents[3] / "schemas"
_EVENT: Final = json.loads((_SCHEMAS / "event.schema.json").read_text())
_RESULT: Final = json.loads((_SCHEMAS / "precheck-result.schema.json").read_text())


def precheck(request: Request) -> dict[str, Any]:
    """Handle an event."""
    event = request.get_json()
    jsonschema.validate(event, _EVENT)
    result = requests.get(url(event), headers={"X-Auth-Token": event["token"]}, timeout=10).json()
    jsonschema.validate(result, _RESULT)
    return verdict({check["status"] for check in result["pre_check_results"]})
