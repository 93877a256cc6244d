"""The samples in the pages: the events have the documented responses, and the commands work."""

import json
import re
import shlex
import shutil
import subprocess

import pytest
from helpers.function import ROOT, TOKEN
from helpers.loopback_server import LoopbackServer, QuietHandler
from helpers.markdown import DEPLOYING, LOW_CODE, PAGES, README, README_CN, REFERENCE, Page

from testing.function_server import clean_environment

JOB_ID = "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90"
IAM_PASSWORD, DB_PASSWORD = "Secret-of-IAM-1", "Secret-of-DB-2"
NODES_INPUT = ["node-1 node-2", "9", "my-db-user", DB_PASSWORD]
READMES = pytest.mark.parametrize("page", [README, README_CN], ids=["README", "README_CN"])
STEPS = [f"first precheck: {step}" for step in ("settings", "user", "token", "nodes", "start", "call")]
CHANGING = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def without_changing_values(body: dict) -> dict:
    """Return a response without the values that differ from run to run."""
    text = CHANGING.sub("TIME", json.dumps(body))
    body = json.loads(text)
    if body.get("upstream"):
        body["upstream"]["request_id"] = bool(body["upstream"]["request_id"])
    return body


@READMES
def test_first_fields(start, page: Page):
    """The response to the event of the page begins with the fields that the page shows."""
    response = start(DDM_REGION=None).send(page.json("event")).body
    shown = page.json("response fields: event")
    assert list(shown.items()) == list(response.items())[: len(shown)]


def test_whole_summary(start):
    """The reference shows the summary for the README's event. It shows the report separately, and omits the checks."""
    response = start(DDM_REGION=None).send(README.json("event")).summary
    shown = REFERENCE.json("response: event of README.md")
    (checks,) = shown.pop("checks")
    assert f"all {len(response.pop('checks'))} checks" in checks
    shown["report"] = REFERENCE.code("report: event of README.md").removesuffix("\n")
    assert json.dumps(without_changing_values(shown)) == json.dumps(without_changing_values(response))


def test_accepted_warning(start):
    """The response to the event that accepts a warning has the fields that the reference shows."""
    response = start(DDM_REGION=None).send(REFERENCE.json("event: accepted")).summary
    shown = REFERENCE.json("response fields: accepted")
    assert shown == {name: response[name] for name in shown}


def test_report(start):
    """The low-code page shows the report that a person receives before the approval."""
    event = {name: value for name, value in REFERENCE.json("event: accepted").items() if name != "accepted_warnings"}
    report = start(DDM_REGION=None).send(event).summary["report"]
    shown = LOW_CODE.code("report: accepted without its list")
    assert CHANGING.sub("TIME", shown) == CHANGING.sub("TIME", report) + "\n"


def test_problem(start):
    """The response to the event without a required field is the problem that the reference shows."""
    response = start(DDM_REGION=None).send(REFERENCE.json("event: invalid"))
    shown = REFERENCE.json("response: invalid")
    assert (response.status, json.dumps(response.body)) == (shown["status"], json.dumps(shown))


def test_every_sample_is_tested():
    """Each named sample event of the pages has a test above."""
    assert [name for page in PAGES for name in page.names("event")] == ["accepted", "invalid"]


def deploy_commands() -> list[list[str]]:
    """Return the words of each deploy.sh command in the pages."""
    code = "\n".join(code for page in PAGES for code in page.code_blocks("bash")).replace("\\\n", " ")
    return [shlex.split(line)[1:] for line in code.splitlines() if line.startswith("./deploy.sh ")]


def test_options_of_deploy_commands():
    """Each option in a deploy.sh command belongs to that command."""
    known = {(row[0].split()[0], command) for row in DEPLOYING.table("deploy options") for command in commands_of(row)}
    commands = deploy_commands()
    used = {(word, words[0]) for words in commands for word in words if word.startswith("--")}
    assert {words[0] for words in commands} == {"cloud-run", "functiongraph"}
    assert used <= known


def commands_of(row: list[str]) -> list[str]:
    """Return the commands that have the option in this row of the table."""
    return re.findall(r"[a-z-]+", row[1])


def test_dry_run_of_deploy_commands(tmp_path):
    """Each command for Cloud Run passes a dry run. FunctionGraph is omitted: its dry run would build the package."""
    gcloud = tmp_path / "gcloud"
    gcloud.write_text("#!/bin/sh\nexit 1\n")
    gcloud.chmod(0o755)
    environment = clean_environment()
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    commands = [words for words in deploy_commands() if words[0] == "cloud-run"]
    assert len(commands) >= 2
    for words in commands:
        command = [ROOT / "deploy.sh", *words, "--dry-run"]
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
        assert (run.returncode, run.stderr) == (0, "")
        assert run.stdout.startswith("+ gcloud run deploy ddm-precheck ")


