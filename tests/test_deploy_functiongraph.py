"""`deploy.sh functiongraph`: the requests to FunctionGraph's API, what a deployment keeps, and rejected requests."""

import itertools
import json
import shutil
import signal

import pytest
from helpers.deployment import DRY_RUN_ENDS, FUNCTIONGRAPH, PROJECT_ID, TOKEN, Result, run_in_bash
from helpers.fake_functiongraph import FakeFunctionGraph, code_in
from helpers.http_stub import StubResponse

from deploy import package
from testing.function_server import free_port

EVENT = (*FUNCTIONGRAPH, "--event")
PREFIX = f"urn:fss:cn-north-4:{PROJECT_ID}:function:default:"
FUNCTIONS = f"/v2/{PROJECT_ID}/fgs/functions"
LIMITS = {"memory_size": 512, "timeout": 60}
CODE = {"code_type": "zip", "code_filename": "ddm-precheck.zip"}
CREATE_ONLY = {"package": "default", "type": "v2"}
AGENCY = ("--agency", "ddm-reader", "--allow", f"{PROJECT_ID}/*")
AGENCY_VARIABLES = {"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": f"{PROJECT_ID}/*"}
TOPIC = f"urn:smn:cn-north-4:{PROJECT_ID}:ddm"
TO_TOPIC = {"destination": "SMN", "param": json.dumps({"topic_urn": TOPIC})}
TO_FUNCTION = {"destination": "FunctionGraph", "param": json.dumps({"func_urn": f"{PREFIX}alert:latest"})}
# For each kind of function: the options, the name, what is always in its config, and the requests to create it.
KINDS = {
    "HTTP": (
        FUNCTIONGRAPH,
        "ddm-precheck",
        {"func_name": "ddm-precheck", "runtime": "http", "handler": "bootstrap"},
        ["GET config", "POST functions", "PUT config"],
    ),
    "event": (
        EVENT,
        "ddm-precheck-event",
        {"func_name": "ddm-precheck-event", "runtime": "Python3.12", "handler": "event_function.handler"},
        ["GET config", "POST functions", "PUT async-invoke-config"],
    ),
}
UPDATE_NAMES = ["GET config", "PUT code", "PUT config"]
# What an operator has set in the console or through the API.
OPERATORS_SETTINGS = {
    "memory_size": 256,
    "timeout": 900,
    "description": "ours",
    "func_vpc": {"vpc_id": "v", "subnet_id": "s"},
    "mount_config": {"mount_user": {"user_id": -1, "user_group_id": -1}, "func_mounts": [{"mount_type": "sfs"}]},
    "network_controller": {"disable_public_network": True},
    "xrole": "operators-agency",
    "app_xrole": "another-agency",
    "initializer_handler": "event_function.initializer",
    "initializer_timeout": 30,
    "enable_dynamic_memory": True,
    "enable_lts_log": False,
    "lts_custom_tag": {"team": "db"},
}
CONCURRENCY = {"concurrency": 3, "concurrent_num": 100}
both_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def deploy(deploy_sh):
    """A function that runs deploy.sh with the API and a token."""

    def run(api, *arguments):
        return deploy_sh(*arguments, FUNCTIONGRAPH_ENDPOINT=f"{api.url}/", HUAWEICLOUD_TOKEN=TOKEN)

    return run


def existing(kind, **fields):
    """Return the config of a function of a kind, as the API returns it."""
    return {**KINDS[kind][2], **LIMITS, "user_data": "", "strategy_config": {"concurrency": -1}, **fields}


