"""The script eventgrid.sh, with a stub of EventGrid. Its requests are valid for the models of the vendor's SDK."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest
from helpers import tool_cache
from helpers.client_models import model_errors
from helpers.function import EVENT_WITHOUT_TOKEN, ROOT, TOKEN
from helpers.http_stub import HTTPStub, StubRequest, StubResponse

from testing.function_server import clean_environment

SCRIPT: Final = ROOT / "examples" / "huawei" / "eventgrid.sh"
SDK: Final = "3.1.219"
APP_CODE: Final = "A-SECRET-APP-CODE"
VARIABLES: Final = {
    "PROJECT_ID": "p1",
    "REGION": "cn-north-4",
    "FUNCTION_URL": "https://trigger.example/ddm-precheck",
    "HUAWEICLOUD_TOKEN": TOKEN,
    "APP_CODE": APP_CODE,
}
MODELS: Final = {
    "/v1/p1/channels": "ChannelCreateReq",
    "/v1/p1/sources": "CustomizeSourceCreateReq",
    "/v1/p1/subscriptions": "SubscriptionCreateReq",
}


def respond(request: StubRequest) -> StubResponse:
    """Respond as EventGrid does to a create request."""
    return StubResponse(201, {"id": f"id-of-{request.path.rpartition('/')[2]}", "name": request.body["name"]})


def run_script(endpoint: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run the script. Fails if the script prints a secret."""
    for tool in ("curl", "jq"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    environment = clean_environment() | VARIABLES | {"EVENTGRID_ENDPOINT": endpoint} | variables
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert not any(secret in done.stdout + done.stderr for secret in (TOKEN, APP_CODE))
    return done


def test_requests():
    """The script creates a channel, a source and a subscription."""
    with HTTPStub(respond) as server:
        done = run_script(server.url)
    assert done.returncode == 0, done.stderr
    assert [(each.method, each.path) for each in server.requests] == [("POST", path) for path in MODELS]
    assert {each.headers["x-auth-token"] for each in server.requests} == {TOKEN}
    _, source, subscription = (each.body for each in server.requests)
    assert source["channel_id"] == subscription["channel_id"] == "id-of-channels"
    (target,) = subscription["targets"]
    assert target["apigw_detail"]["url"] == VARIABLES["FUNCTION_URL"]
    (header,) = target["apigw_detail"]["invocation_http_parameters"]["header_parameters"]
    assert header == {"key": "X-Apig-AppCode", "value": APP_CODE, "is_value_secret": True}


def test_bodies_are_those_of_the_sdk():
    """No body has a field that the SDK does not know."""
    with HTTPStub(respond) as server:
        run_script(server.url)
    values = [{"model": MODELS[each.path], "value": each.body} for each in server.requests]
    assert [each["model"] for each in values] == list(MODELS.values())
    packages = tool_cache.packages(f"huaweicloudsdkeg-{SDK}", "--no-deps", f"huaweicloudsdkeg=={SDK}")
    assert model_errors(packages, "huaweicloudsdkeg.v1", values) == []


@pytest.mark.parametrize("status", [307, 401, 409, 500])
def test_a_refused_request_ends_the_script(status: int):
    """The script stops at the first response with an error or a redirect. It does not follow the redirect."""
    with HTTPStub(respond) as target:
        location = (("Location", f"{target.url}/v1/p1/channels"),)
        with HTTPStub(lambda _: StubResponse(status, {"error_code": "EG.1"}, location)) as server:
            done = run_script(server.url)
        assert (done.returncode != 0, len(server.requests), target.requests) == (True, 1, [])


@pytest.mark.parametrize("variable", VARIABLES)
def test_missing_variable(variable: str):
    """If a variable is missing, the script names it and sends nothing."""
    with HTTPStub(respond) as server:
        done = run_script(server.url, **{variable: ""})
    assert (done.returncode != 0, server.requests) == (True, [])
    assert f"{variable} is not set" in done.stderr


def test_no_secret_is_an_argument(tmp_path: Path):
    """Neither curl nor jq has the token or the AppCode among its arguments."""
    record = tmp_path / "arguments"
    for name in ("curl", "jq"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{record}\nexec {shutil.which(name)} "$@"\n')
        program.chmod(0o755)
    with HTTPStub(respond) as server:
        assert run_script(server.url, PATH=f"{tmp_path}:{os.environ['PATH']}").returncode == 0
    arguments = record.read_text()
    assert f"{server.url}/v1/p1/subscriptions" in arguments
    assert not any(secret in arguments for secret in (TOKEN, APP_CODE))


def test_the_events_in_the_comment_are_events_of_the_function():
    """The data in the script's comment has the required fields of an event, and no token."""
    comment = SCRIPT.read_text()
    assert all(f'"{name}"' in comment for name in EVENT_WITHOUT_TOKEN)
    assert '"token"' not in comment
