"""pipeline.sh shows neither the token nor the event in the process list, and sends an identity."""

import os
import shutil
from pathlib import Path

import pytest
from helpers.flows import Job, environment, run_pipeline
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, ServedFunction
from helpers.http_stub import HTTPStub, StubResponse

pytestmark = pytest.mark.engines


def test_no_argument_contains_the_token_or_the_job(served_function: ServedFunction, tmp_path: Path):
    record, programs = tmp_path / "arguments", tmp_path / "programs"
    programs.mkdir()
    for name in ("curl", "jq"):
        program = programs / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name}" "$@" >>{record}\nexec {shutil.which(name)} "$@"\n')
        program.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    variables = environment(served_function.url, PATH=path, ACCEPTED_WARNINGS='["DB instance time zone"]')
    assert run_pipeline(Job(EVENT_WITHOUT_TOKEN | {"db_name": "warn"}), variables).returncode == 0
    arguments = record.read_text()
    assert {"curl", "jq", served_function.url} <= set(arguments.splitlines())
    assert TOKEN not in arguments
    assert EVENT["job_id"] not in arguments


def test_a_private_function_gets_the_identity_of_the_caller():
    with HTTPStub(lambda _: StubResponse(200, {"can_proceed": True})) as stub:
        variables = environment(stub.url, IDENTITY_TOKEN="an-identity")
        assert run_pipeline(Job(EVENT_WITHOUT_TOKEN | {"db_name": "pass"}), variables).returncode == 0
    headers = stub.requests[0].headers
    assert headers["authorization"] == "Bearer an-identity"
    assert headers["x-auth-token"] == TOKEN
