"""`deploy.sh cloud-run`: the calls of gcloud, what a deployment keeps, and the printed command."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.deployment import CLOUD_RUN, DRY_RUN_ENDS, PROJECT_ID, ROOT, TOKEN, Checkout, Result, run_in_bash

from deploy import source
from testing.fake_functiongraph import ApiResponse, FakeFunctionGraph
from testing.fake_gcloud import URL, FakeGcloud

ALLOWED = f"{PROJECT_ID}/instance-1,{PROJECT_ID}/instance-2,other/*"
SECRET = ("--token-secret", "ddm-token", "--allow", ALLOWED)
SECRET_FILE = "DDM_TOKEN_SOURCE=/secrets/ddm-token/token"
MOUNT = ("--update-secrets", "/secrets/ddm-token/token=ddm-token:latest")
LIMITS = ("--concurrency", "64", "--cpu", "1", "--memory", "512Mi", "--timeout")
INSTANCES = ("--min-instances", "0", "--max-instances", "10")
DESCRIBE = ["gcloud", "run", "services", "describe", "ddm-precheck", *CLOUD_RUN[1:], "--quiet", "--format", "json"]
# Options, and what depends on them in the first deployment: timeout, variables, further flags.
CALLS = {
    "defaults": ((), "60s", "THREADS=64", ()),
    "region, endpoint and account": (
        (
            *("--ddm-region", "cn-north-4", "--ddm-endpoint=https://ddm.{region}.example"),
            *("--service-account", "ddm@demo.iam.gserviceaccount.com"),
        ),
        "60s",
        "THREADS=64,DDM_REGION=cn-north-4,DDM_ENDPOINT=https://ddm.{region}.example",
        ("--service-account", "ddm@demo.iam.gserviceaccount.com"),
    ),
    "variables": (
        ("--env", "DDM_EXPECTED_CHECKS=8", "--env=K_SINK=https://sink.example/a=b"),
        "60s",
        "THREADS=64,DDM_EXPECTED_CHECKS=8,K_SINK=https://sink.example/a=b",
        (),
    ),
    "value with a comma": (
        ("--env", "K_SINK=https://sink.example/a,DDM_REGION=b", "--env", "DDM_REGION=cn-north-4"),
        "60s",
        "^@^THREADS=64@K_SINK=https://sink.example/a,DDM_REGION=b@DDM_REGION=cn-north-4",
        (),
    ),
    "empty value": (("--env", "K_SINK="), "60s", "THREADS=64,K_SINK=", ()),
    "token of a secret": (SECRET, "60s", f"^@^THREADS=64@{SECRET_FILE}@DDM_ALLOWED_INSTANCES={ALLOWED}", MOUNT),
    "file that is mounted already": (
        ("--env", "DDM_TOKEN_SOURCE=/a,@b/token", "--env", "DDM_ALLOWED_INSTANCES=a/*"),
        "60s",
        "^;^THREADS=64;DDM_TOKEN_SOURCE=/a,@b/token;DDM_ALLOWED_INSTANCES=a/*",
        (),
    ),
    "long wait": (
        ("--env", "DDM_MAX_WAIT_SECONDS=300.5", "--env", "DDM_TIMEOUT_SECONDS=20"),
        "331s",
        "THREADS=64,DDM_MAX_WAIT_SECONDS=300.5,DDM_TIMEOUT_SECONDS=20",
        (),
    ),
    "longest wait": (
        ("--env", "DDM_MAX_WAIT_SECONDS=3580"),
        "3600s",
        "THREADS=64,DDM_MAX_WAIT_SECONDS=3580",
        (),
    ),
}
# What an operator has set with gcloud or in the console.
OPERATORS_SETTINGS = {
    "--memory": "1Gi",
    "--cpu": "2",
    "--min-instances": "1",
    "--max-instances": "3",
    "--concurrency": "32",
    "--timeout": 900,
    "--vpc-connector": "connector",
    "--service-account": "ops@demo.iam.gserviceaccount.com",
    "--ingress": "internal",
}
OPERATORS_VARIABLES = {"THREADS": "32", "HTTPS_PROXY": "http://proxy:3128", "DDM_REGION": "cn-east-3"}


def deploy_words(timeout: tuple[str, ...], assignments: str, more: tuple[str, ...] = ()) -> list[str]:
    """Return the command that deploys, for a new service or, without a timeout, for one that exists."""
    return [
        *("gcloud", "run", "deploy", "ddm-precheck", *CLOUD_RUN[1:], "--source", str(ROOT), "--function", "precheck"),
        *("--base-image", "python313", "--no-allow-unauthenticated", *timeout),
        *(("--update-env-vars", assignments) if assignments else ()),
        *(*more, "--quiet", "--format", "value(status.url)"),
    ]


@pytest.fixture
def real_gcloud() -> str:
    """The path of Google's gcloud."""
    return shutil.which("gcloud") or pytest.skip("gcloud is missing")


