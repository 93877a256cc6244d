"""The branches and polls of the example flows, run by their engines with the served function and the fake DDM."""

import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from helpers.fake_function import INVALID_RESPONSES, FakeFunction
from helpers.flows import (
    ENGINES,
    EXAMPLES,
    MAX_POLLS,
    End,
    Engine,
    Job,
    environment,
    node_red,
    pipeline,
    run_pipeline,
)
from helpers.function import EVENT_WITHOUT_TOKEN, TOKEN, ServedFunction

from testing.fake_behaviours import after, results
from testing.fake_ddm import FakeDDM
from testing.function_server import free_port

pytestmark = pytest.mark.engines


@dataclass(frozen=True)
class Case:
    """One event: its ``db_name`` and other fields, its last branch, and the number of requests that DDM receives."""

    db_name: str
    branch: str
    requests: int = 1
    same_as: str | None = None
    """Another ``db_name`` with the same last response, if the responses for ``db_name`` change with each request."""

    fields: tuple[tuple[str, Any], ...] = ()


CASES: Final = {
    "pass": Case("pass", "go"),
    "pass-with-expected-checks": Case("pass", "go", fields=(("expected_checks", 2),)),
    "incomplete": Case("pass", "error", MAX_POLLS, fields=(("expected_checks", 3),)),
    "warn": Case("warn", "approval"),
    "fail": Case("fail", "stop"),
    "pending-then-pass": Case("pending_twice", "go", 3, "pass"),
    "pending-then-pass-in-one-request": Case("pending_once", "go", 2, "pass", (("wait_seconds", 6),)),
    "still-pending": Case("pending", "error", MAX_POLLS),
    "throttled": Case("throttled", "error", MAX_POLLS),
    "expired-token": Case("unauthorized", "error"),
    "malformed-event": Case("No Schema", "error", 0),
}


@dataclass(frozen=True)
class Run:
    """The end of each case in an engine, and the tokens of the requests that DDM received for the case."""

    engine: str
    ends: dict[str, End]
    tokens: dict[str, list[str]]
    log_entries: list[dict[str, Any]]


