"""The examples for Knative and Google parse, fit the function, and use commands that gcloud knows."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import EVENT, ROOT, Function, clean_environment

KNATIVE = {path.stem: list(yaml.safe_load_all(path.read_text())) for path in (ROOT / "examples/knative").glob("*.yaml")}
SCRIPTS = sorted((ROOT / "examples" / "google").glob("*.sh"))


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("service", ["serving.knative.dev/v1 Service"]),
        ("sinkbinding", ["sources.knative.dev/v1 SinkBinding"]),
        ("trigger", ["eventing.knative.dev/v1 Trigger"] * 2),
        ("sequence", ["flows.knative.dev/v1 Sequence"]),
    ],
)
def test_manifest(name, kinds):
    """Each manifest holds the resources that its name says, each with a name of its own."""
    assert [f"{each['apiVersion']} {each['kind']}" for each in KNATIVE[name]] == kinds
    assert all(each["metadata"]["name"] and each["spec"] for each in KNATIVE[name])


def test_service_is_the_one_that_others_name():
    """What the other manifests deliver to is the function's service, which has as many threads as requests."""
    (service,) = KNATIVE["service"]
    spec = service["spec"]["template"]["spec"]
    assert {"name": "THREADS", "value": str(spec["containerConcurrency"])} in spec["containers"][0]["env"]
    name = service["metadata"]["name"]
    assert KNATIVE["sinkbinding"][0]["spec"]["subject"]["name"] == name
    assert KNATIVE["trigger"][0]["spec"]["subscriber"]["ref"]["name"] == name
    assert KNATIVE["sequence"][0]["spec"]["steps"][0]["ref"]["name"] == name


def test_trigger_filters_what_the_function_sends(function: Function):
    """The filter matches the reply of a PASS, and no other."""
    wanted = KNATIVE["trigger"][1]["spec"]["filter"]["attributes"]
    envelope = {"specversion": "1.0", "id": "1", "source": "s", "type": KNATIVE["trigger"][0]["spec"]["filter"]}
    envelope["type"] = envelope["type"]["attributes"]["type"]
    matched = {
        name: wanted.items() <= function.send(envelope | {"data": EVENT | {"db_name": name}}).body.items()
        for name in ("pass", "warn", "fail", "pending", "broken")
    }
    assert matched == {"pass": True, "warn": False, "fail": False, "pending": False, "broken": False}


@pytest.fixture
def recorded(tmp_path: Path):
    """Run a script with a stand-in for gcloud, and return the commands it got."""

    def run(script: Path) -> list[str]:
        stub = tmp_path / "gcloud"
        stub.write_text('#!/usr/bin/env bash\nprintf "%s\\n" "${*@Q}" >>"$RECORD"\necho https://precheck.example\n')
        stub.chmod(0o755)
        record = tmp_path / "record"
        variables = {"PROJECT": "my-project", "REGION": "europe-west1", "GCLOUD": str(stub), "RECORD": str(record)}
        subprocess.run([script], env=clean_environment() | variables, check=True, capture_output=True, timeout=30)
        return [shlex.join(["gcloud", *shlex.split(line)]) for line in record.read_text().splitlines()]

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_gcloud_knows_the_commands(recorded, script):
    """Every command passes gcloud's own linter, which needs no network."""
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is missing")
    for command in recorded(script):
        lint = ["gcloud", "meta", "lint-gcloud-commands", f"--command-string={command}"]
        done = subprocess.run(lint, capture_output=True, text=True, timeout=120, check=False)
        (result,) = json.loads(done.stdout)
        assert result["success"], (command, result["error_message"])


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("missing", ["PROJECT", "REGION"])
def test_missing_value(script, missing):
    """A value that is missing is named before anything is done."""
    variables = {"PROJECT": "my-project", "REGION": "europe-west1", "GCLOUD": "/bin/false"}
    del variables[missing]
    environment = {"PATH": os.environ["PATH"]} | variables
    done = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert f"{missing} is not set" in done.stderr


def test_readme_shows_the_subscription():
    """The README shows the lines of the script."""
    shown = (
        (ROOT / "README.md").read_text().split("gcloud pubsub subscriptions create precheck-wanted")[1].split("```")[0]
    )
    assert f'"$gcloud" pubsub subscriptions create precheck-wanted{shown}' in SCRIPTS[1].read_text()
