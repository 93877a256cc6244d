"""The example flows, run by their engines with the served function and the fake DDM."""

import json
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from helpers.approver import AS_REQUESTED, AS_REQUESTED_TWICE, NO_APPROVAL
from helpers.fake_function import INVALID_RESPONSES, FakeFunction
from helpers.flows import ENGINES, EXAMPLES, MAX_POLLS, End, Job, environment, path_with_recorders, run_pipeline
from helpers.function import EVENT_WITHOUT_TOKEN, TOKEN, ServedFunction
from helpers.http_stub import HTTPStub, StubResponse
from helpers.markdown import LOW_CODE

from testing.fake_behaviours import (
    BINLOG_WARNS,
    PRIMARY_KEYS,
    PRIMARY_KEYS_FAIL,
    TIME_ZONE_WARNS,
    after,
    check,
    results,
)
from testing.fake_ddm import FakeDDM

pytestmark = pytest.mark.engines

HOSTILE_NAME: Final = "O'Neil's `check` <!channel> @all $(id) → \\ \""
BEHAVIOURS: Final = {
    "same_warning_twice": results(TIME_ZONE_WARNS, TIME_ZONE_WARNS),
    "hostile_name": results(check(HOSTILE_NAME, "WARN")),
    "fails_later": after(1, results(TIME_ZONE_WARNS), results(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS)),
    "warns_more_later": after(1, results(TIME_ZONE_WARNS), results(TIME_ZONE_WARNS, BINLOG_WARNS)),
    "passes_later": after(1, results(TIME_ZONE_WARNS), results(PRIMARY_KEYS)),
    "undocumented_once": after(1, results(check("Primary keys", "RUNNING")), results(PRIMARY_KEYS)),
}
TIME_ZONE_NAME: Final = TIME_ZONE_WARNS["name"]
SYNCHRONOUS_NAME: Final = "Table name length"
ALL_ENGINES: Final = tuple(ENGINES)
NO_EMULATOR: Final = ("pipeline", "node-red")
FLOW_ENGINES: Final = ("node-red", "workflows")


@dataclass(frozen=True)
class Case:
    """One run of a flow: its ``db_name`` and other input, its last branch, and the requests that DDM receives."""

    db_name: str
    branch: str
    requests: int = 1
    approval: Any = NO_APPROVAL
    synchronous: str = "SUCCESS"
    fields: dict[str, Any] = field(default_factory=dict)
    engines: tuple[str, ...] = ALL_ENGINES


CASES: Final = {
    "pass": Case("pass", "go"),
    "fail": Case("fail", "stop"),
    "warn": Case("warn", "approval"),
    "complete": Case("pass", "go", fields={"expected_checks": 2}),
    "incomplete": Case("pass", "error", MAX_POLLS, fields={"expected_checks": 3}),
    "pending-twice": Case("pending_twice", "go", 3),
    "still-pending": Case("pending", "error", MAX_POLLS),
    "throttled": Case("throttled", "error", MAX_POLLS),
    "undocumented-status-once": Case("undocumented_once", "go", 2),
    "expired-token": Case("unauthorized", "error"),
    "malformed-event": Case("No Schema", "error", 0),
    "synchronous-failed": Case("pass", "stop", synchronous="FAILED"),
    "synchronous-failed-while-pending": Case("pending", "stop", synchronous="FAILED"),
    "synchronous-undocumented-status": Case("pass", "error", 0, synchronous="RUNNING"),
    # Approvals
    "synchronous-warn-approved": Case("pass", "go", 2, AS_REQUESTED, "WARN"),
    "synchronous-warn-not-approved": Case("pass", "approval", synchronous="WARN"),
    "both-warn-approved": Case("warn", "go", 2, AS_REQUESTED, "WARN"),
    "two-approved": Case("two_warnings", "go", 2, AS_REQUESTED),
    "same-warning-twice": Case("same_warning_twice", "go", 2, AS_REQUESTED),
    "hostile-name": Case("hostile_name", "go", 2, AS_REQUESTED),
    "passes-before-the-second-request": Case("passes_later", "go", 2, AS_REQUESTED),
    "fails-before-the-second-request": Case("fails_later", "stop", 2, AS_REQUESTED),
    "warns-more-before-the-second-request": Case("warns_more_later", "approval", 2, AS_REQUESTED),
    "failed-check": Case("fail", "stop", approval=["Primary keys", TIME_ZONE_NAME]),
    "approved-twice": Case("warn", "go", 2, AS_REQUESTED_TWICE, engines=("node-red",)),
    # A flow accepts exactly the names in the report that it has sent.
    "one-of-two": Case("two_warnings", "stop", 1, [TIME_ZONE_NAME], engines=FLOW_ENGINES),
    "one-more": Case("warns_more_later", "stop", 1, [TIME_ZONE_NAME, BINLOG_WARNS["name"]], engines=FLOW_ENGINES),
    "repeated": Case("warn", "stop", 1, [TIME_ZONE_NAME] * 2, engines=FLOW_ENGINES),
    "another-case": Case("warn", "stop", 1, [TIME_ZONE_NAME.lower()], engines=FLOW_ENGINES),
    "no-names": Case("warn", "stop", 1, [], engines=FLOW_ENGINES),
    "true": Case("warn", "stop", 1, approval=True, engines=FLOW_ENGINES),
    "null": Case("warn", "stop", 1, None, engines=FLOW_ENGINES),
    "string": Case("warn", "stop", 1, TIME_ZONE_NAME, engines=FLOW_ENGINES),
    "object": Case("warn", "stop", 1, {TIME_ZONE_NAME: True}, engines=FLOW_ENGINES),
    # Other servers. The emulator ends if a connection fails, and Workflows has no option against redirects.
    **{f"invalid-{name}": Case(name, "error", 0) for name in INVALID_RESPONSES},
    "redirect": Case("redirect", "error", 0, engines=NO_EMULATOR),
    "no-response": Case("cut", "error", 0, engines=NO_EMULATOR),
}


