"""The example scripts for Google Cloud: valid gcloud commands, no secret in an argument, and safe settings."""

import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Final

import pytest
from helpers.fake_gcloud import EVENTARC_SUBSCRIPTION, NUMBER, URL, Call, find_call, lint, run_script
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, ROOT
from helpers.markdown import TRIGGERS

from testing.function_server import clean_environment

GOOGLE: Final = ROOT / "examples" / "google"
RENEWAL: Final = ROOT / "examples" / "token-renewal" / "google.sh"
PROJECT: Final = {"PROJECT": "my-project", "REGION": "europe-west1"}
FUNCTION: Final = PROJECT | {"DDM_REGION": "cn-north-4", "ALLOW": "p1/i1,p2/*", "EXPECTED_CHECKS": "8"}
USER: Final = PROJECT | {
    "HUAWEICLOUD_REGION": "cn-north-4",
    "HUAWEICLOUD_PROJECT_ID": "p1",
    "HUAWEICLOUD_ACCOUNT": "Example, Inc.",
    "HUAWEICLOUD_USER": "ddm-precheck",
}
WEBHOOK: Final = "https://chat.example/webhook?key=A-SECRET-KEY&token=A-SECRET-TOKEN"
SCRIPTS: Final = {
    "pubsub": (GOOGLE / "pubsub.sh", FUNCTION, ""),
    "eventarc": (GOOGLE / "eventarc.sh", FUNCTION, ""),
    "chat-sink": (GOOGLE / "chat-sink.sh", PROJECT, f"{WEBHOOK}\n"),
    "token-renewal": (RENEWAL, USER, "a password\n"),
}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Call]]:
    """The calls of gcloud, by the name of the script."""
    calls = {
        name: run_script(script, tmp_path_factory.mktemp(name), stdin, **variables)
        for name, (script, variables, stdin) in SCRIPTS.items()
    }
    folder = tmp_path_factory.mktemp("page")
    script = folder / "page.sh"
    blocks = TRIGGERS.code_blocks("bash", "Pub/Sub push")
    script.write_text(f"#!/usr/bin/env bash\nset -euo pipefail\ncd {shlex.quote(str(ROOT))}\n{''.join(blocks)}")
    script.chmod(0o755)
    started = json.dumps({"job_id": EVENT["job_id"], "pre_check_results": []})
    ids = {name.upper(): EVENT[name] for name in ("project_id", "instance_id", "db_name")}
    calls["page"] = run_script(script, folder, f"a password\n{WEBHOOK}\n", STARTED=started, **ids)
    return calls


def test_gcloud_commands_are_valid(calls, tmp_path):
    lint({shlex.join(["gcloud", *call.words]) for name in calls for call in calls[name]}, tmp_path)


def test_commands_of_the_page(calls):
    assert [call.words[0] for call in calls["page"]].count("run") == sum(
        call.words[0] == "run" for name in ("token-renewal", "chat-sink", "pubsub") for call in calls[name]
    )
    event = json.loads(find_call(calls["page"], "pubsub", "topics", "publish", "precheck-wanted")["--message"])
    assert event == EVENT_WITHOUT_TOKEN | {"pre_check_results": []}


