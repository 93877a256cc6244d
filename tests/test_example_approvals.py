"""Approvals in the example flows, run by their engines: an approval needs exactly the names in the report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from helpers.approver import AS_REQUESTED, AS_REQUESTED_TWICE, NO_APPROVAL
from helpers.flows import ENGINES, End, Engine, Job, environment, names_to_approve, node_red, run_pipeline
from helpers.function import EVENT_WITHOUT_TOKEN, ServedFunction

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

HOSTILE_WARNS: Final = check("O'Neil's `check` <!channel> @all $(id) → \\ \"", "WARN")
BEHAVIOURS: Final = {
    "one_warning": results(PRIMARY_KEYS, TIME_ZONE_WARNS),
    "two_warnings": results(PRIMARY_KEYS, TIME_ZONE_WARNS, BINLOG_WARNS),
    "same_warning_twice": results(TIME_ZONE_WARNS, TIME_ZONE_WARNS),
    "hostile_name": results(HOSTILE_WARNS),
    "fails_later": after(1, results(TIME_ZONE_WARNS), results(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS)),
    "warns_more_later": after(1, results(TIME_ZONE_WARNS), results(TIME_ZONE_WARNS, BINLOG_WARNS)),
    "passes_later": after(1, results(TIME_ZONE_WARNS), results(PRIMARY_KEYS)),
    "fails": results(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS),
}
TIME_ZONE_NAME: Final = TIME_ZONE_WARNS["name"]
ALL_NAMES: Final = [TIME_ZONE_NAME, BINLOG_WARNS["name"]]


@dataclass(frozen=True)
class Case:
    """The ``db_name`` of an event, the approval, and whether the flow ends in "go"."""

    db_name: str
    approval: Any
    go: bool = False


CASES: Final = {
    "approved": Case("one_warning", AS_REQUESTED, go=True),
    "two-approved": Case("two_warnings", AS_REQUESTED, go=True),
    "one-of-two-approved": Case("two_warnings", [TIME_ZONE_NAME]),
    "same-warning-twice": Case("same_warning_twice", AS_REQUESTED, go=True),
    "hostile-name": Case("hostile_name", AS_REQUESTED, go=True),
    "passes-before-the-second-request": Case("passes_later", AS_REQUESTED, go=True),
    "fails-before-the-second-request": Case("fails_later", AS_REQUESTED),
    "warns-more-before-the-second-request": Case("warns_more_later", AS_REQUESTED),
    "nobody-approves": Case("one_warning", NO_APPROVAL),
    "another-name": Case("one_warning", ["Primary keys"]),
    "another-case": Case("one_warning", [TIME_ZONE_NAME.lower()]),
    "empty-list": Case("one_warning", []),
    "true": Case("one_warning", approval=True),
    "null": Case("one_warning", None),
    "text": Case("one_warning", TIME_ZONE_NAME),
    "object": Case("one_warning", {TIME_ZONE_NAME: True}),
    "nested-list": Case("one_warning", [[TIME_ZONE_NAME]]),
    "failed-check": Case("fails", ["Primary keys", TIME_ZONE_NAME]),
}
NAME_NOT_IN_THE_REPORT: Final = ["Primary keys", TIME_ZONE_NAME]


@dataclass(frozen=True)
class Run:
    """The end of each case in an engine, and the number of requests that DDM received for the case."""

    ends: dict[str, End]
    requests: dict[str, int]


@pytest.fixture(scope="module", params=ENGINES)
def run(
    request: pytest.FixtureRequest,
    served_function: ServedFunction,
    fake_ddm_server: FakeDDM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """One run of an engine with all cases. Each case has its own job."""
    fake_ddm_server.reset()
    fake_ddm_server.behaviours.update(BEHAVIOURS)
    jobs = {name: Job(event_for(name, case.db_name), case.approval) for name, case in CASES.items()}
    ends = ENGINES[request.param](served_function.url, list(jobs.values()), tmp_path_factory.mktemp("engine"))
    requests = [each.job_id for each in fake_ddm_server.requests]
    return Run(dict(zip(CASES, ends, strict=True)), {name: requests.count(name) for name in CASES})


def event_for(job_id: str, db_name: str) -> dict[str, Any]:
    """Return an event without a token."""
    return EVENT_WITHOUT_TOKEN | {"db_name": db_name, "job_id": job_id}


@pytest.mark.parametrize("name", CASES)
def test_only_an_exact_approval_is_go(run: Run, name: str):
    """The flow ends in "go" only if the approval has exactly the names of the warnings in DDM's new result."""
    assert (run.ends[name].branch == "go") == CASES[name].go
    assert run.ends[name].branch in {"go", "stop", "approval", "error"}


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.approval is AS_REQUESTED])
def test_an_approval_repeats_the_request(run: Run, name: str):
    """After an approval, the function requests the job's result again, and the new result decides."""
    assert run.requests[name] == 2