@pytest.mark.parametrize(("options", "timeout", "assignments", "more"), CALLS.values(), ids=list(CALLS))
def test_the_first_deployment_sets_limits(deploy_sh, gcloud, options, timeout, assignments, more):
    """A service that does not exist gets the documented limits. gcloud does not get the IAM token."""
    result = deploy_sh(*CLOUD_RUN, *options, HUAWEICLOUD_TOKEN=TOKEN)
    assert (result.status, result.stderr) == (0, "")
    assert [["gcloud", *call.words] for call in gcloud.calls] == [
        DESCRIBE,
        deploy_words((*LIMITS, timeout, *INSTANCES), assignments, more),
    ]
    assert f"URL: {URL}\n" in result.stdout
    assert TOKEN not in result.stdout
    assert not any(call.has_token for call in gcloud.calls)


@pytest.mark.parametrize(("options", "timeout", "assignments", "more"), CALLS.values(), ids=list(CALLS))
def test_a_dry_run_prints_the_exact_calls(deploy_sh, gcloud, options, timeout, assignments, more):
    """The description, the first deployment and a later one are printed, and gcloud is not called."""
    result = deploy_sh(*CLOUD_RUN, *options, "--dry-run")
    assert (result.status, result.stderr, result.last_line, gcloud.calls) == (0, "", DRY_RUN_ENDS, [])
    raised = ("--timeout", timeout) if timeout != "60s" else ()
    later = re.sub("THREADS=64(.|$)", "", assignments)
    assert [shlex.split(command) for command in result.commands] == [
        DESCRIBE,
        deploy_words((*LIMITS, timeout, *INSTANCES), assignments, more),
        deploy_words(raised, later, more),
    ]
    assert "https://SERVICE_URL" in result.stdout


@pytest.mark.parametrize("setting", OPERATORS_SETTINGS)
def test_a_deployment_never_takes_back_a_setting(deploy_sh, gcloud, setting):
    deploy_sh(*CLOUD_RUN)
    service = gcloud.service
    service["settings"][setting] = OPERATORS_SETTINGS[setting]
    gcloud.service = service
    assert deploy_sh(*CLOUD_RUN, "--env", "DDM_EXPECTED_CHECKS=8").status == 0
    assert gcloud.service["settings"] == service["settings"]


@pytest.mark.parametrize("name", OPERATORS_VARIABLES)
def test_a_deployment_never_takes_back_a_variable(deploy_sh, gcloud, name):
    deploy_sh(*CLOUD_RUN, "--ddm-region", "cn-north-4")
    service = gcloud.service
    service["variables"][name] = OPERATORS_VARIABLES[name]
    gcloud.service = service
    assert deploy_sh(*CLOUD_RUN, "--env", "DDM_EXPECTED_CHECKS=8").status == 0
    assert gcloud.service["variables"] == service["variables"] | {"DDM_EXPECTED_CHECKS": "8"}


@pytest.mark.parametrize(
    ("current", "variables", "options", "timeout"),
    [
        (60, {}, (), 60),
        (30, {}, (), 60),
        (100, {}, ("--env", "DDM_MAX_WAIT_SECONDS=100"), 120),
        (120, {"DDM_MAX_WAIT_SECONDS": "100"}, (), 120),
        (120, {"DDM_MAX_WAIT_SECONDS": "100"}, ("--env", "DDM_TIMEOUT_SECONDS=20"), 130),
        (900, {}, ("--env", "DDM_MAX_WAIT_SECONDS=100"), 900),
    ],
)
def test_a_timeout_that_is_too_short_is_raised(deploy_sh, gcloud, current, variables, options, timeout):
    """The variables of earlier deployments count."""
    gcloud.service = {"settings": {"--timeout": current}, "variables": variables}
    assert deploy_sh(*CLOUD_RUN, *options).status == 0
    assert gcloud.service["settings"]["--timeout"] == timeout


def test_further_options_are_passed_to_gcloud(deploy_sh, gcloud):
    passed = ["--min-instances", "1", "--vpc-connector=c", "--allow-unauthenticated"]
    result = deploy_sh(*CLOUD_RUN, "--", *passed)
    assert (result.status, gcloud.calls[-1].words[-4:]) == (0, passed)
    assert gcloud.service["settings"]["--min-instances"] == "1"
    assert "print-identity-token" not in result.call  # the service is public


