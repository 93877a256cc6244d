"""`deploy.sh cloud-run`: one call of gcloud with documented flags, and a printed command that calls the function."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.deployment import (
    CLOUD_RUN,
    DRY_RUN_ENDS,
    PROJECT_ID,
    ROOT,
    TOKEN,
    Checkout,
    GcloudStub,
    Result,
    launcher,
    make_path,
)
from helpers.fake_functiongraph_api import ApiResponse, FakeFunctionGraph

ALLOWED = f"{PROJECT_ID}/instance-1,{PROJECT_ID}/instance-2,other/*"
TOKEN_FILE = "DDM_TOKEN_SOURCE=/secrets/ddm-token/token"
MOUNT = ("--update-secrets", "/secrets/ddm-token/token=ddm-token:latest")
# Options, and the parts of the call of gcloud that depend on them: service, access, timeout, variables, further flags.
CALLS = {
    "defaults": ((), "ddm-precheck", "--no-allow-unauthenticated", "60s", "THREADS=64", ()),
    "service, access, region and endpoint": (
        (
            *("--service=precheck-2", "--allow-unauthenticated", "--ddm-region", "cn-north-4"),
            *("--ddm-endpoint=https://ddm.{region}.example", "--service-account", "ddm@demo.iam.gserviceaccount.com"),
        ),
        "precheck-2",
        "--allow-unauthenticated",
        "60s",
        "THREADS=64,DDM_REGION=cn-north-4,DDM_ENDPOINT=https://ddm.{region}.example",
        ("--service-account", "ddm@demo.iam.gserviceaccount.com"),
    ),
    "variables": (
        ("--env", "DDM_EXPECTED_CHECKS=8", "--env=K_SINK=https://sink.example/a=b"),
        "ddm-precheck",
        "--no-allow-unauthenticated",
        "60s",
        "THREADS=64,DDM_EXPECTED_CHECKS=8,K_SINK=https://sink.example/a=b",
        (),
    ),
    "value with a comma": (
        ("--env", "K_SINK=https://sink.example/a,DDM_REGION=b", "--env", "DDM_REGION=cn-north-4"),
        "ddm-precheck",
        "--no-allow-unauthenticated",
        "60s",
        "^@^THREADS=64@K_SINK=https://sink.example/a,DDM_REGION=b@DDM_REGION=cn-north-4",
        (),
    ),
    "empty value": (
        ("--env", "K_SINK="),
        "ddm-precheck",
        "--no-allow-unauthenticated",
        "60s",
        "THREADS=64,K_SINK=",
        (),
    ),
    "token of a secret": (
        ("--token-secret", "ddm-token", "--allow", ALLOWED),
        "ddm-precheck",
        "--no-allow-unauthenticated",
        "60s",
        f"^@^THREADS=64@{TOKEN_FILE}@DDM_ALLOWED_INSTANCES={ALLOWED}",
        MOUNT,
    ),
    "file that is mounted already": (
        ("--env", "DDM_TOKEN_SOURCE=/a,@b/token", "--env", "DDM_ALLOWED_INSTANCES=a/*"),
        "ddm-precheck",
        "--no-allow-unauthenticated",
        "60s",
        "^;^THREADS=64;DDM_TOKEN_SOURCE=/a,@b/token;DDM_ALLOWED_INSTANCES=a/*",
        (),
    ),
    "wait that fits": (
        ("--env", "DDM_MAX_WAIT_SECONDS=30"),
        *("ddm-precheck", "--no-allow-unauthenticated", "60s", "THREADS=64,DDM_MAX_WAIT_SECONDS=30", ()),
    ),
    "long wait": (
        ("--env", "DDM_MAX_WAIT_SECONDS=300.5", "--env", "DDM_TIMEOUT_SECONDS=20"),
        "ddm-precheck",
        "--no-allow-unauthenticated",
        "331s",
        "THREADS=64,DDM_MAX_WAIT_SECONDS=300.5,DDM_TIMEOUT_SECONDS=20",
        (),
    ),
    "longest wait": (
        ("--env", "DDM_MAX_WAIT_SECONDS=3580"),
        *("ddm-precheck", "--no-allow-unauthenticated", "3600s", "THREADS=64,DDM_MAX_WAIT_SECONDS=3580", ()),
    ),
}
BROKEN_FILES = {
    "main.py": "def precheck(:\n",
    "ddm_precheck/event.py": "import\n",
    "ddm_precheck/settings.py": "def:\n",
    "schemas/event.schema.json": "{",
    "schemas/precheck-result.schema.json": None,
    "ddm_precheck/ddm.py": None,
    "ddm_precheck/memory.py": None,
    "constraints.txt": None,
}


@pytest.fixture
def real_gcloud() -> str:
    """The path of Google's gcloud."""
    return shutil.which("gcloud") or pytest.skip("gcloud is missing")


