"""Version 2 of the CloudEvents SDK, which functions-framework does not support, sends events and parses responses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import tool_cache
from helpers.envelopes import TRACEPARENT
from helpers.function import EVENT, ServedFunction, validate_summary

from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.parametrize(("db_name", "verdict"), [("pass", "PASS"), ("warn", "WARN"), ("fail", "FAIL")])
def test_sdk_sends_the_event_and_parses_the_response(
    served_function: ServedFunction, fake_ddm: FakeDDM, mode, db_name, verdict
):
    """The function parses the SDK's CloudEvent. The SDK parses the response's attributes, extensions and data."""
    sdk = tool_cache.packages("cloudevents-2.2.0", "cloudevents==2.2.0")
    ce_id = 'run 7 / "höchst" %'
    attributes = {"id": ce_id, "source": "/scheduler", "type": "precheck.wanted", "traceparent": TRACEPARENT}
    arguments = {
        "url": served_function.url,
        "mode": mode,
        "attributes": attributes,
        "data": EVENT | {"db_name": db_name},
    }
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "helpers" / "sdk_client.py"],
        input=json.dumps(arguments),
        env=clean_environment() | {"PYTHONPATH": str(sdk)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parsed = json.loads(done.stdout)
    validate_summary(parsed["data"])
    assert parsed["data"]["verdict"] == verdict
    attributes = parsed["attributes"]
    assert attributes.pop("time").startswith(parsed["data"]["checked_at"].replace("T", " ").removesuffix("Z"))
    assert attributes.pop("datacontenttype") == "application/json"
    assert attributes == {
        "specversion": "1.0",
        "id": ce_id,
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": EVENT["job_id"],
        "verdict": verdict,
        "canproceed": "true" if verdict == "PASS" else "false",
        "traceparent": TRACEPARENT,
    }