@pytest.mark.parametrize("how", [("--allow-unauthenticated",), ("--", "--allow-unauthenticated")], ids=str)
@pytest.mark.parametrize(
    ("options", "variables", "source_label", "instances_label"),
    [
        (SECRET, {}, "--token-secret", "--allow"),
        ((), {"DDM_TOKEN_SOURCE": "/t", "DDM_ALLOWED_INSTANCES": "a/*"}, "DDM_TOKEN_SOURCE", "DDM_ALLOWED_INSTANCES"),
    ],
    ids=["options", "of an earlier deployment"],
)
def test_warning_of_a_public_token(deploy_sh, gcloud, how, options, variables, source_label, instances_label):
    gcloud.service = {"settings": {"--timeout": 60}, "variables": variables}
    result = deploy_sh(*CLOUD_RUN, *options, *how)
    assert (result.status, "--allow-unauthenticated" in gcloud.calls[-1].words) == (0, True)
    warning = f"anyone on the internet can use the token of {source_label} for the instances in {instances_label}"
    assert result.stderr == f"deploy.sh: warning: {warning}\n"


@pytest.mark.parametrize(
    ("options", "private", "has_token", "region"),
    [
        ((), True, True, "DDM_REGION"),
        (("--allow-unauthenticated",), False, True, "DDM_REGION"),
        (("--ddm-region", "cn-north-4"), True, True, None),
        (("--env", "DDM_REGION=cn-north-4"), True, True, None),
        (SECRET, True, False, "DDM_REGION"),
    ],
    ids=["private", "public", "region", "region as a variable", "token of a secret"],
)
def test_the_printed_command(deploy_sh, gcloud, options, private, has_token, region):
    """It has the caller's identity and an IAM token, if they are required, and placeholders."""
    line = deploy_sh(*CLOUD_RUN, *options).call
    assert ("$HUAWEICLOUD_TOKEN" in line) == has_token
    command = shlex.split(line.rpartition(" | ")[2])
    assert command[:5] == ["curl", "-sS", "-X", "POST", URL]
    assert ("Authorization: Bearer $(gcloud auth print-identity-token)" in command) == private
    event = json.loads(command[-1])
    assert (event["db_name"], event["project_id"], event.get("region")) == ("orders", "PROJECT_ID", region)


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
def test_the_printed_command_works(deploy_sh, gcloud):
    """It sends the event with both tokens. No process has the IAM token in its arguments."""
    call = deploy_sh(*CLOUD_RUN).call
    with FakeFunctionGraph({"POST ": ApiResponse(200, {"verdict": "PASS"})}) as server:
        output = run_in_bash(call.replace(URL, server.url), HUAWEICLOUD_TOKEN=TOKEN)
    (request,) = server.requests
    assert json.loads(output) == {"verdict": "PASS"}
    assert request.headers["X-Auth-Token"] == TOKEN
    assert request.headers["Authorization"].startswith("Bearer")
    assert server.tokens_in_arguments == []


def test_gcloud_accepts_every_printed_command(deploy_sh, real_gcloud, tmp_path):
    """Google's offline linter finds no mistake in the printed commands."""
    commands = {"gcloud auth print-identity-token"}
    for options, *_ in CALLS.values():
        commands.update(deploy_sh(*CLOUD_RUN, *options, "--dry-run", "--", "--min-instances", "1").commands)
    file = tmp_path / "commands"
    file.write_text(json.dumps([{"command_string": command} for command in sorted(commands)]))
    environment = os.environ | {"CLOUDSDK_CONFIG": str(tmp_path)}
    lint = [real_gcloud, "meta", "lint-gcloud-commands", f"--commands-file={file}"]
    output = subprocess.run(lint, env=environment, capture_output=True, text=True, check=True).stdout
    assert [found["error_message"] for found in json.loads(output)] == [None] * len(commands)


