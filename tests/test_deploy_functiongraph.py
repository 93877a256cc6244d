"""`deploy.sh functiongraph`: the requests to FunctionGraph's API, the values that they keep, and refused requests."""

import json
import signal
import socket
import subprocess
import sys

import pytest
from helpers.deployment import DRY_RUN_ENDS, FUNCTIONGRAPH, PROJECT_ID, TOKEN, Checkout, Result
from helpers.fake_functiongraph_api import ApiResponse, FakeFunctionGraph, code_in

from testing.function_server import free_port

URN = f"urn:fss:cn-north-4:{PROJECT_ID}:function:default:ddm-precheck"
FUNCTIONS = f"/v2/{PROJECT_ID}/fgs/functions"
BASE = {"func_name": "ddm-precheck", "runtime": "http", "handler": "bootstrap", "memory_size": 512, "timeout": 60}
CONFIG = {**BASE, "strategy_config": {"concurrent_num": 64}}
CODE = {"code_type": "zip", "code_filename": "ddm-precheck.zip"}
CREATE_ONLY = {"package": "default", "type": "v2"}
AGENCY = ("--agency", "ddm-reader", "--allow", f"{PROJECT_ID}/*")
AGENCY_VARIABLES = {"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": f"{PROJECT_ID}/*"}
HTTP_FUNCTION = {"runtime": "http", "memory_size": 512, "timeout": 30, "user_data": ""}
ELSEWHERE = {"Location": "http://127.0.0.1:9/elsewhere"}
CREATE_NAMES = ["GET config", "POST functions", "PUT config"]
UPDATE_NAMES = ["GET config", "PUT code", "PUT config"]


def send_requests(checkout: Checkout, endpoint: str, *options: str) -> Result:
    """Run only the last step of deploy.sh: the package is built already."""
    environment = {"HUAWEICLOUD_TOKEN": TOKEN, "HTTP_PROXY": "http://127.0.0.1:9"}
    return checkout.execute([*deploy_command(endpoint), *options], checkout.root, **environment)


def deploy_command(endpoint: str) -> list[str]:
    """Return the command of the last step of deploy.sh."""
    command = [sys.executable, "-B", "-m", "deploy.functiongraph", "--endpoint", endpoint, *FUNCTIONGRAPH[1:]]
    return [*command, "--name", "ddm-precheck"]


def test_the_first_run_creates_and_the_second_updates(checkout, built_checkout, local_wheels):
    """Both runs set 64 requests per instance and keep the limit of instances. Only one header contains the token.

    The first run also builds the package.
    """
    options = (*FUNCTIONGRAPH, "--ddm-region", "cn-north-4", "--ddm-endpoint=https://ddm.{region}.example")
    with FakeFunctionGraph() as api:
        secrets = {"HUAWEICLOUD_TOKEN": TOKEN, "FUNCTIONGRAPH_ENDPOINT": f"{api.url}/"}
        results = [each.run(*options, **secrets, **local_wheels) for each in (checkout, built_checkout)]
    assert [result.status for result in results] == [0, 0]
    assert {result.last_line for result in results} == {f"deployed: {URN}"}
    assert [(request.name, request.path) for request in api.requests] == [
        ("GET config", f"{FUNCTIONS}/{URN}/config"),
        ("POST functions", FUNCTIONS),
        ("PUT config", f"{FUNCTIONS}/{URN}/config"),
        ("GET config", f"{FUNCTIONS}/{URN}/config"),
        ("PUT code", f"{FUNCTIONS}/{URN}/code"),
        ("PUT config", f"{FUNCTIONS}/{URN}/config"),
    ]
    _, created, first, _, code, second = (request.body for request in api.requests)
    user_data = json.dumps({"DDM_REGION": "cn-north-4", "DDM_ENDPOINT": "https://ddm.{region}.example"})
    assert {code_in(created), code_in(code)} == {checkout.package.read_bytes()}
    for body in (created, code):
        del body["func_code"]
    assert created == {**BASE, **CODE, **CREATE_ONLY, "user_data": user_data}
    assert code == CODE
    strategy = {"concurrency": -1, "concurrent_num": 64}
    assert first == second == {**BASE, "user_data": user_data, "strategy_config": strategy}
    assert {request.token for request in api.requests} == {TOKEN}


