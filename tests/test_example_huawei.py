"""The scripts in examples/huawei with a stub of Huawei Cloud's APIs, behind which the function itself runs."""

import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers import tool_cache
from helpers.client_models import model_errors
from helpers.event_function import EventFunction, smn, timer
from helpers.flows import path_with_recorders
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, ROOT, TOKEN
from helpers.http_stub import HTTPStub, StubRequest, StubResponse
from helpers.markdown import TRIGGERS

from testing.function_server import clean_environment

FOLDER = ROOT / "examples" / "huawei"
SDK = "3.1.219"
API_TOKEN = f"API{TOKEN}"
FUNCTIONGRAPH, EVENTGRID, SMN = "/v2/p1/fgs", "/v1/p1", "/v2/p1/notifications"
URN = "urn:fss:cn-north-4:p1:function:default:ddm-precheck-event:latest"
HTTP_URN = URN.replace("-event", "")
TOPIC = "urn:smn:cn-north-4:p1:wanted"
EVENT_TEXT = json.dumps(EVENT_WITHOUT_TOKEN)
VARIABLES = {"PROJECT_ID": "p1", "REGION": "cn-north-4", "HUAWEICLOUD_TOKEN": API_TOKEN, "TOPIC_URN": TOPIC}
DESTINATIONS = {"ON_SUCCESS": "urn:fss:next", "ON_FAILURE": "urn:smn:failed"}


class Script(NamedTuple):
    """A script, its stdin, what it prints, and its requests with the model of the vendor's SDK for each body."""

    command: str
    requests: list[tuple[str, str, str | None]]
    output: str = "1\n"
    stdin: str = ""


SCRIPTS = [
    Script(
        "timer.sh",
        [("POST", f"{FUNCTIONGRAPH}/triggers/{URN}", "functiongraph.v2.CreateFunctionTriggerRequestBody")],
        stdin=EVENT_TEXT,
    ),
    Script("timer.sh delete 1", [("DELETE", f"{FUNCTIONGRAPH}/triggers/{URN}/TIMER/1", None)], ""),
    Script(
        "smn.sh", [("POST", f"{FUNCTIONGRAPH}/triggers/{URN}", "functiongraph.v2.CreateFunctionTriggerRequestBody")]
    ),
    Script(
        "smn.sh publish",
        [("POST", f"{SMN}/topics/{TOPIC}/publish", "smn.v2.PublishMessageRequestBody")],
        stdin=EVENT_TEXT,
    ),
    Script(
        "eventgrid.sh",
        [
            ("POST", f"{EVENTGRID}/channels", "eg.v1.ChannelCreateReq"),
            ("POST", f"{EVENTGRID}/sources", "eg.v1.CustomizeSourceCreateReq"),
            ("POST", f"{EVENTGRID}/subscriptions", "eg.v1.SubscriptionCreateReq"),
        ],
    ),
    Script(
        "eventgrid.sh publish c1", [("POST", f"{EVENTGRID}/channels/c1/events", "eg.v1.PutEventsReq")], "", EVENT_TEXT
    ),
    Script(
        "async.sh",
        [
            (
                "PUT",
                f"{FUNCTIONGRAPH}/functions/{URN}/async-invoke-config",
                "functiongraph.v2.UpdateFunctionAsyncInvokeConfigRequestBody",
            )
        ],
        "",
    ),
    Script("invoke.sh async", [("POST", f"{FUNCTIONGRAPH}/functions/{URN}/invocations-async", None)], stdin=EVENT_TEXT),
    Script("invoke.sh", [("POST", f"{FUNCTIONGRAPH}/functions/{URN}/invocations", None)], "{}\n", EVENT_TEXT),
    Script("invoke.sh http", [("POST", f"{FUNCTIONGRAPH}/functions/{HTTP_URN}/invocations", None)], "{}\n", EVENT_TEXT),
]
SYNCHRONOUS = ("invoke.sh", "invoke.sh http")  # nothing stores their event, so it may have a token
scripts = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.command)


def respond(_: StubRequest) -> StubResponse:
    return StubResponse(201, {"id": "1", "trigger_id": "1", "request_id": "1", "result": "{}"})


