"""The samples in the pages: the events have the documented responses, and the commands work."""

import json
import re
import subprocess
from string import Template

import pytest
from helpers.flows import path_with_recorders
from helpers.function import TOKEN
from helpers.http_stub import HTTPStub, StubRequest, StubResponse
from helpers.markdown import FIRST_PRECHECK, LOW_CODE, OPERATIONS, PAGES, README, README_CN, REFERENCE

from deploy import cli
from testing.function_server import clean_environment

JOB_ID = "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90"
SYNCHRONOUS_CHECK = {"name": "Binlog retention", "status": "SUCCESS"}
IAM_PASSWORD, DB_PASSWORD = "Secret-of-IAM-1", "Secret-of-DB-2"
INPUT = ["my-account", "my-user", IAM_PASSWORD, "node-1 node-2", "9", "my-db-user", DB_PASSWORD]
STEPS = ("settings", "user", "token", "nodes", "start", "call")
EVENT = README.json("event")
WARNING = REFERENCE.json("event fields: accepted")
CHANGING = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|(?<="request_id": ")[^"]+')


@pytest.fixture
def respond(start):
    """Return the function's response to an event, of which the region decides the endpoint."""
    return lambda event: start(DDM_REGION=None).send(event)


def without_changing_values(body) -> str:
    """Return the text of a response without the values that differ from run to run."""
    return CHANGING.sub("*", json.dumps(body, ensure_ascii=False))


def test_summary(respond):
    """The reference shows the summary for the README's event. It shows the report separately, and omits the checks."""
    response = respond(EVENT).summary
    shown = REFERENCE.json("response: event of README.md")
    (omitted,) = shown.pop("checks")
    assert f"all {len(response.pop('checks'))} checks" in omitted
    shown["report"] = REFERENCE.code("report: event of README.md").removesuffix("\n")
    assert without_changing_values(shown) == without_changing_values(response)


def test_accepted_warning(respond):
    shown = REFERENCE.json("response fields: accepted")
    response = respond(EVENT | WARNING).summary
    assert shown == {name: response[name] for name in shown}


def test_report_of_a_warning(respond):
    """The low-code page shows the report that a person reads before the approval."""
    report = respond(EVENT | WARNING | {"accepted_warnings": []}).summary["report"]
    shown = LOW_CODE.code("report: accepted without its list")
    assert CHANGING.sub("*", shown) == CHANGING.sub("*", report) + "\n"


def test_problem(respond):
    response = respond({name: value for name, value in EVENT.items() if name != "job_id"})
    assert json.dumps(REFERENCE.json("response: invalid")) == json.dumps(response.body)


def test_log_line(respond):
    """The sample log line has the values of a real log line, except the times and the request ID."""
    real, sample = respond(EVENT).log_entry, OPERATIONS.json("event of a log line: README.md event")
    for entry in (real, sample):
        assert entry["upstream"].pop("request_id")
        assert isinstance(entry["upstream"].pop("elapsed_ms") + entry.pop("duration_ms"), int)
    assert json.dumps(real) == json.dumps(sample)


def test_deploy_commands():
    """The command line of ``deploy.sh`` accepts each command of the pages."""
    commands = [words[1:] for page in PAGES for words in page.commands("./deploy.sh")]
    assert {words[0] for words in commands} == {"cloud-run", "functiongraph"}
    variables = {"PROJECT_ID": "0123456789abcdef0123456789abcdef", "REGION": "cn-north-4"}
    for words in commands:
        cli.parse([Template(word).substitute(variables) for word in words])


def test_both_readmes_have_the_same_commands():
    for name in ("event", "send: event", "response fields: event"):
        assert README.code(name) == README_CN.code(name)
    english, chinese = (sorted(page.commands("./deploy.sh")) for page in (README, README_CN))
    assert [words for words in english if "functiongraph" in words] == chinese


def test_curl_of_the_readme(served_function, tmp_path):
    (tmp_path / "event.json").write_text(README.code("event"))
    script = README.code("send: event").replace("http://127.0.0.1:8080", served_function.url)
    response = json.loads(run_script(script, tmp_path).stdout)
    assert list(README.json("response fields: event").items()) == list(response.items())[:5]