def test_the_token_is_printed_and_stored_nowhere(checkout, local_wheels):
    """The token is in no argument of a process, no output and no file of the repository."""
    with FakeFunctionGraph() as api:
        secrets = {"HUAWEICLOUD_TOKEN": TOKEN, "FUNCTIONGRAPH_ENDPOINT": api.url}
        result = checkout.run(*FUNCTIONGRAPH, **secrets, **local_wheels)
    assert (result.status, api.names) == (0, CREATE_NAMES)
    assert api.tokens_in_arguments == []
    assert TOKEN not in result.stdout + result.stderr
    files = [path for path in checkout.root.rglob("*") if path.is_file()]
    assert [path.name for path in files if TOKEN.encode() in path.read_bytes()] == ["deployment.py"]


@pytest.mark.parametrize("function", [None, dict(HTTP_FUNCTION)], ids=["create", "update"])
def test_an_agency_and_all_variables(built_checkout, function):
    """The config has the agency, the flag for the agency's token, and the variables of --agency, --allow and --env."""
    assignments = ("--env", "K_SINK=https://sink.example/a,b", "--env=DDM_EXPECTED_CHECKS=8")
    with FakeFunctionGraph(function=function) as api:
        secrets = {"HUAWEICLOUD_TOKEN": TOKEN, "FUNCTIONGRAPH_ENDPOINT": api.url}
        result = built_checkout.run(*FUNCTIONGRAPH, *AGENCY, *assignments, **secrets)
    assert (result.status, api.names) == (0, UPDATE_NAMES if function else CREATE_NAMES)
    config = api.requests[-1].body
    assert (config["xrole"], config["enable_auth_in_header"]) == ("ddm-reader", True)
    expected = {**AGENCY_VARIABLES, "K_SINK": "https://sink.example/a,b", "DDM_EXPECTED_CHECKS": "8"}
    assert json.loads(config["user_data"]) == expected
    if not function:
        assert api.requests[1].body["xrole"] == "ddm-reader"


@pytest.mark.parametrize(
    ("options", "current", "timeout"),
    [
        ((), {}, 60),
        ((), {"timeout": 900}, 900),
        (("--env", "DDM_MAX_WAIT_SECONDS=40"), {}, 60),
        (("--env", "DDM_MAX_WAIT_SECONDS=41"), {}, 61),
        (("--env", "DDM_MAX_WAIT_SECONDS=3600", "--env", "DDM_TIMEOUT_SECONDS=59.5"), {}, 3670),
        (("--env", "DDM_TIMEOUT_SECONDS=30"), {"user_data": '{"DDM_MAX_WAIT_SECONDS": "100"}'}, 140),
        ((), {"user_data": '{"DDM_MAX_WAIT_SECONDS": 100}'}, 120),
        (("--env", "DDM_MAX_WAIT_SECONDS=100"), {"timeout": 90}, 120),
    ],
    ids=str,
)
def test_a_request_fits_into_the_timeout(built_checkout, options, current, timeout):
    """The timeout covers the wait, a request to DDM, the sink and 5 seconds more. It is at least 60 seconds."""
    with FakeFunctionGraph(function=HTTP_FUNCTION | current) as api:
        result = send_requests(built_checkout, api.url, *options)
    assert (result.status, api.requests[-1].body["timeout"]) == (0, timeout)


def test_an_update_keeps_what_no_option_sets(built_checkout):
    """Variables, larger limits, the limit of instances and the agency are kept. Unknown fields are not sent."""
    variables = {"DDM_TIMEOUT_SECONDS": "20", "DDM_REGION": "cn-north-1", "MY_OWN": "value"}
    kept = {"memory_size": 1024, "timeout": 300, "xrole": "another-agency", "enable_auth_in_header": True}
    strategy = {"concurrency": 3, "concurrent_num": 100, "new_field": "x"}
    function = {"runtime": "http", "description": "ours", "user_data": json.dumps(variables), **kept}
    with FakeFunctionGraph(function=function | {"strategy_config": strategy}) as api:
        result = send_requests(built_checkout, api.url, "--env", "DDM_REGION=cn-north-4")
    assert (result.status, api.names) == (0, UPDATE_NAMES)
    user_data = json.dumps({**variables, "DDM_REGION": "cn-north-4"})
    assert api.requests[-1].body == {**CONFIG, **kept, "user_data": user_data, "strategy_config": strategy}