@both_kinds
def test_the_first_run_creates_and_the_second_updates(deploy, kind):
    options, name, config, created_names = KINDS[kind]
    options = (*options, "--ddm-region", "cn-north-4", "--env", "DDM_EXPECTED_CHECKS=8")
    with FakeFunctionGraph() as api:
        for names in (created_names, created_names + UPDATE_NAMES):
            result = deploy(api, *options)
            assert (result.status, api.names) == (0, names)
            assert f"deployed: {PREFIX}{name}\n" in result.stdout
    user_data = json.dumps({"DDM_REGION": "cn-north-4", "DDM_EXPECTED_CHECKS": "8"})
    created, code = api.body("POST functions"), api.body("PUT code")
    assert {code_in(created), code_in(code)} == {b"the package"}
    for body in (created, code):
        del body["func_code"]
    assert created == {**config, **LIMITS, **CODE, **CREATE_ONLY, "user_data": user_data}
    assert code == CODE
    strategy = {"concurrency": -1, "concurrent_num": 64} if kind == "HTTP" else {"concurrency": -1}
    assert api.body("PUT config") == {**config, **LIMITS, "user_data": user_data, "strategy_config": strategy}
    paths = {f"{FUNCTIONS}/{PREFIX}{name}{end}" for end in ("/config", "/code", "/async-invoke-config")} | {FUNCTIONS}
    assert {request.path for request in api.requests} <= paths
    assert {request.headers["x-auth-token"] for request in api.requests} == {TOKEN}
    assert TOKEN not in result.stdout + result.stderr
    assert api.tokens_in_arguments == []


@pytest.mark.parametrize(
    ("kind", "setting"),
    [*itertools.product(KINDS, OPERATORS_SETTINGS), ("HTTP", "enable_auth_in_header"), ("HTTP", "strategy_config")],
)
def test_a_deployment_never_takes_back_a_setting(deploy, kind, setting):
    settings = {**OPERATORS_SETTINGS, "enable_auth_in_header": True, "strategy_config": CONCURRENCY}
    function = existing(kind, **{setting: settings[setting]})
    with FakeFunctionGraph(function=function) as api:
        assert deploy(api, *KINDS[kind][0], "--env", "DDM_EXPECTED_CHECKS=8").status == 0
    assert api.function == {**api.function, **function, "user_data": '{"DDM_EXPECTED_CHECKS": "8"}'}


@both_kinds
def test_a_deployment_never_takes_back_a_variable(deploy, kind):
    variables = {"DDM_TIMEOUT_SECONDS": "20", "DDM_REGION": "cn-north-1", "HTTPS_PROXY": "http://proxy:3128"}
    with FakeFunctionGraph(function=existing(kind, timeout=70, user_data=json.dumps(variables))) as api:
        assert deploy(api, *KINDS[kind][0], "--env", "DDM_REGION=cn-north-4").status == 0
    assert json.loads(api.function["user_data"]) == {**variables, "DDM_REGION": "cn-north-4"}


def test_settings_without_content_are_not_sent(deploy):
    empty = {"func_vpc": {"vpc_id": ""}, "mount_config": {"func_mounts": None}, "xrole": "", "description": None}
    with FakeFunctionGraph(function=existing("HTTP", **empty)) as api:
        assert deploy(api, *FUNCTIONGRAPH).status == 0
    assert not empty.keys() & api.body("PUT config").keys()


def test_the_event_function_keeps_its_limit_of_instances(deploy):
    """An event function handles one request at a time, so concurrent_num is not sent."""
    with FakeFunctionGraph(function=existing("event", strategy_config=CONCURRENCY)) as api:
        assert deploy(api, *EVENT).status == 0
    assert api.body("PUT config")["strategy_config"] == {"concurrency": 3}


@pytest.mark.parametrize(
    ("options", "current", "timeout"),
    [
        ((), {"timeout": 30}, 60),
        (("--env", "DDM_MAX_WAIT_SECONDS=3600", "--env", "DDM_TIMEOUT_SECONDS=59.5"), {}, 3670),
        (("--env", "DDM_TIMEOUT_SECONDS=30"), {"user_data": '{"DDM_MAX_WAIT_SECONDS": "100"}'}, 140),
    ],
    ids=str,
)
def test_a_timeout_that_is_too_short_is_raised(deploy, options, current, timeout):
    with FakeFunctionGraph(function=existing("HTTP", **current)) as api:
        assert deploy(api, *FUNCTIONGRAPH, *options).status == 0
    assert api.function["timeout"] == timeout


