"""CloudEvents' own SDK, another version than the one beside functions-framework, understands the function."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import tool_cache
from helpers.function import EVENT, ServedFunction, clean_environment, validate_summary

from deploy.fake_ddm import FakeDDM

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize("mode", ["structured", "binary"])
@pytest.mark.parametrize(("db_name", "verdict"), [("pass", "PASS"), ("warn", "WARN"), ("fail", "FAIL")])
def test_sdk_builds_the_event_and_reads_the_reply(
    served_function: ServedFunction, fake_ddm: FakeDDM, mode, db_name, verdict
):
    """What the SDK sends is understood, and it reads the reply whole: attributes, extensions and data."""
    sdk = tool_cache.packages("cloudevents-2.2.0", "cloudevents==2.2.0")
    identity = 'run 7 / "höchst" %'
    attributes = {"id": identity, "source": "/scheduler", "type": "precheck.wanted", "traceparent": TRACE}
    given = {"url": served_function.url, "mode": mode, "attributes": attributes, "data": EVENT | {"db_name": db_name}}
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "helpers" / "sdk_client.py"],
        input=json.dumps(given),
        env=clean_environment() | {"PYTHONPATH": str(sdk)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    reply = json.loads(done.stdout)
    validate_summary(reply["data"])
    assert reply["data"]["verdict"] == verdict
    read = reply["attributes"]
    assert read.pop("time").startswith(reply["data"]["checked_at"].replace("T", " ").removesuffix("Z"))
    assert read.pop("datacontenttype") == "application/json"
    assert read == {
        "specversion": "1.0",
        "id": identity,
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": EVENT["job_id"],
        "verdict": verdict,
        "traceparent": TRACE,
    }