@pytest.mark.parametrize(
    ("current", "sent"),
    [
        (None, {"concurrent_num": 64}),
        ({}, {"concurrent_num": 64}),
        ({"concurrency": 0, "concurrent_num": 1}, {"concurrency": 0, "concurrent_num": 64}),
        ({"concurrency": 10}, {"concurrency": 10, "concurrent_num": 64}),
        ({"concurrency": -1, "concurrent_num": 63}, {"concurrency": -1, "concurrent_num": 64}),
        ({"concurrency": -1, "concurrent_num": 65}, {"concurrency": -1, "concurrent_num": 65}),
        ({"concurrency": 5, "concurrent_num": -1}, {"concurrency": 5, "concurrent_num": -1}),
    ],
    ids=str,
)
def test_64_requests_per_instance_or_more(built_checkout, current, sent):
    """A smaller number is raised to 64. A larger number, no limit (-1) and the limit of instances are kept."""
    with FakeFunctionGraph(function=HTTP_FUNCTION | {"strategy_config": current}) as api:
        assert send_requests(built_checkout, api.url).status == 0
    assert api.requests[-1].body["strategy_config"] == sent


@pytest.mark.parametrize(
    ("function", "warns"),
    [
        (None, True),
        (HTTP_FUNCTION, True),
        (HTTP_FUNCTION | {"xrole": ""}, True),
        (HTTP_FUNCTION | {"xrole": "ddm-reader", "enable_auth_in_header": True}, False),
    ],
    ids=["create", "no agency", "empty agency", "agency"],
)
def test_warning_of_a_missing_agency(built_checkout, function, warns):
    """If the function expects the token of an agency and has no agency, a line after the requests says so."""
    assignments = [f"--env={name}={value}" for name, value in AGENCY_VARIABLES.items()]
    with FakeFunctionGraph(function=function and dict(function)) as api:
        result = send_requests(built_checkout, api.url, *assignments)
    assert (result.status, result.last_line) == (0, f"deployed: {URN}")
    lines = [line for line in result.stderr.splitlines() if not line.startswith("+ ")]
    warning = "the function has no agency, so it gets no token: deploy with --agency and --allow instead of --env"
    assert lines == ([f"deploy.sh: warning: DDM_TOKEN_SOURCE is agency, but {warning}"] if warns else [])


def test_an_agency_replaces_another_one(built_checkout):
    """The options replace the agency and the variables of an earlier deployment."""
    variables = {"DDM_TOKEN_SOURCE": "/a/file", "DDM_ALLOWED_INSTANCES": "a/b"}
    function = HTTP_FUNCTION | {"xrole": "another", "enable_auth_in_header": False, "user_data": json.dumps(variables)}
    with FakeFunctionGraph(function=function) as api:
        assert send_requests(built_checkout, api.url, *AGENCY).status == 0
    config = api.requests[-1].body
    assert (config["xrole"], config["enable_auth_in_header"]) == ("ddm-reader", True)
    assert json.loads(config["user_data"]) == AGENCY_VARIABLES


@pytest.mark.parametrize("options", [(), (*AGENCY, "--env", "DDM_MAX_WAIT_SECONDS=100")], ids=["defaults", "agency"])
def test_a_dry_run_prints_the_requests_and_sends_none(built_checkout, options):
    """A dry run prints the requests to create and to update the function, changes no file and needs no token."""
    before = built_checkout.files()
    result = built_checkout.run(*FUNCTIONGRAPH, *options, "--dry-run")
    functions = f"https://functiongraph.cn-north-4.myhuaweicloud.com{FUNCTIONS}"
    assert (result.status, result.stderr, result.last_line) == (0, "", DRY_RUN_ENDS)
    assert result.commands == [
        f"GET {functions}/{URN}/config",
        f"POST {functions}",
        f"PUT {functions}/{URN}/config",
        f"GET {functions}/{URN}/config",
        f"PUT {functions}/{URN}/code",
        f"PUT {functions}/{URN}/config",
    ]
    created, first, code, second = (json.loads(line) for line in result.stdout.splitlines() if line.startswith("  "))
    variables = {**AGENCY_VARIABLES, "DDM_MAX_WAIT_SECONDS": "100"} if options else {}
    base = {**BASE, "timeout": 120 if options else 60, "user_data": json.dumps(variables)}
    agency = {"xrole": "ddm-reader"} if options else {}
    in_header = {"enable_auth_in_header": True} if options else {}
    file = {"func_code": {"file": "<base64 of ddm-precheck.zip>"}}
    assert created == {**base, **agency, **CODE, **file, **CREATE_ONLY}
    assert first == second == {**base, **agency, **in_header, "strategy_config": {"concurrent_num": 64}}
    assert code == {**CODE, **file}
    assert built_checkout.files() == before