@both_kinds
@pytest.mark.parametrize("exists", [False, True], ids=["create", "update"])
def test_an_agency(deploy, kind, exists):
    """The function gets the agency's token: in a header if it is an HTTP function, from the context otherwise."""
    options, *_, created = KINDS[kind]
    with FakeFunctionGraph(function=existing(kind) if exists else None) as api:
        result = deploy(api, *options, *AGENCY)
    assert (result.status, api.names) == (0, UPDATE_NAMES if exists else created)
    config = api.function
    assert (config["xrole"], config["app_xrole"]) == ("ddm-reader", "ddm-reader")
    assert config.get("enable_auth_in_header") == (True if kind == "HTTP" else None)
    assert json.loads(config["user_data"]) == AGENCY_VARIABLES
    assert '"token"' not in result.call  # the function has one


def test_another_agency(deploy):
    """Its token replaces that of the earlier agency. The agency for FunctionGraph itself stays."""
    variables = {"DDM_TOKEN_SOURCE": "/a/file", "DDM_ALLOWED_INSTANCES": "a/b"}
    function = existing("event", xrole="for-the-vpc", app_xrole="old", user_data=json.dumps(variables))
    with FakeFunctionGraph(function=function) as api:
        assert deploy(api, *EVENT, *AGENCY).status == 0
    assert (api.function["xrole"], api.function["app_xrole"]) == ("for-the-vpc", "ddm-reader")
    assert json.loads(api.function["user_data"]) == AGENCY_VARIABLES


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ((), {"max_async_retry_attempts": 3}),
        (("--retries", "0"), {"max_async_retry_attempts": 0}),
        (
            ("--on-success", TOPIC, "--on-failure", f"{PREFIX}alert:latest"),
            {
                "max_async_retry_attempts": 3,
                "destination_config": {"on_success": TO_TOPIC, "on_failure": TO_FUNCTION},
            },
        ),
    ],
    ids=["defaults", "no retries", "destinations"],
)
def test_asynchronous_configuration_of_a_new_function(deploy, options, sent):
    with FakeFunctionGraph() as api:
        assert deploy(api, *EVENT, *options).status == 0
    assert api.asynchronous == {"max_async_event_age_in_seconds": 86_400, **sent}


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ((), {}),
        (("--retries", "2"), {"max_async_retry_attempts": 2}),
        (("--on-success", TOPIC), {"destination_config": {"on_success": TO_TOPIC, "on_failure": TO_FUNCTION}}),
        (("--on-failure", TOPIC), {"destination_config": {"on_failure": TO_TOPIC}}),
    ],
    ids=["no option", "retries", "on success", "on failure"],
)
def test_a_deployment_never_takes_back_the_asynchronous_configuration(deploy, options, changed):
    current = {
        "max_async_retry_attempts": 1,
        "max_async_event_age_in_seconds": 600,
        "enable_async_status_log": True,
        "destination_config": {"on_failure": TO_FUNCTION},
    }
    read_only = {"func_urn": "urn", "created_time": "2026", "last_modified": "2026"}
    with FakeFunctionGraph(function=existing("event")) as api:
        api.asynchronous = {**current, **read_only}
        assert deploy(api, *EVENT, *options).status == 0
    assert api.asynchronous == ({**current, **changed} if options else {**current, **read_only})


def test_an_existing_function_without_asynchronous_configuration(deploy):
    with FakeFunctionGraph(function=existing("event")) as api:
        assert deploy(api, *EVENT).status == 0
        assert api.asynchronous is None
        assert deploy(api, *EVENT, "--on-failure", TOPIC).status == 0
    assert api.asynchronous["destination_config"] == {"on_failure": TO_TOPIC}


