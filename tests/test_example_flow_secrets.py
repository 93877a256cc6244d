"""The example flows: process lists and redirects do not receive the token, and no event makes curl read a file."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers.fake_function import FakeFunction
from helpers.flows import Job, environment, node_red, pipeline, run_pipeline
from helpers.function import EVENT, EVENT_WITHOUT_TOKEN, TOKEN, ServedFunction

pytestmark = pytest.mark.engines


@pytest.fixture
def recorded_arguments(tmp_path: Path) -> tuple[Path, str]:
    """A file with the arguments of each call of curl and jq, and a PATH with the programs that write this file."""
    record, programs = tmp_path / "arguments", tmp_path / "programs"
    programs.mkdir()
    for name in ("curl", "jq"):
        if not shutil.which(name):
            pytest.skip(f"{name} is not installed")
        program = programs / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name}" "$@" >>{record}\nexec {shutil.which(name)} "$@"\n')
        program.chmod(0o755)
    return record, f"{programs}:{os.environ['PATH']}"


@pytest.mark.parametrize("event", [EVENT, EVENT_WITHOUT_TOKEN], ids=["token-in-event", "token-in-header"])
def test_no_argument_contains_the_token_or_the_event(
    served_function: ServedFunction, recorded_arguments: tuple[Path, str], event: dict[str, Any]
):
    """Neither curl nor jq has the token or an ID of the event among its arguments."""
    record, path = recorded_arguments
    variables = environment(served_function.url, PATH=path, ACCEPTED_WARNINGS='["DB instance time zone"]')
    assert run_pipeline(event | {"db_name": "warn"}, variables).returncode == 0
    arguments = record.read_text().splitlines()
    assert {"curl", "jq", served_function.url} <= set(arguments)
    assert not any(secret in line for line in arguments for secret in (TOKEN, EVENT["job_id"], EVENT["instance_id"]))


def test_an_event_never_makes_curl_read_a_file(tmp_path: Path):
    """An event that begins with ``@`` and the name of a file is sent without a change."""
    file = tmp_path / "secret"
    file.write_text("content of a file")
    with FakeFunction() as server:
        run = run_pipeline(f"@{file}", environment(server.url))
        assert run.returncode == 2
        assert server.bodies == [f"@{file}".encode()]


@pytest.mark.parametrize("engine", [pipeline, node_red], ids=["pipeline", "node-red"])
def test_no_redirect_is_followed(engine: Any, tmp_path: Path):
    """A redirect ends in the error branch. Its target receives no request, because the request has the token."""
    with FakeFunction() as target, FakeFunction(target.url) as server:
        (end,) = engine(server.url, [Job(EVENT_WITHOUT_TOKEN)], tmp_path)
        assert end.branch == "error"
        assert [headers["x-auth-token"] for headers in server.headers] == [TOKEN]
        assert target.headers == []