@dataclass(frozen=True)
class Run:
    """The end of each case in an engine, the tokens that DDM received for it, and the number of followed redirects."""

    engine: str
    ends: dict[str, End]
    tokens: dict[str, list[str]]
    redirected: int


@pytest.fixture(scope="module", params=ENGINES)
def run(
    request: pytest.FixtureRequest,
    served_function: ServedFunction,
    fake_ddm_server: FakeDDM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """One run of an engine with all its cases at the same time. Each case has its own job."""
    engine = request.param
    fake_ddm_server.reset()
    fake_ddm_server.behaviours.update(BEHAVIOURS)
    cases = {name: case for name, case in CASES.items() if engine in case.engines}
    jobs = {name: Job(event_for(case), case.approval) for name, case in cases.items()}
    with FakeFunction(served_function.url) as function:
        ends = ENGINES[engine](function.url, list(jobs.values()), tmp_path_factory.mktemp(engine))
    tokens: dict[str, list[str]] = {job.event["job_id"]: [] for job in jobs.values()}
    for received in list(fake_ddm_server.requests):
        tokens[received.job_id].append(received.token)
    by_case = dict(zip(cases, tokens.values(), strict=True))
    return Run(engine, dict(zip(cases, ends, strict=True)), by_case, function.redirected)


def event_for(case: Case) -> dict[str, Any]:
    """Return the event of a case: DDM's response to the POST, and the other fields."""
    started = {"job_id": str(uuid.uuid4()), "pre_check_results": [check(SYNCHRONOUS_NAME, case.synchronous)]}
    return EVENT_WITHOUT_TOKEN | started | {"db_name": case.db_name} | case.fields


def test_each_case_ends_in_its_branch(run: Run):
    # If no approval arrives, the workflow ends in "stop".
    expected = {name: CASES[name].branch for name in run.ends}
    if run.engine == "workflows":
        expected |= {name: "stop" for name, branch in expected.items() if branch == "approval"}
    assert {name: end.branch for name, end in run.ends.items()} == expected


def test_ddm_receives_as_many_requests_as_needed_with_the_stored_token(run: Run):
    assert run.tokens == {name: [TOKEN] * CASES[name].requests for name in run.tokens}
    assert run.redirected == 0


@pytest.mark.parametrize(
    ("name", "issues"),
    [
        ("fail", ["Primary keys", TIME_ZONE_NAME]),
        ("synchronous-failed", [SYNCHRONOUS_NAME]),
        ("both-warn-approved", [SYNCHRONOUS_NAME, TIME_ZONE_NAME]),
    ],
)
def test_the_branch_receives_the_issues_and_the_report(run: Run, name: str, issues: list[str]):
    end = run.ends[name]
    assert list(end.issues) == issues
    assert all(issue in str(end.report) for issue in issues)


def test_node_red_rejects_an_approval_for_an_unknown_job(tmp_path):
    (end,) = ENGINES["node-red"]("http://127.0.0.1:9/", [Job(None, [TIME_ZONE_NAME])], tmp_path)
    assert end.branch == "stop"


def sample_events() -> dict[str, dict[str, Any]]:
    """Return the event that each flow sends if its samples are not changed."""
    red = {node.get("name"): node for node in json.loads((EXAMPLES / "node-red.json").read_text())}
    rule = red["Event"]["rules"][0]["to"]
    n8n = {node["name"]: node["parameters"] for node in json.loads((EXAMPLES / "n8n.json").read_text())["nodes"]}
    settings = {item["name"]: item["value"] for item in n8n["Settings"]["assignments"]["assignments"]}
    head = (EXAMPLES / "google-workflows.yaml").read_text()
    workflow = head[head.index("event: {project_id") : head.index("}}' started.json")].replace("\n#", "") + "}"
    return {
        "event.json": json.loads((EXAMPLES / "event.json").read_text()),
        "node-red": json.loads(rule[rule.index("{") : rule.index("}") + 1]) | json.loads(red["Started"]["payload"]),
        "n8n": json.loads(settings["event"].removeprefix("=")) | json.loads(n8n["Started"]["jsonOutput"]),
        "workflows": yaml.safe_load(workflow)["event"],
    }


@pytest.mark.parametrize("flow", ["event.json", "node-red", "n8n", "workflows"])
def test_the_sample_events_are_complete_and_fit_the_timeout_of_60_seconds(flow: str, served_function: ServedFunction):
    event = sample_events()[flow]
    assert event["expected_checks"] >= 2
    assert event["wait_seconds"] == 40
    assert "token" not in event
    if flow != "workflows":  # its IDs are placeholders
        assert served_function.send(event, headers={"X-Auth-Token": TOKEN}).body["can_proceed"] is True


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({"DDM_PRECHECK_URL": ""}, 2, id="no-url"),
        pytest.param({"DDM_TOKEN": ""}, 2, id="no-token"),
        pytest.param({"MAX_POLLS": "0"}, 2, id="no-polls"),
        pytest.param({"MAX_WAIT_SECONDS": "soon"}, 2, id="invalid-wait"),
        pytest.param({"PATH": "/nowhere"}, 2, id="no-curl"),
        pytest.param({"MAX_POLLS": "1"}, 3, id="still-pending"),
        pytest.param({"ACCEPTED_WARNINGS": "DB instance time zone"}, 2, id="no-json"),
        pytest.param({"ACCEPTED_WARNINGS": "[]"}, 2, id="no-names"),
        pytest.param({"ACCEPTED_WARNINGS": "[1]"}, 2, id="number"),
        pytest.param({"ACCEPTED_WARNINGS": '["a"] ["b"]'}, 2, id="two-lists"),
    ],
)
def test_the_pipeline_distinguishes_errors_from_pending(
    served_function: ServedFunction, settings: dict[str, str], status: int
):
    run = run_pipeline(Job(event_for(Case("pending", ""))), environment(served_function.url) | settings)
    assert run.returncode == status, run.stderr


