"""`deploy.sh cloud-run`: the calls of gcloud, what a deployment keeps, and the printed command."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
from helpers.deployment import CLOUD_RUN, DRY_RUN_ENDS, PROJECT_ID, ROOT, TOKEN, Checkout, Result, run_in_bash
from helpers.fake_functiongraph import FakeFunctionGraph
from helpers.fake_gcloud import URL, FakeGcloud, lint
from helpers.http_stub import StubResponse

from deploy import source

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
    "token of a secret": (SECRET, "60s", f"^@^THREADS=64@{SECRET_FILE}@DDM_ALLOWED_INSTANCES={ALLOWED}", MOUNT),
    "long wait": (
        ("--env", "DDM_MAX_WAIT_SECONDS=300.5", "--env", "DDM_TIMEOUT_SECONDS=20"),
        "331s",
        "THREADS=64,DDM_MAX_WAIT_SECONDS=300.5,DDM_TIMEOUT_SECONDS=20",
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


@pytest.mark.parametrize(("options", "timeout", "assignments", "more"), CALLS.values(), ids=list(CALLS))
def test_the_first_deployment_and_its_dry_run(deploy_sh, gcloud, options, timeout, assignments, more):
    first = deploy_words((*LIMITS, timeout, *INSTANCES), assignments, more)
    raised = ("--timeout", timeout) if timeout != "60s" else ()
    later = deploy_words(raised, re.sub("THREADS=64(.|$)", "", assignments), more)

    dry_run = deploy_sh(*CLOUD_RUN, *options, "--dry-run")
    assert (dry_run.status, dry_run.stderr, dry_run.last_line, gcloud.calls) == (0, "", DRY_RUN_ENDS, [])
    assert [shlex.split(command) for command in dry_run.commands] == [DESCRIBE, first, later]

    result = deploy_sh(*CLOUD_RUN, *options, HUAWEICLOUD_TOKEN=TOKEN)
    assert (result.status, result.stderr) == (0, "")
    assert [["gcloud", *call.words] for call in gcloud.calls] == [DESCRIBE, first]
    assert f"URL: {URL}\n" in result.stdout
    assert TOKEN not in result.stdout
    assert not any(call.has_token for call in gcloud.calls)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        *(("settings", *item) for item in OPERATORS_SETTINGS.items()),
        *(("variables", *item) for item in OPERATORS_VARIABLES.items()),
    ],
)
def test_a_deployment_never_takes_back_what_an_operator_has_set(deploy_sh, gcloud, kind, name, value):
    deploy_sh(*CLOUD_RUN, "--ddm-region", "cn-north-4")
    service = gcloud.service
    service[kind][name] = value
    gcloud.service = service
    assert deploy_sh(*CLOUD_RUN, "--env", "DDM_EXPECTED_CHECKS=8").status == 0
    service["variables"]["DDM_EXPECTED_CHECKS"] = "8"
    assert gcloud.service == service


@pytest.mark.parametrize(
    ("current", "variables", "options", "timeout"),
    [
        (30, {}, (), 60),
        (120, {"DDM_MAX_WAIT_SECONDS": "100"}, (), 120),
        (120, {"DDM_MAX_WAIT_SECONDS": "100"}, ("--env", "DDM_TIMEOUT_SECONDS=20"), 130),
    ],
)
def test_a_timeout_that_is_too_short_is_raised(deploy_sh, gcloud, current, variables, options, timeout):
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
def test_warning_of_a_public_token(deploy_sh, gcloud, how):
    for options in SECRET, ():
        result = deploy_sh(*CLOUD_RUN, *options, *how)
        assert (result.status, result.stderr.count("\n")) == (0, 1)
        assert "warning: anyone on the internet can use the function's token" in result.stderr


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is missing")
@pytest.mark.parametrize(
    ("options", "token"),
    [((), TOKEN), ((*SECRET, "--ddm-region", "cn-north-4"), None)],
    ids=["token of the caller", "token of a secret"],
)
def test_the_printed_command_works(deploy_sh, gcloud, options, token):
    call = deploy_sh(*CLOUD_RUN, *options).call
    with FakeFunctionGraph({"POST ": StubResponse(200, {"verdict": "PASS"})}) as server:
        output = run_in_bash(call.replace(URL, server.url), HUAWEICLOUD_TOKEN=TOKEN)
    (request,) = server.requests
    assert json.loads(output) == {"verdict": "PASS"}
    assert request.headers.get("x-auth-token") == token
    assert request.headers["authorization"].startswith("Bearer")
    assert (request.body["project_id"], "region" in request.body) == ("PROJECT_ID", token is not None)
    assert server.tokens_in_arguments == []


def test_gcloud_accepts_every_printed_command(deploy_sh, tmp_path):
    commands = {"gcloud auth print-identity-token"}
    for options, *_ in CALLS.values():
        commands.update(deploy_sh(*CLOUD_RUN, *options, "--dry-run", "--", "--min-instances", "1").commands)
    lint(commands, tmp_path)


@pytest.mark.skipif(not shutil.which("gcloud"), reason="gcloud is missing")
def test_only_the_http_function_is_uploaded(fresh_checkout: Checkout):
    for name in ("dist/a.zip", ".venv/a.py", ".env", "ddm_precheck/__pycache__/a.pyc", "schemas/old/a.json", "a.log"):
        (fresh_checkout.root / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh_checkout.root / name).touch()
    command = ["gcloud", "meta", "list-files-for-upload", str(fresh_checkout.root)]
    environment = fresh_checkout.environment()
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    patterns = ("main.py", "ddm_precheck/*.py", "schemas/*.schema.json", "requirements.txt", "constraints.txt")
    needed = [path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)]
    assert sorted(output.splitlines()) == sorted(needed)


def test_a_failure_of_gcloud_is_reported(deploy_sh, tmp_path, gcloud):
    FakeGcloud(tmp_path / "gcloud", status=3)
    assert deploy_sh(*CLOUD_RUN) == Result(1, "", "deploy.sh: gcloud run deploy failed\n")


def test_a_service_that_cannot_be_described_is_not_deployed(deploy_sh, tmp_path, gcloud):
    """Otherwise a service that exists would be deployed as a new one."""
    (tmp_path / "gcloud" / "gcloud").write_text("#!/bin/sh\necho 'ERROR: Permission denied' >&2; exit 1\n")
    failure = "ERROR: Permission denied\ndeploy.sh: gcloud run services describe failed\n"
    assert deploy_sh(*CLOUD_RUN) == Result(1, "", failure)


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
    result = deploy_sh(*CLOUD_RUN, PATH="/none")
    assert result == Result(1, "", "deploy.sh: gcloud is missing: install the Google Cloud CLI\n")


@pytest.mark.parametrize(
    ("name", "content"),
    {"main.py": "def precheck(:\n", "ddm_precheck/settings.py": "def:\n", "schemas/event.schema.json": "{"}.items(),
)
def test_a_broken_file_is_reported_before_the_upload(deploy_sh, fresh_checkout, gcloud, monkeypatch, name, content):
    monkeypatch.setattr(source, "ROOT", fresh_checkout.root)
    (fresh_checkout.root / name).write_text(content)
    result = deploy_sh(*CLOUD_RUN)
    assert result.status == 1
    assert result.stderr.count("\n") == 1
    assert name in result.stderr
    assert gcloud.calls == []