def test_gclouds_own_parser_splits_the_variables(deploy_sh, real_gcloud):
    """Gcloud's parser of --update-env-vars returns each value unchanged, including a value with a comma."""
    words = shlex.split(deploy_sh(*CLOUD_RUN, *CALLS["value with a comma"][0], "--dry-run").commands[1])
    assignments = words[words.index("--update-env-vars") + 1]
    library = str(Path(real_gcloud).resolve().parent.parent / "lib")
    program = (
        f"import sys; sys.path[:0] = [{library!r}, {library + '/third_party'!r}];"
        "from googlecloudsdk.calliope import arg_parsers; import json;"
        "print(json.dumps(arg_parsers.ArgDict()(sys.argv[1])))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, assignments]
    parsed = subprocess.run(command, capture_output=True, text=True, check=False)
    if parsed.returncode:
        pytest.skip(f"gcloud's parser cannot be imported: {parsed.stderr.splitlines()[-1]}")
    assert json.loads(parsed.stdout) == {
        "THREADS": "64",
        "K_SINK": "https://sink.example/a,DDM_REGION=b",
        "DDM_REGION": "cn-north-4",
    }


def test_only_the_http_function_is_uploaded(fresh_checkout: Checkout, real_gcloud):
    for name in ("dist/a.zip", ".venv/a.py", ".env", "ddm_precheck/__pycache__/a.pyc", "schemas/old/a.json", "a.log"):
        (fresh_checkout.root / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh_checkout.root / name).touch()
    command = [real_gcloud, "meta", "list-files-for-upload", str(fresh_checkout.root)]
    environment = fresh_checkout.environment()
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    patterns = ("main.py", "ddm_precheck/*.py", "schemas/*.schema.json", "requirements.txt", "constraints.txt")
    needed = [path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)]
    assert sorted(output.splitlines()) == sorted(needed)


def test_a_failure_of_gcloud_is_reported(deploy_sh, tmp_path, gcloud):
    FakeGcloud(tmp_path / "gcloud", status=3)
    assert deploy_sh(*CLOUD_RUN) == Result(1, "", "deploy.sh: gcloud run deploy failed\n")


@pytest.mark.parametrize(
    ("script", "lines"),
    [
        ("echo 'ERROR: Permission denied' >&2; exit 1", "ERROR: Permission denied\ndeploy.sh: {describe} failed\n"),
        ("echo '{}'", "deploy.sh: gcloud described a service that cannot be read, so its values cannot be kept\n"),
        ("echo", "deploy.sh: gcloud described a service that cannot be read, so its values cannot be kept\n"),
    ],
    ids=["denied", "no service", "nothing"],
)
def test_a_service_that_cannot_be_described_is_not_deployed(deploy_sh, tmp_path, gcloud, script, lines):
    """Otherwise a service that exists would be deployed as a new one."""
    (tmp_path / "gcloud" / "gcloud").write_text(f"#!/bin/sh\n{script}\n")
    assert deploy_sh(*CLOUD_RUN) == Result(1, "", lines.format(describe="gcloud run services describe"))


def test_a_variable_that_prevents_the_start_is_reported(deploy_sh, gcloud):
    gcloud.service = {"settings": {"--timeout": 60}, "variables": {"DDM_MAX_WAIT_SECONDS": "long"}}
    result = deploy_sh(*CLOUD_RUN)
    assert (result.status, len(gcloud.calls)) == (1, 1)
    assert "DDM_MAX_WAIT_SECONDS must be" in result.stderr


def test_variables_of_secrets_are_not_needed(deploy_sh, gcloud):
    """A service can have a variable whose value only the secret knows."""
    gcloud.service = {"settings": {"--timeout": 60}, "variables": {"DDM_TOKEN_SOURCE": "/a/file"}}
    assert deploy_sh(*CLOUD_RUN).status == 0


def test_a_missing_gcloud_is_reported(deploy_sh):
    """A dry run does not need gcloud."""
    result = deploy_sh(*CLOUD_RUN, PATH="/none")
    assert result == Result(1, "", "deploy.sh: gcloud is missing: install the Google Cloud CLI\n")
    assert deploy_sh(*CLOUD_RUN, "--dry-run", PATH="/none").last_line == DRY_RUN_ENDS


@pytest.mark.parametrize(
    ("name", "content"),
    {
        "main.py": "def precheck(:\n",
        "event_function.py": "import\n",
        "ddm_precheck/settings.py": "def:\n",
        "schemas/event.schema.json": "{",
        "constraints.txt": None,
    }.items(),
)
def test_a_broken_file_is_reported_before_the_upload(deploy_sh, fresh_checkout, gcloud, monkeypatch, name, content):
    monkeypatch.setattr(source, "ROOT", fresh_checkout.root)
    (fresh_checkout.root / name).unlink()
    if content:
        (fresh_checkout.root / name).write_text(content)
    result = deploy_sh(*CLOUD_RUN)
    assert (result.status, result.stdout, result.stderr.count("\n"), gcloud.calls) == (1, "", 1, [])
    assert name in result.stderr