def run_script(command: str, url: str, stdin: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Run a script. Fails if it prints a token."""
    for tool in ("curl", "jq"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    endpoints = {f"{service}_ENDPOINT": url for service in ("FUNCTIONGRAPH", "EVENTGRID", "SMN")}
    name, *arguments = command.split()
    done = subprocess.run(
        [FOLDER / name, *arguments],
        input=stdin,
        env=clean_environment() | endpoints | VARIABLES | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert TOKEN not in done.stdout + done.stderr
    return done


def requests_of(script: Script, **variables: str) -> list[StubRequest]:
    """Run a script with an API that accepts each request, and return the requests."""
    with HTTPStub(respond) as server:
        stdin = json.dumps(EVENT) if script.command in SYNCHRONOUS else script.stdin
        done = run_script(script.command, server.url, stdin, **variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, script.output, "")
    return server.requests


@pytest.fixture(scope="module")
def tools(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tools")


@pytest.fixture(scope="module")
def requests(tools) -> dict[str, list[StubRequest]]:
    """The requests of each script. The arguments of curl and jq are in the folder ``tools``."""
    path = path_with_recorders(tools)
    return {script.command: requests_of(script, PATH=path, **DESTINATIONS) for script in SCRIPTS}


def test_requests(requests, tools):
    for script in SCRIPTS:
        sent = requests[script.command]
        assert [(each.method, each.path) for each in sent] == [each[:2] for each in script.requests]
        assert {each.headers["x-auth-token"] for each in sent} == {API_TOKEN}
    recorded = (tools / "arguments").read_text()
    assert URN in recorded
    assert TOKEN not in recorded


def test_bodies_are_those_of_the_sdk(requests):
    """No body has a field that the SDK of the service does not know."""
    names = [f"huaweicloudsdk{name}=={SDK}" for name in ("functiongraph", "eg", "smn")]
    packages = tool_cache.packages(f"huaweicloudsdk-{SDK}", "--no-deps", *names)
    bodies: dict[str, list] = {}
    for script in SCRIPTS:
        for request, (_, _, model) in zip(requests[script.command], script.requests, strict=True):
            if model:
                module, _, name = model.rpartition(".")
                bodies.setdefault(module, []).append({"model": name, "value": request.body})
    errors = [model_errors(packages, f"huaweicloudsdk{module}", values) for module, values in bodies.items()]
    assert errors == [[]] * 3


@scripts
def test_dry_run(script):
    """It prints the requests without a token, sends nothing, and needs no token."""
    with HTTPStub(respond) as server:
        stdin = json.dumps(EVENT) if script.command in SYNCHRONOUS else script.stdin
        done = run_script(script.command, server.url, stdin, DRY_RUN="1", HUAWEICLOUD_TOKEN="")
        assert (done.returncode, server.requests) == (0, [])
    shown = re.findall(r"^([A-Z]+) http://[^/]+(/.*)$", done.stderr, re.MULTILINE)
    assert shown == [each[:2] for each in script.requests]
    assert not script.stdin or EVENT["job_id"] in done.stderr


@scripts
def test_a_redirect_ends_the_script(script):
    """It shows the response, and follows no redirect."""
    with HTTPStub(respond) as target:
        response = StubResponse(307, {"error_code": "FSS.1"}, (("Location", f"{target.url}/"),))
        with HTTPStub(lambda _: response) as server:
            done = run_script(script.command, server.url, script.stdin)
        assert done.returncode != 0
        assert "status 307" in done.stderr
        assert "FSS.1" in done.stderr
        assert (len(server.requests), target.requests) == (1, [])


@pytest.mark.parametrize("command", ["timer.sh", "smn.sh publish", "eventgrid.sh publish c1", "invoke.sh async"])
@pytest.mark.parametrize(
    ("stdin", "reason"),
    [("", "JSON object"), ("{} {}", "JSON object"), (json.dumps(EVENT), "has a token")],
)
def test_an_event_that_must_not_be_stored(command, stdin, reason):
    with HTTPStub(respond) as server:
        done = run_script(command, server.url, stdin)
        assert (done.returncode, server.requests) == (2, [])
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("command", "variables", "message"),
    [
        *(("smn.sh", {name: ""}, f"{name} is not set") for name in VARIABLES),
        ("async.sh", {"RETRIES": "4"}, "RETRIES"),
        ("async.sh", {"MAX_AGE": "1h"}, "MAX_AGE"),
        ("async.sh", {"ON_FAILURE": "my-topic"}, "ON_FAILURE"),
        *((f"{name}.sh other", {}, "usage") for name in ("timer", "smn", "eventgrid", "invoke")),
        ("timer.sh delete", {}, "usage"),
        ("eventgrid.sh publish", {}, "usage"),
    ],
)
def test_usage(command, variables, message):
    with HTTPStub(respond) as server:
        done = run_script(command, server.url, EVENT_TEXT, **variables)
        assert (done.returncode, server.requests) == (2, [])
    assert message in done.stderr


def test_settings_of_asynchronous_invocations(requests):
    destinations = requests["async.sh"][0].body["destination_config"]
    assert json.loads(destinations["on_success"]["param"]) == {"func_urn": DESTINATIONS["ON_SUCCESS"]}
    assert json.loads(destinations["on_failure"]["param"]) == {"topic_urn": DESTINATIONS["ON_FAILURE"]}
    (request,) = requests_of(SCRIPTS[6], RETRIES="2", MAX_AGE="600")
    assert request.body["max_async_retry_attempts"] == 2
    assert request.body["max_async_event_age_in_seconds"] == 600
    assert request.body["destination_config"] == {}


def test_commands_of_the_page(tmp_path):
    """The commands of the page run as they are, except for the deployment."""
    blocks = TRIGGERS.code_blocks("bash", "Huawei FunctionGraph")
    commands = "".join(block for block in blocks if not block.startswith("./deploy.sh "))
    ids = {name.upper(): EVENT[name] for name in ("project_id", "instance_id", "db_name")}
    started = json.dumps({"job_id": EVENT["job_id"], "pre_check_results": []})
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=tmp_path,
        env=clean_environment() | ids | {"REGION": "cn-north-4", "STARTED": started, "DRY_RUN": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    used = set(re.findall(r"examples/huawei/(\w+\.sh)", commands))
    assert used == {path.name for path in FOLDER.glob("*.sh")} - {"common.sh"}


# The requests reach the function


@pytest.fixture
def function(environment, capsys) -> EventFunction:
    return EventFunction(capsys)


def with_token(text: str) -> dict:
    """Return the event in what a script sent. The token is added, as there is no agency here."""
    return json.loads(text) | {"token": TOKEN}


def test_what_is_stored_is_an_event(function, requests):
    (grid,) = requests["eventgrid.sh publish c1"][0].body["events"]
    called = requests["invoke.sh async"][0].body
    for received in (
        timer(with_token(requests["timer.sh"][0].body["event_data"]["user_event"])),
        smn(with_token(requests["smn.sh publish"][0].body["message"])),
        *(each | {"data": with_token(json.dumps(each["data"]))} for each in (grid, called)),
    ):
        assert function(received)["verdict"] == "PASS"


@pytest.mark.parametrize(("db_name", "expected"), [("warn", "WARN"), ("unauthorized", "ERROR")])
def test_invoke_event_function(function, db_name, expected):
    def invoke(request: StubRequest) -> StubResponse:
        assert request.headers["x-cff-request-version"] == "v1"
        return StubResponse(200, {"request_id": "1", "result": json.dumps(function(request.body)), "status": 200})

    with HTTPStub(invoke) as server:
        done = run_script("invoke.sh", server.url, json.dumps(EVENT | {"db_name": db_name}))
    assert json.loads(done.stdout)["verdict"] == expected


@pytest.mark.parametrize("is_base64", [True, False])
def test_invoke_http_function(start, is_base64):
    """FunctionGraph turns the API Gateway event into a request, and the response into a result."""
    http = start()

    def invoke(request: StubRequest) -> StubResponse:
        event = request.body
        response = http.exchange(event["httpMethod"], event["body"].encode(), event["headers"])
        body = base64.b64encode(response.text.encode()).decode() if is_base64 else response.text
        result = {"statusCode": response.status, "headers": {}, "body": body, "isBase64Encoded": is_base64}
        return StubResponse(200, {"request_id": "1", "result": json.dumps(result), "status": 200})

    with HTTPStub(invoke) as server:
        done = run_script("invoke.sh http", server.url, json.dumps(EVENT | {"db_name": "fail"}))
    assert json.loads(done.stdout)["verdict"] == "FAIL"