def test_first_precheck(served_function, tmp_path):
    """The three requests of the page return the report. No argument of curl or jq contains a secret."""
    with HTTPStub(huawei_cloud) as cloud:
        run = run_script(first_precheck(cloud, served_function.url), tmp_path, INPUT)
    assert (run.stderr, run.returncode) == ("", 0)
    assert "\nFAIL: 1 of 4 checks failed" in run.stdout
    token, precheck = (request.body for request in cloud.requests)
    user = {"name": "my-user", "password": IAM_PASSWORD, "domain": {"name": "my-account"}}
    assert token["auth"]["identity"]["password"]["user"] == user
    assert precheck == {
        "new_shard_number": "9",
        "data_nodes": [{"id": node, "user": "my-db-user", "password": DB_PASSWORD} for node in ("node-1", "node-2")],
    }
    arguments = (tmp_path / "arguments").read_text()
    assert len(re.findall("^curl$", arguments, re.MULTILINE)) == 3
    assert not any(secret in arguments for secret in (IAM_PASSWORD, DB_PASSWORD, TOKEN))


def test_first_precheck_with_a_wrong_password(served_function, tmp_path):
    """Each request that fails shows the reason: IAM's response, DDM's error and the function's problem."""
    with HTTPStub(huawei_cloud) as cloud:
        run = run_script(first_precheck(cloud, served_function.url), tmp_path, [*INPUT[:2], "wrong", *INPUT[3:]])
    assert "The username or password is wrong." in run.stderr
    assert '"error_msg": "Incorrect token."' in run.stdout
    assert '"pointer": "/token"' in run.stdout


def first_precheck(cloud: HTTPStub, function_url: str) -> str:
    settings, *others = (FIRST_PRECHECK.code(f"first precheck: {step}") for step in STEPS)
    for name, url in {"IAM": cloud.url, "DDM": cloud.url, "FUNCTION": function_url}.items():
        settings = re.sub(rf"\b{name}=\S+", f"{name}={url}", settings)
    return "\n".join([settings, *others])


def test_functiongraph_commands(tmp_path):
    """The commands of the operations page for versions and aliases send requests in the order that a rollback needs."""
    blocks = [OPERATIONS.code(f"functiongraph: {name}") for name in ("command", "first", "further", "back")]
    with HTTPStub(huawei_cloud) as cloud:
        script = "\n".join(blocks).replace("https://functiongraph.$REGION.myhuaweicloud.com", cloud.url)
        run = run_script(f"export HUAWEICLOUD_TOKEN={TOKEN}\n{script}", tmp_path)
    assert (run.stderr, run.returncode) == ("", 0)
    assert [(each.method, each.path.rpartition("ddm-precheck-event")[2], each.body) for each in cloud.requests] == [
        ("POST", "/versions", {"version": "v1", "description": "1.0.0"}),
        ("POST", "/aliases", {"name": "live", "version": "v1"}),
        ("POST", "/versions", {"version": "v2", "description": "1.0.1"}),
        ("PUT", "/aliases/live", {"version": "v2"}),
        ("PUT", "/aliases/live", {"version": "v1"}),
        ("GET", "/aliases/live", None),
    ]
    assert TOKEN not in (tmp_path / "arguments").read_text()


def run_script(script: str, folder, lines=()) -> "subprocess.CompletedProcess[str]":
    """Run a script with these lines as its stdin."""
    return subprocess.run(
        ["bash", "-c", f"set -euo pipefail\n{script}"],
        input="".join(f"{line}\n" for line in lines),
        env=clean_environment() | {"PATH": path_with_recorders(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def huawei_cloud(request: StubRequest) -> StubResponse:
    """Respond as IAM, as the start of DDM's precheck, or as an API that accepts everything."""
    if request.path == "/v3/auth/tokens?nocatalog=true":
        if request.body["auth"]["identity"]["password"]["user"]["password"] == IAM_PASSWORD:
            return StubResponse(201, {"token": {}}, (("X-Subject-Token", TOKEN),))
        return StubResponse(401, {"error": {"code": 401, "message": "The username or password is wrong."}})
    if request.headers.get("x-auth-token") != TOKEN:
        return StubResponse(401, {"error_code": "APIGW.0301", "error_msg": "Incorrect token."})
    if re.fullmatch(r"/v3/\w+/instances/\w+/databases/orders/migration/precheck", request.path):
        return StubResponse(202, {"job_id": JOB_ID, "pre_check_results": [SYNCHRONOUS_CHECK]})
    return StubResponse(200, {})