def refusal(name: str, status: int, body: object, message: str, **headers: str):
    """Return a row of REFUSALS for an update: the response, the requests up to the refusal, part of the last line."""
    return {name: ApiResponse(status, body, headers)}, UPDATE_NAMES[: UPDATE_NAMES.index(name) + 1], message


REFUSALS = {
    "forbidden": refusal(
        "GET config", 403, {"error_code": "FSS.0403", "error_msg": "Forbidden"}, "403 FSS.0403: Forbidden"
    ),
    "token in the response": refusal(
        "GET config",
        401,
        {"error_code": "APIGW.0307", "error_msg": f"Token {TOKEN}\nis wrong"},
        "401 APIGW.0307: Token *** is wrong",
    ),
    "token with an invisible character": refusal(
        "GET config",
        401,
        {"error_code": "APIGW.0307", "error_msg": f"{TOKEN[:9]}\u200b{TOKEN[9:]}"},
        "401 APIGW.0307: ***",
    ),
    "another 404": refusal(
        "GET config", 404, {"error_code": "APIGW.0101", "error_msg": "API not found"}, "404 APIGW.0101: API not found"
    ),
    "not JSON": refusal("GET config", 502, "<html>", "502 no error_code: no error_msg"),
    "redirect": refusal("GET config", 302, "", "302 no error_code: no error_msg", **ELSEWHERE),
    "redirect of PUT code": refusal("PUT code", 307, "", "307 no error_code: no error_msg", **ELSEWHERE),
    "code too large": refusal(
        "PUT code", 413, {"error_code": "FSS.0413", "error_msg": "Too large."}, "413 FSS.0413: Too large."
    ),
    "config refused": refusal(
        "PUT config", 400, {"error_code": "FSS.1007", "error_msg": "Bad memory."}, "400 FSS.1007: Bad memory."
    ),
    "created by another run": (
        {
            "GET config": ApiResponse(404, ""),
            "POST functions": ApiResponse(409, {"error_code": "FSS.0409", "error_msg": "It exists."}),
        },
        ["GET config", "POST functions"],
        "409 FSS.0409: It exists.",
    ),
    "created function that is not JSON": (
        {"GET config": ApiResponse(404, ""), "POST functions": ApiResponse(200, "<html>")},
        ["GET config", "POST functions"],
        "is not a JSON object: check FUNCTIONGRAPH_ENDPOINT",
    ),
    "updated code that is not JSON": refusal("PUT code", 200, "<html>", "is not a JSON object"),
    "updated config that is not an object": refusal("PUT config", 200, "[]", "is not a JSON object"),
    "empty config": refusal("GET config", 200, "", "config cannot be read"),
    "config refused after a create": (
        {
            "GET config": ApiResponse(404, ""),
            "PUT config": ApiResponse(403, {"error_code": "FSS.0403", "error_msg": "Forbidden"}),
        },
        CREATE_NAMES,
        "403 FSS.0403: Forbidden",
    ),
    "config that is not JSON": refusal("GET config", 200, "<html>", "is not a JSON object"),
    "truncated config": refusal("GET config", 200, '{"runtime": "http"}', "no response", **{"Content-Length": "200"}),
    "truncated refusal": refusal(
        "GET config", 403, '{"error_code": "FSS.0403"}', "no response", **{"Content-Length": "200"}
    ),
    "another kind of function": refusal(
        "GET config", 200, HTTP_FUNCTION | {"runtime": "Python3.9"}, "is not an HTTP function"
    ),
    "memory that is not a number": refusal("GET config", 200, HTTP_FUNCTION | {"memory_size": "2048"}, "memory_size"),
    "timeout that is not a number": refusal("GET config", 200, HTTP_FUNCTION | {"timeout": [1]}, "timeout"),
    "variables that are not JSON": refusal("GET config", 200, HTTP_FUNCTION | {"user_data": "{"}, "user_data"),
    "variables that are nested too deeply": refusal(
        "GET config", 200, HTTP_FUNCTION | {"user_data": "[" * 100_000}, "user_data"
    ),
    "absurd size": refusal("GET config", 200, "{}", "no response", **{"Content-Length": "9" * 30}),
    "size beyond the memory": refusal("GET config", 200, "{}", "no response", **{"Content-Length": "9" * 18}),
    "negative chunk size": refusal("GET config", 200, "-5\r\n", "no response", **{"Transfer-Encoding": "chunked"}),
    "error code that is not a text": refusal(
        "GET config",
        404,
        {"error_code": {"x": TOKEN}, "error_msg": "Forbidden"},
        "404 an error_code that is not a text: Forbidden",
    ),
    "message that is not a text": refusal(
        "GET config", 403, {"error_code": "FSS.0403", "error_msg": {"x": TOKEN}}, "403 FSS.0403: no error_msg"
    ),
    **{
        f"{name} {value!r}": refusal("GET config", 200, HTTP_FUNCTION | {name: value}, name)
        for name, value in [
            *(("user_data", 0), ("user_data", False), ("user_data", []), ("user_data", {})),
            *(("strategy_config", ""), ("strategy_config", False), ("memory_size", False), ("timeout", "")),
        ]
    },
    "variables that are not an object": refusal("GET config", 200, HTTP_FUNCTION | {"user_data": "[]"}, "user_data"),
    "strategy that is not an object": refusal(
        "GET config", 200, HTTP_FUNCTION | {"strategy_config": [64]}, "strategy_config"
    ),
    "concurrency that is not a number": refusal(
        "GET config", 200, HTTP_FUNCTION | {"strategy_config": {"concurrent_num": "64"}}, "concurrent_num"
    ),
    "concurrency that is true": refusal(
        "GET config", 200, HTTP_FUNCTION | {"strategy_config": {"concurrent_num": True}}, "concurrent_num"
    ),
    "a variable that prevents the start": refusal(
        "GET config", 200, HTTP_FUNCTION | {"user_data": '{"DDM_REGION": "CN"}'}, "DDM_REGION must be"
    ),
    "a token source without instances": refusal(
        "GET config", 200, HTTP_FUNCTION | {"user_data": '{"DDM_TOKEN_SOURCE": "agency"}'}, "DDM_ALLOWED_INSTANCES"
    ),
    "too many variables": refusal(
        "GET config", 200, HTTP_FUNCTION | {"user_data": json.dumps({"A": "a" * 5000})}, "5,009 characters"
    ),
}


