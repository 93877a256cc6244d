"""The examples for Knative and Google: they are valid, agree with the function, and use valid gcloud commands."""

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
# Records the arguments of each call, and prints what the scripts read.
FAKE_GCLOUD = f"""#!/usr/bin/env bash
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
    """Each manifest has these resources, each with a name and a specification."""
    assert [f"{each['apiVersion']} {each['kind']}" for each in KNATIVE[name]] == kinds
    assert all(each["metadata"]["name"] and each["spec"] for each in KNATIVE[name])


def test_service():
    """The service has as many threads as concurrent requests; the other manifests refer to this service."""
    (service,) = KNATIVE["service"]
    spec = service["spec"]["template"]["spec"]
    assert {"name": "THREADS", "value": str(spec["containerConcurrency"])} in spec["containers"][0]["env"]
    name = service["metadata"]["name"]
    assert KNATIVE["sinkbinding"][0]["spec"]["subject"]["name"] == name
    assert KNATIVE["trigger"][0]["spec"]["subscriber"]["ref"]["name"] == name
    assert KNATIVE["sequence"][0]["spec"]["steps"][0]["ref"]["name"] == name


def test_filter_of_the_trigger(function: Function):
    """The filter of the second trigger matches the CloudEvent of a PASS, and no other response."""
    event_filter, pass_filter = (each["spec"]["filter"]["attributes"] for each in KNATIVE["trigger"])
    attributes = {"specversion": "1.0", "id": "1", "source": "s", "type": event_filter["type"]}
    matches = {
        name: pass_filter.items() <= function.send(attributes | {"data": EVENT | {"db_name": name}}).body.items()
        for name in ("pass", "warn", "fail", "pending", "broken")
    }
    assert matches == {"pass": True, "warn": False, "fail": False, "pending": False, "broken": False}


def test_delivery_of_the_sequence():
    """The sequence and the trigger have the same retries and dead-letter sink."""
    (sequence,) = KNATIVE["sequence"]
    assert sequence["spec"]["steps"][0]["delivery"] == KNATIVE["trigger"][0]["spec"]["delivery"]


@pytest.fixture
def run_script(tmp_path: Path):
    """A function that runs a script with a fake gcloud and returns the arguments of each call of gcloud."""

    def run(script: Path) -> list[list[str]]:
        gcloud = tmp_path / "gcloud"
        gcloud.write_text(FAKE_GCLOUD)
        gcloud.chmod(0o755)
        record = tmp_path / "record"
        variables = {"PROJECT": "my-project", "REGION": "europe-west1", "GCLOUD": str(gcloud), "RECORD": str(record)}
        subprocess.run([script], env=clean_environment() | variables, check=True, capture_output=True, timeout=30)
        return [shlex.split(line) for line in record.read_text().splitlines()]

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_gcloud_commands_are_valid(run_script, tmp_path, script):
    """Each command passes gcloud's own linter, which needs no network."""
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is missing")
    commands = [{"command_string": shlex.join(["gcloud", *words])} for words in run_script(script)]
    (tmp_path / "commands").write_text(json.dumps(commands))
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={tmp_path / 'commands'}"]
    environment = clean_environment() | {"CLOUDSDK_CONFIG": str(tmp_path / "config")}
    done = subprocess.run(lint, env=environment, capture_output=True, text=True, timeout=120, check=True)
    outcomes = [(result["success"], result["error_message"]) for result in json.loads(done.stdout)]
    assert outcomes == [(True, None)] * len(commands)


@pytest.mark.parametrize(
    ("script", "verb", "subscription", "account"),
    [
        (SCRIPTS[0], "update", EVENTARC_SUBSCRIPTION, "precheck-eventarc"),
        (SCRIPTS[1], "create", "precheck-wanted", "precheck-push"),
    ],
    ids=["eventarc", "pubsub"],
)
def test_settings_of_the_subscription(run_script, script, verb, subscription, account):
    """Both scripts set backoff, dead-letter topic, the roles for these, and a service account for the push requests."""
    calls = run_script(script)

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
    subscription_options = options("pubsub", "subscriptions", verb, subscription)
    assert delivery.items() <= subscription_options.items()
    is_eventarc = verb == "update"
    caller_options = options("eventarc", "triggers", "create", "ddm-precheck") if is_eventarc else subscription_options
    assert caller in {caller_options.get("--service-account"), caller_options.get("--push-auth-service-account")}
    agent = "serviceAccount:service-1234567890@gcp-sa-pubsub.iam.gserviceaccount.com"
    publisher = options("pubsub", "topics", "add-iam-policy-binding", "precheck-dead-letters")
    assert publisher == {"--project": "my-project", "--member": agent, "--role": "roles/pubsub.publisher"}
    subscriber = options("pubsub", "subscriptions", "add-iam-policy-binding", subscription)
    assert subscriber == {"--project": "my-project", "--member": agent, "--role": "roles/pubsub.subscriber"}
    assert options("pubsub", "subscriptions", "create", "precheck-dead-letters")["--topic"] == "precheck-dead-letters"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
@pytest.mark.parametrize("missing", ["PROJECT", "REGION"])
def test_missing_value(script, missing):
    """If a variable is missing, the script names it and runs no command."""
    variables = {"PROJECT": "my-project", "REGION": "europe-west1", "GCLOUD": "/bin/false"}
    del variables[missing]
    environment = {"PATH": os.environ["PATH"]} | variables
    done = subprocess.run([script], env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode != 0
    assert f"{missing} is not set" in done.stderr


def test_triggers_page_shows_the_subscription():
    """docs/triggers.md has the same command as the script."""
    shown = (
        (ROOT / "docs" / "triggers.md").read_text().split("gcloud pubsub subscriptions create precheck-wanted")[1].split("```")[0]
    )
    assert f'"$gcloud" pubsub subscriptions create precheck-wanted{shown}' in SCRIPTS[1].read_text()