@pytest.mark.parametrize(
    ("options", "service", "access", "timeout", "assignments", "more"), CALLS.values(), ids=list(CALLS)
)
def test_one_call_of_gcloud(checkout, gcloud, options, service, access, timeout, assignments, more):
    """Gcloud is called once, with the repository as the source. The function's URL and a curl command are printed."""
    result = checkout.run(*CLOUD_RUN, *options, PATH=gcloud.path, HUAWEICLOUD_TOKEN=TOKEN)
    assert (result.status, result.stderr) == (0, "")
    (call,) = gcloud.calls
    assert call == [
        *("run", "deploy", service, "--project", "demo-project", "--region", "europe-west1"),
        *("--source", str(checkout.root), "--function", "precheck", "--base-image", "python313", access),
        *("--concurrency", "64", "--cpu", "1", "--memory", "512Mi", "--timeout", timeout),
        *("--min-instances", "0", "--max-instances", "10", "--update-env-vars", assignments, *more),
        *("--quiet", "--format", "value(status.url)"),
    ]
    assert f"URL: {GcloudStub.url}\n" in result.stdout
    assert TOKEN not in result.stdout


@pytest.mark.parametrize(
    ("options", "source", "instances"),
    [
        (("--token-secret", "ddm-token", "--allow", ALLOWED), "--token-secret", "--allow"),
        (
            ("--env", "DDM_TOKEN_SOURCE=/token", "--env", "DDM_ALLOWED_INSTANCES=a/*"),
            "--env DDM_TOKEN_SOURCE",
            "--env DDM_ALLOWED_INSTANCES",
        ),
    ],
    ids=["own options", "--env"],
)
def test_warning_of_a_public_token(checkout, gcloud, options, source, instances):
    """A public function with the platform's token is deployed, and one line warns of the consequence."""
    result = checkout.run(*CLOUD_RUN, "--allow-unauthenticated", *options, PATH=gcloud.path)
    assert result.status == 0
    warning = f"everybody on the internet can use the token of {source} for the instances in {instances}"
    assert result.stderr == f"deploy.sh: warning: {warning}\n"


@pytest.mark.parametrize(
    ("options", "private", "has_token", "region"),
    [
        ((), True, True, "DDM_REGION"),
        (("--allow-unauthenticated",), False, True, "DDM_REGION"),
        (("--ddm-region", "cn-north-4"), True, True, None),
        (("--env", "DDM_REGION=cn-north-4"), True, True, None),
        (("--token-secret", "ddm-token", "--allow", ALLOWED), True, False, "DDM_REGION"),
    ],
    ids=["private", "public", "region", "region as a variable", "token of a secret"],
)
def test_the_printed_command(checkout, gcloud, options, private, has_token, region):
    """The printed command has the caller's identity and an IAM token, if they are required, and placeholders."""
    line = checkout.run(*CLOUD_RUN, *options, PATH=gcloud.path).last_line
    assert ("$HUAWEICLOUD_TOKEN" in line) == has_token
    command = shlex.split(line.rpartition(" | ")[2])
    assert command[:5] == ["curl", "-sS", "-X", "POST", GcloudStub.url]
    assert ("Authorization: Bearer $(gcloud auth print-identity-token)" in command) == private
    event = json.loads(command[-1])
    assert (event["db_name"], event["project_id"], event.get("region")) == ("orders", "PROJECT_ID", region)


def test_the_printed_command_works(checkout, gcloud):
    """The printed command sends the sample event with both tokens. No process has the IAM token in its arguments."""
    if not shutil.which("curl"):
        pytest.skip("curl is missing")
    result = checkout.run(*CLOUD_RUN, PATH=gcloud.path)
    path = f"{gcloud.path}{os.pathsep}{os.environ['PATH']}"
    with FakeFunctionGraph({"POST ": ApiResponse(200, {"verdict": "PASS"})}) as server:
        line = result.last_line.replace(GcloudStub.url, server.url)
        environment = checkout.environment(PATH=path, HUAWEICLOUD_TOKEN=TOKEN, no_proxy="127.0.0.1")
        output = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, check=True).stdout
    (request,) = server.requests
    assert (json.loads(output), request.token, request.body["db_name"]) == ({"verdict": "PASS"}, TOKEN, "orders")
    assert request.authorization == f"Bearer {GcloudStub.url}"  # the stub prints the same for all arguments
    assert server.tokens_in_arguments == []


@pytest.mark.parametrize("options", [options for options, *_ in CALLS.values()], ids=list(CALLS))
def test_a_dry_run_prints_the_exact_call(checkout, gcloud, options):
    """The printed command is the command that runs without --dry-run. A dry run calls no gcloud and changes no file."""
    before = checkout.files()
    dry_run = checkout.run(*CLOUD_RUN, *options, "--dry-run", PATH=gcloud.path)
    assert (dry_run.status, dry_run.stderr, dry_run.last_line, gcloud.calls) == (0, "", DRY_RUN_ENDS, [])
    assert "https://SERVICE_URL" in dry_run.stdout
    assert GcloudStub.url not in dry_run.stdout
    assert checkout.files() == before
    checkout.run(*CLOUD_RUN, *options, PATH=gcloud.path)
    assert [shlex.split(command) for command in dry_run.commands] == [["gcloud", *call] for call in gcloud.calls]