@both_kinds
@pytest.mark.parametrize("options", [(), (*AGENCY, "--env", "DDM_MAX_WAIT_SECONDS=100")], ids=["defaults", "agency"])
def test_a_dry_run_prints_the_requests(deploy, deploy_sh, kind, options):
    """The requests to create and to update a function are those that are sent."""
    with FakeFunctionGraph() as api:
        for _ in range(2):
            deploy(api, *KINDS[kind][0], *options)
    sent = [(request.method, request.path, request.body) for request in api.requests]
    endpoint = "https://functiongraph.{region}.example/base/"
    result = deploy_sh(*KINDS[kind][0], *options, "--dry-run", FUNCTIONGRAPH_ENDPOINT=endpoint)
    assert (result.status, result.stderr, result.last_line) == (0, "", DRY_RUN_ENDS)
    base = "https://functiongraph.cn-north-4.example/base"
    assert result.commands == [f"{method} {base}{path}" for method, path, _ in sent]
    bodies = [body for *_, body in sent if body is not None]
    for body in bodies:
        if "func_code" in body:
            body["func_code"]["file"] = "<base64 of ddm-precheck.zip>"
        if "strategy_config" in body:  # in a dry run, the API's own value is not known
            body["strategy_config"].pop("concurrency")
    printed = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("  {")]
    for body in (bodies[-1], printed[-1]):
        body.pop("strategy_config", None)
    assert printed == bodies


def test_a_dry_run_of_later_asynchronous_options(deploy_sh):
    result = deploy_sh(*EVENT, "--retries", "1", "--on-failure", TOPIC, "--dry-run")
    body = {"max_async_retry_attempts": 1, "destination_config": {"on_failure": TO_TOPIC}}
    printed = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("  {")]
    assert printed[-1] == body
    assert [command.split()[0] for command in result.commands[-2:]] == ["GET", "PUT"]


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="curl or jq is missing")
@both_kinds
@pytest.mark.parametrize("options", [(), (*AGENCY, "--ddm-region", "cn-north-4")], ids=["token", "agency"])
def test_the_printed_command_works(deploy, kind, options):
    """It sends an event to the invocations API, for the HTTP function as API Gateway does."""
    answer = {"statusCode": 200, "body": "eyJ2ZXJkaWN0IjogIlBBU1MifQ=="} if kind == "HTTP" else {"verdict": "PASS"}
    with FakeFunctionGraph({"POST invocations": StubResponse(200, answer)}) as api:
        result = deploy(api, *KINDS[kind][0], *options)
        output = run_in_bash(result.call, HUAWEICLOUD_TOKEN=TOKEN)
    request = api.requests[-1]
    assert json.loads(output) == {"verdict": "PASS"}
    assert request.path == f"{FUNCTIONS}/{PREFIX}{KINDS[kind][1]}/invocations"
    assert request.headers["x-auth-token"] == TOKEN
    event = json.loads(request.body["body"]) if kind == "HTTP" else request.body
    ids = {"project_id": "PROJECT_ID", "instance_id": "INSTANCE_ID", "db_name": "orders", "job_id": "JOB_ID"}
    assert event == (ids if options else {**ids, "region": "DDM_REGION", "token": TOKEN})
    assert TOKEN not in result.stdout
    assert api.tokens_in_arguments == []


@pytest.mark.parametrize(("options", "other"), [(FUNCTIONGRAPH, "event"), (EVENT, "HTTP")], ids=["HTTP", "event"])
def test_a_function_of_the_other_kind_is_left_alone(deploy, options, other):
    with FakeFunctionGraph(function=existing(other)) as api:
        result = deploy(api, *options)
    assert (result.status, api.names) == (1, ["GET config"])
    assert "and a runtime cannot be changed: choose another --name" in result.stderr.splitlines()[-1]