@READMES
def test_first_real_precheck(served_function, tmp_path, page: Page):
    """The three requests of the page return the report. No argument of curl or jq contains a secret."""
    with HuaweiCloud() as cloud:
        script = "set -euo pipefail\n" + first_precheck(page, cloud, served_function.url)
        run = run_recorded(script, tmp_path, ["my-account", "my-user", IAM_PASSWORD, *NODES_INPUT])
    assert (run.stderr, run.returncode) == ("", 0)
    assert "Binlog retention" in run.stdout
    assert "\nFAIL: 1 of 3 checks failed" in run.stdout
    assert cloud.user == {"name": "my-user", "password": IAM_PASSWORD, "domain": {"name": "my-account"}}
    assert cloud.precheck == {
        "new_shard_number": "9",
        "data_nodes": [{"id": node, "user": "my-db-user", "password": DB_PASSWORD} for node in ("node-1", "node-2")],
    }
    arguments = (tmp_path / "arguments").read_text()
    assert arguments.count("curl ") == 3
    assert arguments.count("jq ") >= 5
    assert not any(secret in arguments for secret in (IAM_PASSWORD, DB_PASSWORD, TOKEN))


@READMES
def test_first_real_precheck_with_a_wrong_password(served_function, tmp_path, page: Page):
    """Each request that fails shows the reason: IAM's response, DDM's error or the function's problem."""
    with HuaweiCloud() as cloud:
        script = first_precheck(page, cloud, served_function.url)
        run = run_recorded(script, tmp_path, ["my-account", "my-user", "wrong", *NODES_INPUT])
    assert "The username or password is wrong." in run.stderr
    assert '"error_msg": "Incorrect token."' in run.stdout
    assert '"pointer": "/job_id"' in run.stdout
    assert '"pointer": "/token"' in run.stdout


def first_precheck(page: Page, cloud: "HuaweiCloud", function_url: str) -> str:
    """Return the commands of the page's first precheck, with local servers. Skips the test if a tool is missing."""
    for tool in ("curl", "jq"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing")
    settings = page.code(STEPS[0])
    for name, url in {"IAM": cloud.url, "DDM": cloud.url, "FUNCTION": function_url}.items():
        settings = re.sub(rf"\b{name}=\S+", f"{name}={url}", settings)
    return "\n".join([settings, *(page.code(step) for step in STEPS[1:])])


def test_local_samples(served_function):
    """The local samples show an event that accepts a warning, and an event that waits until the list is complete."""
    for tool in ("curl", "jq"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is missing")
    script = README_CN.code("local samples").replace("http://127.0.0.1:8080", served_function.url)
    command = ["bash", "-euo", "pipefail", "-c", script]
    run = subprocess.run(command, env=clean_environment(), capture_output=True, text=True, check=True, timeout=60)
    accepted, waited = (json.loads(line) for line in run.stdout.splitlines())
    assert (accepted["verdict"], accepted["can_proceed"]) == ("WARN", True)
    assert waited["verdict"] not in {"PENDING", "ERROR"}


def test_both_readmes_have_the_same_commands():
    """The Chinese page has the same commands and events as the English page. Only the prompts for input differ."""
    english, chinese = (
        [re.sub(r"read -(rs?p) '[^']*'", r"read -\1", page.code(name)) for name in (*STEPS, "event")]
        for page in (README, README_CN)
    )
    assert english == chinese


def run_recorded(script: str, folder, lines: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run a script with these lines as its stdin. Record the arguments of each curl and jq in ``folder/arguments``."""
    tools = folder / "bin"
    tools.mkdir()
    for tool in ("curl", "jq"):
        wrapper = tools / tool
        wrapper.write_text(
            f'#!/bin/bash\nprintf "%s " {tool} "$@" >>"{folder}/arguments"\nexec {shutil.which(tool)} "$@"\n'
        )
        wrapper.chmod(0o755)
    environment = clean_environment()
    environment["PATH"] = f"{tools}:{environment['PATH']}"
    (folder / "script").write_text(script)
    return subprocess.run(
        ["bash", folder / "script"],
        input="".join(f"{line}\n" for line in lines),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


class HuaweiCloud(LoopbackServer):
    """A fake of IAM and DDM for the first two requests."""

    def __init__(self) -> None:
        super().__init__(_Handler)
        self.user: dict = {}
        self.precheck: dict = {}


class _Handler(QuietHandler):
    server: HuaweiCloud

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v3/auth/tokens?nocatalog=true":
            assert body["auth"]["scope"]["project"]["id"]
            self.server.user = body["auth"]["identity"]["password"]["user"]
            if self.server.user["password"] == IAM_PASSWORD:
                self.respond(201, {"token": {}}, {"X-Subject-Token": TOKEN})
            else:
                self.respond(401, {"error": {"code": 401, "message": "The username or password is wrong."}}, {})
        elif self.headers["X-Auth-Token"] != TOKEN:
            self.respond(401, {"error_code": "APIGW.0301", "error_msg": "Incorrect token."}, {})
        else:
            assert re.fullmatch(r"/v3/\w+/instances/\w+/databases/orders/migration/precheck", self.path)
            self.server.precheck = body
            checks = [{"name": "Binlog retention", "status": "SUCCESS"}]
            self.respond(202, {"job_id": JOB_ID, "pre_check_results": checks}, {})

    def respond(self, status: int, value: object, headers: dict[str, str]) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in ({"Content-Type": "application/json", "Content-Length": str(len(body))} | headers).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)