@pytest.mark.parametrize("options", [options for options, *_ in CALLS.values()], ids=list(CALLS))
def test_gcloud_accepts_every_printed_command(checkout, real_gcloud, options):
    """Gcloud's own linter finds no mistake in the printed command and in the command inside the printed curl."""
    result = checkout.run(*CLOUD_RUN, *options, "--dry-run")
    commands = [*result.commands]
    assert len(commands) == 1
    if "print-identity-token" in result.stdout:
        commands.append("gcloud auth print-identity-token")
    for command in commands:
        lint = [real_gcloud, "meta", "lint-gcloud-commands", f"--command-string={command}"]
        output = subprocess.run(lint, env=checkout.environment(), capture_output=True, text=True, check=True).stdout
        assert [(found["success"], found["error_message"]) for found in json.loads(output)] == [(True, None)]


def test_gclouds_own_parser_splits_the_variables(checkout, real_gcloud):
    """Gcloud's parser of --update-env-vars returns each value unchanged, including a value with a comma."""
    result = checkout.run(*CLOUD_RUN, *CALLS["value with a comma"][0], "--dry-run")
    words = shlex.split(result.commands[0])
    assignments = words[words.index("--update-env-vars") + 1]
    library = str(Path(real_gcloud).resolve().parent.parent / "lib")
    program = (
        f"import sys; sys.path[:0] = [{library!r}, {library + '/third_party'!r}];"
        "from googlecloudsdk.calliope import arg_parsers; import json;"
        "print(json.dumps(arg_parsers.ArgDict()(sys.argv[1])))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, assignments]
    parsed = subprocess.run(command, env=checkout.environment(), capture_output=True, text=True, check=False)
    if parsed.returncode:
        pytest.skip(f"gcloud's parser cannot be imported: {parsed.stderr.splitlines()[-1]}")
    assert json.loads(parsed.stdout) == {
        "THREADS": "64",
        "K_SINK": "https://sink.example/a,DDM_REGION=b",
        "DDM_REGION": "cn-north-4",
    }


def test_only_the_function_is_uploaded(fresh_checkout: Checkout, real_gcloud):
    """Gcloud uploads the function and its requirements, and no other file of the repository."""
    for name in ("dist/a.zip", ".venv/a.py", ".env", "ddm_precheck/__pycache__/a.pyc", "schemas/old/a.json", "a.log"):
        (fresh_checkout.root / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh_checkout.root / name).touch()
    command = [real_gcloud, "meta", "list-files-for-upload", str(fresh_checkout.root)]
    environment = fresh_checkout.environment()
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    patterns = ("main.py", "ddm_precheck/*.py", "schemas/*.schema.json", "requirements.txt", "constraints.txt")
    needed = [path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)]
    assert sorted(output.splitlines()) == sorted(needed)


def test_a_failure_of_gcloud_is_reported(checkout, make_gcloud):
    """The last line says that gcloud failed, and no URL is printed."""
    result = checkout.run(*CLOUD_RUN, PATH=make_gcloud(status=3).path)
    assert result == Result(1, "", "deploy.sh: gcloud run deploy failed\n")


def test_a_missing_gcloud_is_reported(checkout, tmp_path):
    """One line says that gcloud is missing. A dry run does not need gcloud."""
    path = make_path(tmp_path / "tools", python3=launcher(sys.executable))
    result = checkout.run(*CLOUD_RUN, PATH=path)
    assert result == Result(1, "", "deploy.sh: gcloud is missing: install the Google Cloud CLI\n")
    dry_run = checkout.run(*CLOUD_RUN, "--dry-run", PATH=path)
    assert (dry_run.status, dry_run.stderr, dry_run.last_line) == (0, "", DRY_RUN_ENDS)
    assert dry_run.commands[0].startswith("gcloud run deploy ")


@pytest.mark.parametrize(("name", "content"), BROKEN_FILES.items(), ids=list(BROKEN_FILES))
def test_a_broken_file_is_reported_before_the_upload(fresh_checkout, gcloud, name, content):
    """One line names the file, and gcloud is not called."""
    (fresh_checkout.root / name).unlink()
    if content:
        (fresh_checkout.root / name).write_text(content)
    result = fresh_checkout.run(*CLOUD_RUN, PATH=gcloud.path)
    assert (result.status, result.stdout, result.stderr.count("\n"), gcloud.calls) == (1, "", 1, [])
    assert name in result.stderr
