"""The examples for Knative and Google parse, fit the function, and use commands that gcloud knows."""

import json
import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.function import EVENT, ROOT, Function, clean_environment

KNATIVE = {path.stem: list(yaml.safe_load_all(path.read_text())) for path in (ROOT / "examples/knative").glob("*.yaml")}
SCRIPTS = sorted((ROOT / "examples" / "google").glob("*.sh"))
EVENTARC_SUBSCRIPTION = "projects/my-project/subscriptions/eventarc-europe-west1-ddm-precheck-sub-123"
# Notes each call, and responses what the scripts ask for.
GCLOUD = f"""#!/usr/bin/env bash
printf '%s\\n' "${{*@Q}}" >>"$RECORD"
case "$*" in
*projectNumber*) echo 1234567890 ;;
*status.url*) echo https://precheck.example ;;
*transport.pubsub.subscription*) echo {EVENTARC_SUBSCRIPTION} ;;
esac
"""


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


def test_sequence_delivers_as_the_trigger_does():
    """Both try as long, and both keep what they give up."""
    (sequence,) = KNATIVE["sequence"]
    assert sequence["spec"]["steps"][0]["delivery"] == KNATIVE["trigger"][0]["spec"]["delivery"]


@pytest.fixture
def recorded(tmp_path: Path):
    """Run a script with a stand-in for gcloud, and return the commands it got."""

    def run(script: Path) -> list[list[str]]:
        stub = tmp_path / "gcloud"
        stub.write_text(GCLOUD)
        stub.chmod(0o755)
        record = tmp_path / "record"
        variables = {"PROJECT": "my-project", "REGION": "europe-west1", "GCLOUD": str(stub), "RECORD": str(record)}
        subprocess.run([script], env=clean_environment() | variables, check=True, capture_output=True, timeout=30)
        return [shlex.split(line) for line in record.read_text().splitlines()]

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_gcloud_knows_the_commands(recorded, tmp_path, script):
    """Every command passes gcloud's own linter, which needs no network."""
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is missing")
    commands = [{"command_string": shlex.join(["gcloud", *words])} for words in recorded(script)]
    (tmp_path / "commands").write_text(json.dumps(commands))
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={tmp_path / 'commands'}"]
    environment = clean_environment() | {"CLOUDSDK_CONFIG": str(tmp_path / "config")}
    done = subprocess.run(lint, env=environment, capture_output=True, text=True, timeout=120, check=True)
    found = [(result["success"], result["error_message"]) for result in json.loads(done.stdout)]
    assert found == [(True, None)] * len(commands)


@pytest.mark.parametrize(
    ("script", "verb", "subscription", "account"),
    [
        (SCRIPTS[0], "update", EVENTARC_SUBSCRIPTION, "precheck-eventarc"),
        (SCRIPTS[1], "create", "precheck-wanted", "precheck-push"),
    ],
    ids=["eventarc", "pubsub"],
)
def test_what_the_scripts_set(recorded, script, verb, subscription, account):
    """Both set backoff, dead letters and the rights that these need, and deliver as an account of its own."""
    calls = recorded(script)

    def options(*words: str) -> dict[str, str]:
        (call,) = (call for call in calls if call[: len(words)] == list(words))
        names, values = call[len(words) :: 2], call[len(words) + 1 :: 2]
        return dict(zip(names, values, strict=True))

    caller = f"{account}@my-project.iam.gserviceaccount.com"
    invoker = {"--member": f"serviceAccount:{caller}", "--role": "roles/run.invoker", "--region": "europe-west1"}
    assert invoker.items() <= options("run", "services", "add-iam-policy-binding", "ddm-precheck").items()
    delivery = {
        "--ack-deadline": "60",
        "--min-retry-delay": "10s",
        "--max-retry-delay": "60s",
        "--dead-letter-topic": "precheck-dead-letters",
        "--max-delivery-attempts": "100",
        "--message-retention-duration": "6h",
    }
    found = options("pubsub", "subscriptions", verb, subscription)
    assert delivery.items() <= found.items()
    as_caller = options("eventarc", "triggers", "create", "ddm-precheck") if verb == "update" else found
    assert caller in {as_caller.get("--service-account"), as_caller.get("--push-auth-service-account")}
    agent = "serviceAccount:service-1234567890@gcp-sa-pubsub.iam.gserviceaccount.com"
    publisher = options("pubsub", "topics", "add-iam-policy-binding", "precheck-dead-letters")
    assert publisher == {"--project": "my-project", "--member": agent, "--role": "roles/pubsub.publisher"}
    subscriber = options("pubsub", "subscriptions", "add-iam-policy-binding", subscription)
    assert subscriber == {"--project": "my-project", "--member": agent, "--role": "roles/pubsub.subscriber"}
    assert options("pubsub", "subscriptions", "create", "precheck-dead-letters")["--topic"] == "precheck-dead-letters"


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