def test_the_response_to_the_approved_event_has_the_accepted_names(run: Run):
    """The message of the last response counts the accepted warning, and the report still lists it."""
    end = run.ends["approved"]
    assert "1 of 2 checks warned (1 accepted): DB instance time zone" in str(end.message)
    assert "accepted WARN DB instance time zone" in str(end.report)


def test_a_failed_check_requests_no_approval(run: Run):
    """A FAIL ends in "stop" after one request, even if the approver would send an approval."""
    assert (run.ends["failed-check"].branch, run.requests["failed-check"]) == ("stop", 1)
    assert run.ends["fails-before-the-second-request"].branch == "stop"


@pytest.mark.parametrize(
    "engine", [pytest.param(ENGINES["workflows"], id="workflows"), pytest.param(node_red, id="node-red")]
)
@pytest.mark.parametrize(
    "approval", [NAME_NOT_IN_THE_REPORT, [TIME_ZONE_NAME] * 2, ALL_NAMES], ids=["failed-later", "twice", "more"]
)
def test_an_approval_with_other_names_is_not_used(
    engine: Engine, approval: list[str], served_function: ServedFunction, fake_ddm: FakeDDM, tmp_path: Path
):
    """A flow accepts exactly the names in the report that it has sent. For other names, it sends no second request."""
    fake_ddm.behaviours.update(BEHAVIOURS)
    (end,) = engine(served_function.url, [Job(event_for("job", "one_warning"), approval)], tmp_path)
    assert (end.branch, len(fake_ddm.requests)) == ("stop", 1)


def test_node_red_refuses_an_approval_for_an_unknown_job(served_function: ServedFunction, tmp_path: Path):
    """An approval for an unknown job ends in "stop"."""
    (end,) = node_red(served_function.url, [Job(None, [TIME_ZONE_NAME])], tmp_path)
    assert (end.branch, end.message) == (
        "stop",
        "The approval does not have exactly the warnings of a job that waits for approval",
    )


def test_node_red_uses_an_approval_once(served_function: ServedFunction, fake_ddm: FakeDDM, tmp_path: Path):
    """If an approval arrives twice, the flow sends the event only once more."""
    fake_ddm.behaviours.update(BEHAVIOURS)
    (end,) = node_red(served_function.url, [Job(event_for("job", "one_warning"), AS_REQUESTED_TWICE)], tmp_path)
    assert (end.branch, len(fake_ddm.requests)) == ("go", 2)


# Shell


def test_the_pipeline_prints_the_report_and_how_to_approve(served_function: ServedFunction, fake_ddm: FakeDDM):
    """A warning ends with exit status 4. stderr has the report, and then a quoted command with the names to approve."""
    fake_ddm.behaviours.update(BEHAVIOURS)
    run = run_pipeline(event_for("job", "hostile_name"), environment(served_function.url))
    assert run.returncode == 4
    assert run.stderr.startswith(json.loads(run.stdout)["report"])
    assert names_to_approve(run.stderr) == [HOSTILE_WARNS["name"]]


@pytest.mark.parametrize(
    ("accepted", "status"),
    [
        pytest.param('["Primary keys", "DB instance time zone"]', 1, id="failed-check"),
        pytest.param("DB instance time zone", 2, id="no-json"),
        pytest.param("[]", 2, id="empty"),
        pytest.param("[1]", 2, id="number"),
        pytest.param('"DB instance time zone"', 2, id="text"),
        pytest.param('["a"] ["b"]', 2, id="two-lists"),
    ],
)
def test_the_pipeline_with_accepted_warnings(
    served_function: ServedFunction, fake_ddm: FakeDDM, accepted: str, status: int
):
    """ACCEPTED_WARNINGS cannot approve a failed check. If it is not a list of names, the script sends nothing."""
    fake_ddm.behaviours.update(BEHAVIOURS)
    served_function.new_log_lines()
    variables = environment(served_function.url, ACCEPTED_WARNINGS=accepted)
    assert run_pipeline(event_for("job", "fails"), variables).returncode == status
    assert len(served_function.new_log_lines()) == (status == 1)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param("", id="empty"),
        pytest.param("{}", id="empty-object"),
        pytest.param('[{"db_name": "one_warning"}]', id="list"),
        pytest.param(json.dumps(json.dumps(event_for("job", "one_warning"))), id="text"),
        pytest.param(json.dumps(event_for("job", "one_warning") | {"accepted_warnings": ["x"]}), id="field-twice"),
    ],
)
def test_an_approval_makes_no_invalid_event_valid(served_function: ServedFunction, fake_ddm: FakeDDM, event: str):
    """The script adds the approved names to the text of the event. The function then validates the whole event."""
    fake_ddm.behaviours.update(BEHAVIOURS)
    variables = environment(served_function.url, ACCEPTED_WARNINGS=json.dumps([TIME_ZONE_NAME]))
    run = run_pipeline(event, variables)
    assert (run.returncode, json.loads(run.stdout)["code"]) == (2, "invalid-event")
    assert fake_ddm.requests == []