@pytest.mark.parametrize("name", ["pubsub", "chat-sink", "token-renewal"])
def test_missing_variables(name):
    environment = {"PATH": os.environ["PATH"]}
    done = subprocess.run(
        [SCRIPTS[name][0]], input="", env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode != 0
    assert "PROJECT is not set" in done.stderr


@pytest.mark.parametrize("name", ["pubsub", "eventarc"])
def test_the_function_has_a_token_a_sink_and_the_number_of_checks(calls, name):
    deploy = find_call(calls[name], "run", "deploy", "ddm-precheck")
    account = "ddm-precheck@my-project.iam.gserviceaccount.com"
    assert deploy["--service-account"] == account
    assert re.fullmatch(r"/[a-z/-]+=ddm-token:latest", deploy["--update-secrets"])
    variables = deploy["--update-env-vars"]
    assert f"DDM_TOKEN_SOURCE={deploy['--update-secrets'].partition('=')[0]}" in variables
    assert "DDM_ALLOWED_INSTANCES=p1/i1,p2/*" in variables
    assert "DDM_EXPECTED_CHECKS=8" in variables
    update = find_call(calls[name], "run", "services", "update", "ddm-precheck")
    assert update["--update-secrets"] == "K_SINK=precheck-sink:latest"
    for secret in ("ddm-token", "precheck-sink"):
        binding = find_call(calls[name], "secrets", "add-iam-policy-binding", secret)
        assert binding["--member"] == f"serviceAccount:{account}"
        assert binding["--role"] == "roles/secretmanager.secretAccessor"


@pytest.mark.parametrize(
    ("name", "verb", "subscription", "account"),
    [
        ("eventarc", "update", EVENTARC_SUBSCRIPTION, "precheck-eventarc"),
        ("pubsub", "create", "precheck-wanted", "precheck-push"),
    ],
    ids=["eventarc", "pubsub"],
)
def test_settings_of_the_subscription(calls, name, verb, subscription, account):
    caller = f"{account}@my-project.iam.gserviceaccount.com"
    invoker = {"--member": f"serviceAccount:{caller}", "--role": "roles/run.invoker", "--region": "europe-west1"}
    assert (
        invoker.items() <= find_call(calls[name], "run", "services", "add-iam-policy-binding", "ddm-precheck").items()
    )
    options = find_call(calls[name], "pubsub", "subscriptions", verb, subscription)
    assert options["--dead-letter-topic"] == "precheck-dead-letters"
    if name == "eventarc":
        options = find_call(calls[name], "eventarc", "triggers", "create", "ddm-precheck")
    assert caller in {options.get("--service-account"), options.get("--push-auth-service-account")}
    agent = f"serviceAccount:service-{NUMBER}@gcp-sa-pubsub.iam.gserviceaccount.com"
    publisher = find_call(calls[name], "pubsub", "topics", "add-iam-policy-binding", "precheck-dead-letters")
    assert publisher == {"--project": "my-project", "--member": agent, "--role": "roles/pubsub.publisher"}
    subscriber = find_call(calls[name], "pubsub", "subscriptions", "add-iam-policy-binding", subscription)
    assert subscriber == {"--project": "my-project", "--member": agent, "--role": "roles/pubsub.subscriber"}
    dead_letters = find_call(calls[name], "pubsub", "subscriptions", "create", "precheck-dead-letters")
    assert dead_letters["--topic"] == "precheck-dead-letters"


def secrets(calls: list[Call]) -> dict[str, str]:
    """Return the value of each secret that is created."""
    return {call.words[2]: call.stdin for call in calls if call.words[:2] == ["secrets", "create"]}


def test_secrets_of_the_chat_sink(calls):
    created = secrets(calls["chat-sink"])
    key = created["precheck-sink-key"]
    assert re.fullmatch(r"[0-9a-f]{48}", key)
    assert created == {
        "precheck-chat-webhook": WEBHOOK,
        "precheck-sink-key": key,
        "precheck-sink": f"{URL}/{key}",
    }
    words = [word for call in calls["chat-sink"] for word in call.words]
    assert not any(secret in word for word in words for secret in (key, "A-SECRET"))


def test_the_chat_sink_needs_an_https_url(tmp_path):
    environment = clean_environment() | PROJECT | {"PATH": os.environ["PATH"]}
    script = GOOGLE / "chat-sink.sh"
    done = subprocess.run(
        [script], input="A-SECRET", env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "A-SECRET" not in done.stderr


def test_token_renewal(calls):
    renewal = calls["token-renewal"]
    assert secrets(renewal) == {"huaweicloud-password": "a password\n", "ddm-token": ""}
    assert not any("a password" in word for call in renewal for word in call.words)
    roles = {"huaweicloud-password": "secretAccessor", "ddm-token": "secretVersionManager"}
    for secret, role in roles.items():
        binding = find_call(renewal, "secrets", "add-iam-policy-binding", secret)
        assert binding["--member"] == "serviceAccount:ddm-token-renewal@my-project.iam.gserviceaccount.com"
        assert binding["--role"] == f"roles/secretmanager.{role}"
    deploy = find_call(renewal, "run", "jobs", "deploy", "ddm-token-renewal")
    variables = dict(each.split("=", 1) for each in deploy["--set-env-vars"].removeprefix("^@^").split("@"))
    assert variables["HUAWEICLOUD_ACCOUNT"] == "Example, Inc."
    assert variables["GOOGLE_SECRET"] == "projects/my-project/secrets/ddm-token"
    assert deploy["--set-secrets"] == f"{variables['HUAWEICLOUD_PASSWORD_FILE']}=huaweicloud-password:latest"
    assert (Path(deploy["--source"]) / "Procfile").read_text() == "web: python3 renew_token.py\n"