@pytest.fixture(scope="module", params=ENGINES)
def run(
    request: pytest.FixtureRequest,
    served_function: ServedFunction,
    fake_ddm_server: FakeDDM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """One run of an engine with the events of all cases. Each event has its own job."""
    events = {name: event_for(case.db_name, **dict(case.fields)) for name, case in CASES.items()}
    fake_ddm_server.reset()
    behaviours = fake_ddm_server.behaviours
    behaviours["pending_once"] = after(1, results(), behaviours["pass"])
    served_function.new_log_lines()
    jobs = [Job(event) for event in events.values()]
    ends = ENGINES[request.param](served_function.url, jobs, tmp_path_factory.mktemp("engine"))
    requests = list(fake_ddm_server.requests)
    tokens = {name: [each.token for each in requests if each.job_id == job["job_id"]] for name, job in events.items()}
    entries = [json.loads(line) for line in served_function.new_log_lines()]
    return Run(request.param, dict(zip(CASES, ends, strict=True)), tokens, entries)


def event_for(db_name: str, **fields: Any) -> dict[str, Any]:
    """Return an event without a token, for a new job."""
    return EVENT_WITHOUT_TOKEN | {"db_name": db_name, "job_id": str(uuid.uuid4())} | fields


@pytest.mark.parametrize("name", CASES)
def test_each_response_ends_in_its_branch(run: Run, name: str, served_function: ServedFunction):
    """Each response ends in the right branch, which receives the message, the issues and the report."""
    case, end = CASES[name], run.ends[name]
    last = served_function.send_event(case.same_as or case.db_name, **dict(case.fields)).body
    if run.engine == "workflows" and name == "warn":
        # No approval arrives.
        assert (end.branch, end.message) == ("stop", f"Not approved - {last['message']}")
    elif run.engine == "workflows" and name == "expired-token":
        # After a 401, the emulator tries to renew its own credentials. It has none, so the flow gets no response.
        assert end.branch == case.branch
    else:
        names = tuple(issue["name"] for issue in last.get("issues", ()))
        assert (end.branch, end.message, end.issues) == (case.branch, last["message"], names)
    if case.branch in {"approval", "stop"}:
        assert without_job(end.report) == without_job(last["report"])


def without_job(report: str | None) -> list[str]:
    """Return the lines of a report without the second, which has the job and the time."""
    lines = (report or "").splitlines()
    return lines[:1] + lines[2:]


@pytest.mark.parametrize("name", CASES)
def test_ddm_receives_as_many_requests_as_needed_with_the_stored_token(run: Run, name: str):
    """Polling stops at the verdict or after the max number of polls. Every request has the stored token."""
    assert run.tokens[name] == [TOKEN] * CASES[name].requests


def test_wait_seconds_replaces_polls(run: Run):
    """With ``wait_seconds``, the function receives one request, and sends two requests to DDM."""
    entries = [entry for entry in run.log_entries if entry["db_name"] == "pending_once"]
    assert [(entry["verdict"], entry["duration_ms"] >= 5000) for entry in entries] == [("PASS", True)]


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_an_invalid_response_is_never_go(engine: Engine, tmp_path: Path):
    """If another server responds at the URL, the flow ends in its error branch."""
    with FakeFunction() as fake_function:
        ends = engine(fake_function.url, [Job(event_for(name)) for name in INVALID_RESPONSES], tmp_path)
    branches = {name: end.branch for name, end in zip(INVALID_RESPONSES, ends, strict=True)}
    assert branches == dict.fromkeys(INVALID_RESPONSES, "error")


# The emulator is omitted: it exits if the connection fails, while Workflows raises ConnectionFailedError.
@pytest.mark.parametrize("engine", [pipeline, node_red], ids=["pipeline", "node-red"])
def test_no_response_is_an_error(engine: Engine, tmp_path: Path):
    """If the function cannot be reached, the flow ends in its error branch."""
    url = f"http://127.0.0.1:{free_port()}/"
    assert [end.branch for end in engine(url, [Job(event_for("pass"))], tmp_path)] == ["error"]


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({"DDM_PRECHECK_URL": ""}, 2, id="no-url"),
        pytest.param({"DDM_TOKEN": ""}, 2, id="no-token"),
        pytest.param({"MAX_POLLS": "0"}, 2, id="no-polls"),
        pytest.param({"MAX_WAIT_SECONDS": "soon"}, 2, id="invalid-wait"),
        pytest.param({"PATH": "/nowhere"}, 2, id="no-curl"),
        pytest.param({"MAX_POLLS": "1"}, 3, id="still-pending"),
    ],
)
def test_the_pipeline_distinguishes_errors_from_pending(
    served_function: ServedFunction, settings: dict[str, str], status: int
):
    """Exit status 2 is an error. Exit status 3 is a precheck that has not finished. Neither of them means "stop"."""
    run = run_pipeline(event_for("pending"), environment(served_function.url) | settings)
    assert run.returncode == status, run.stderr


def sample_events() -> dict[str, dict[str, Any]]:
    """Return the sample event of each flow."""
    red = json.loads((EXAMPLES / "node-red.json").read_text())
    (inject,) = (node for node in red if node["type"] == "inject" and node["name"] == "Event")
    n8n = json.loads((EXAMPLES / "n8n.json").read_text())
    (settings,) = (node for node in n8n["nodes"] if node["name"] == "Settings")
    fields = {field["name"]: field["value"] for field in settings["parameters"]["assignments"]["assignments"]}
    head = (EXAMPLES / "google-workflows.yaml").read_text()
    workflow = head[head.index("--data='") + len("--data='") : head.index("}}'") + 2].replace("\n#", "")
    return {
        "event.json": json.loads((EXAMPLES / "event.json").read_text()),
        "node-red": json.loads(inject["payload"]),
        "n8n": json.loads(fields["event"].removeprefix("=")),
        "workflows": yaml.safe_load(workflow)["event"],
    }


@pytest.mark.parametrize("flow", ["event.json", "node-red", "n8n", "workflows"])
def test_the_sample_event_is_complete_and_fits_the_timeouts(flow: str):
    """Each sample has the number of checks and no token. Its wait is less than the flow's timeout of 60 s."""
    event = sample_events()[flow]
    assert event["expected_checks"] >= 2
    assert event["wait_seconds"] == 40
    assert "token" not in event