def test_a_region_without_the_runtime(deploy):
    response = StubResponse(400, {"error_code": "FSS.1005", "error_msg": "Invalid runtime"})
    with FakeFunctionGraph({"POST functions": response}) as api:
        result = deploy(api, *EVENT)
    assert (result.status, api.names) == (1, ["GET config", "POST functions"])
    assert result.stderr.splitlines()[-1] == (
        "deploy.sh: FunctionGraph does not offer the runtime Python3.12 in cn-north-4 (FSS.1005):"
        " choose another --region, and set --ddm-region to the region of DDM"
    )


@both_kinds
def test_a_function_that_was_created_but_not_configured(deploy, kind):
    """The line says what to do: a later deployment would keep the platform's defaults."""
    options, *_, names = KINDS[kind]
    with FakeFunctionGraph({names[-1]: StubResponse(403, {"error_code": "FSS.0403", "error_msg": "No"})}) as api:
        result = deploy(api, *options)
    assert (result.status, api.names) == (1, names)
    assert result.stderr.endswith("403 FSS.0403: No; the function is incomplete: delete it, and deploy again\n")


REJECTIONS = {
    "token in the response": (
        "GET config",
        StubResponse(401, {"error_code": "A.1", "error_msg": f"Token\n{TOKEN[:9]}\u200b{TOKEN[9:]}"}),
        "401 A.1: Token ***",
    ),
    "404 of a gateway": (
        "GET config",
        StubResponse(404, {"error_code": "APIGW.0101", "error_msg": "API not found"}),
        "404 APIGW.0101: API not found",
    ),
    "redirect": ("PUT code", StubResponse(307, None, (("Location", "http://127.0.0.1:9/"),)), "307 no error_code"),
    "not JSON": ("PUT code", StubResponse(502, "<html>"), "not a JSON object: check FUNCTIONGRAPH_ENDPOINT"),
    "variables": ("GET config", StubResponse(200, existing("HTTP", user_data="{")), "user_data"),
}


@pytest.mark.parametrize(("name", "response", "message"), REJECTIONS.values(), ids=list(REJECTIONS))
def test_a_rejection_is_one_line(deploy, name, response, message):
    """The last line has the API's error code and message without the token, and no request follows."""
    with FakeFunctionGraph({name: response}, existing("HTTP")) as api:
        result = deploy(api, *FUNCTIONGRAPH)
    assert (result.status, result.stdout, api.names) == (1, "", UPDATE_NAMES[: UPDATE_NAMES.index(name) + 1])
    *requests, last = result.stderr.splitlines()
    assert [line.split()[1] for line in requests] == [name.split()[0] for name in api.names]
    assert last.startswith("deploy.sh: ")
    assert message in last
    assert TOKEN not in result.stderr


def test_an_api_that_does_not_respond_is_one_line(deploy_sh):
    endpoint = f"http://127.0.0.1:{free_port()}"
    result = deploy_sh(*FUNCTIONGRAPH, FUNCTIONGRAPH_ENDPOINT=endpoint, HUAWEICLOUD_TOKEN=TOKEN)
    assert (result.status, result.stderr.count("\n")) == (1, 2)
    assert "no response" in result.stderr


def test_ctrl_c_is_no_traceback(deploy_sh, monkeypatch):
    monkeypatch.setattr(package, "run", lambda: signal.raise_signal(signal.SIGINT))
    assert deploy_sh(*FUNCTIONGRAPH, "--package-only") == Result(130, "", "")


@both_kinds
@pytest.mark.parametrize("agency", [{}, {"xrole": "a"}, {"app_xrole": "a"}], ids=str)
def test_warning_of_a_missing_agency(deploy, kind, agency):
    variables = ("--env=DDM_TOKEN_SOURCE=agency", f"--env=DDM_ALLOWED_INSTANCES={PROJECT_ID}/*")
    with FakeFunctionGraph(function=existing(kind, **agency)) as api:
        result = deploy(api, *KINDS[kind][0], *variables)
    assert ("the function has no agency" in result.stderr) == (not agency)