@pytest.mark.parametrize(("responses", "names", "message"), REFUSALS.values(), ids=list(REFUSALS))
def test_a_refusal_is_one_line(built_checkout, responses, names, message):
    """The last line has the API's error code and message without the token, and no request follows."""
    with FakeFunctionGraph(responses, dict(HTTP_FUNCTION)) as api:
        result = send_requests(built_checkout, api.url)
    assert (result.status, result.stdout, api.names) == (1, "", names)
    *requests, last = result.stderr.splitlines()
    assert [line.split()[:2] for line in requests] == [["+", name.split()[0]] for name in names]
    assert last.startswith("deploy.sh: ")
    assert message in last
    assert TOKEN not in result.stderr


def test_deploy_sh_reports_a_refusal(built_checkout):
    """After a refusal, the exit status of deploy.sh is 1, and its last line has the API's error."""
    response = ApiResponse(403, {"error_code": "FSS.0403", "error_msg": "Forbidden"})
    with FakeFunctionGraph({"GET config": response}) as api:
        result = built_checkout.run(*FUNCTIONGRAPH, FUNCTIONGRAPH_ENDPOINT=api.url, HUAWEICLOUD_TOKEN=TOKEN)
    assert (result.status, api.names) == (1, ["GET config"])
    assert result.stderr.splitlines()[-1].endswith("403 FSS.0403: Forbidden")


def test_an_api_that_does_not_respond_is_one_line(built_checkout):
    """If there is no connection, the error is one line without a traceback."""
    result = send_requests(built_checkout, f"http://127.0.0.1:{free_port()}")
    assert result.status == 1
    assert "no response" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


def test_ctrl_c_is_no_traceback(built_checkout):
    """After SIGINT, the program exits with 130 and prints nothing more."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = deploy_command(f"http://127.0.0.1:{silent.getsockname()[1]}")
        environment = built_checkout.environment(HUAWEICLOUD_TOKEN=TOKEN)
        with subprocess.Popen(
            command, cwd=built_checkout.root, env=environment, stderr=subprocess.PIPE, text=True
        ) as process:
            first = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            rest = process.stderr.read()
    assert first.startswith("+ GET ")
    assert (process.returncode, rest) == (130, "")


def test_the_region_is_filled_into_the_endpoint(built_checkout):
    """FUNCTIONGRAPH_ENDPOINT may contain {region}, as the default does."""
    endpoint = "https://functiongraph.{region}.example/base/"
    result = built_checkout.run(*FUNCTIONGRAPH, "--dry-run", FUNCTIONGRAPH_ENDPOINT=endpoint)
    assert result.commands[0].startswith("GET https://functiongraph.cn-north-4.example/base/v2/")