@pytest.mark.parametrize("argument", ["token=x", "accepted_warnings=[]", "wait_seconds=soon", "db_name="])
def test_the_pipeline_rejects_other_arguments(served_function: ServedFunction, argument: str):
    run = run_pipeline(Job(event_for(Case("pass", ""))), environment(served_function.url), argument)
    assert run.returncode == 2


@pytest.mark.parametrize("stdin", ["", "[]", '"text"', "{} {}", "{", "@/etc/hostname"])
def test_the_pipeline_rejects_input_other_than_one_object(served_function: ServedFunction, stdin: str):
    served_function.new_log_lines()
    assert run_pipeline(stdin, environment(served_function.url)).returncode == 2
    assert served_function.new_log_lines() == []


def test_the_event_of_the_page_covers_both_phases(served_function: ServedFunction):
    response = served_function.send(LOW_CODE.json("event: flow"), headers={"X-Auth-Token": TOKEN})
    assert response.summary["covers"] == ["synchronous", "asynchronous"]


def test_the_command_of_the_page(served_function: ServedFunction, fake_ddm: FakeDDM, tmp_path: Path):
    job = Job(event_for(Case("many", "")))
    variables = {name.upper(): value for name, value in job.fields.items()} | {
        "HUAWEICLOUD_TOKEN": TOKEN,
        "STARTED": json.dumps(job.started),
        "REGION": "cn-north-4",
    }
    (tmp_path / "examples").symlink_to(EXAMPLES)
    change = tmp_path / "change-shards.sh"
    change.write_text("#!/bin/sh\necho changed\n")
    change.chmod(0o755)
    command = LOW_CODE.code("shell: run").replace("http://127.0.0.1:8080/", served_function.url)
    run = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env=environment("") | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout.endswith("changed\n"), run.stderr


def test_no_argument_contains_the_token_or_the_job(served_function: ServedFunction, tmp_path: Path):
    """Every user of a machine can read the arguments of its processes."""
    path = path_with_recorders(tmp_path)
    variables = environment(served_function.url, PATH=path, ACCEPTED_WARNINGS='["DB instance time zone"]')
    assert run_pipeline(Job(EVENT_WITHOUT_TOKEN | {"db_name": "warn"}), variables).returncode == 0
    arguments = (tmp_path / "arguments").read_text()
    assert {"curl", "jq", served_function.url} <= set(arguments.splitlines())
    assert TOKEN not in arguments
    assert EVENT_WITHOUT_TOKEN["job_id"] not in arguments


def test_a_private_function_gets_the_identity_of_the_caller():
    with HTTPStub(lambda _: StubResponse(200, {"can_proceed": True})) as stub:
        variables = environment(stub.url, IDENTITY_TOKEN="an-identity")
        assert run_pipeline(Job(EVENT_WITHOUT_TOKEN | {"db_name": "pass"}), variables).returncode == 0
    headers = stub.requests[0].headers
    assert headers["authorization"] == "Bearer an-identity"
    assert headers["x-auth-token"] == TOKEN
