"""The example DAG: its branches, and whole runs in Airflow 2 and 3 (LONG_TESTS=1)."""

import importlib.util
import json
import os
import sys
import uuid
from typing import Any, Final
from unittest.mock import MagicMock

import pytest
from helpers import tool_cache
from helpers.fake_function import INVALID_RESPONSES
from helpers.flows import EXAMPLES, HELPERS, run_json
from helpers.function import EVENT_WITHOUT_TOKEN, TOKEN, ServedFunction

from testing.fake_behaviours import check
from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment

AIRFLOW: Final = ("2.11.2", "3.3.2")
HTTP_PROVIDER: Final = "6.3.0"
FOLDER: Final = EXAMPLES / "airflow"
RESPONSES: Final = {
    "go": {"can_proceed": True},
    "stop": {"can_proceed": False, "verdict": "FAIL", "issues": []},
    "error": {"can_proceed": False, "verdict": "ERROR"},
}


def run(db_name: str, state: str, task: str, synchronous: str = "SUCCESS", **fields: Any) -> tuple[Any, str, str]:
    """Return a configuration, the state of its run, and the task of its last branch."""
    started = {"job_id": str(uuid.uuid4()), "pre_check_results": [check("Table name length", synchronous)]}
    ids = {name: value for name, value in EVENT_WITHOUT_TOKEN.items() if name != "job_id"}
    return ids | {"started": started, "db_name": db_name, "expected_checks": 2} | fields, state, task


RUNS: Final = {
    "pass": run("pass", "success", "go"),
    "fail": run("fail", "success", "stop"),
    "warn": run("warn", "success", "stop"),
    "warn-approved": run("warn", "success", "go", accepted_warnings=["DB instance time zone"]),
    "synchronous-failed": run("pass", "success", "stop", synchronous="FAILED"),
    "synchronous-warn": run("pass", "success", "stop", synchronous="WARN"),
    "synchronous-warn-approved": run("pass", "success", "go", "WARN", accepted_warnings=["Table name length"]),
    "pending-twice": run("pending_twice", "success", "go"),
    "not-found": run("not_found", "failed", "error"),
    "unauthorized": run("unauthorized", "failed", "error"),
    "throttled": run("throttled", "failed", "precheck"),
    "down": run("down", "failed", "precheck"),
}


def load_dag(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import the module of the DAG without Airflow."""
    for name in ("airflow", "airflow.sdk", "airflow.sdk.exceptions", "airflow.providers.http.hooks.http"):
        monkeypatch.setitem(sys.modules, name, MagicMock())
    specification = importlib.util.spec_from_file_location("precheck_dag", FOLDER / "precheck_dag.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("branch", RESPONSES)
def test_a_response_has_its_branch(monkeypatch, branch):
    assert load_dag(monkeypatch).branch_for(RESPONSES[branch]) == branch


@pytest.mark.parametrize("name", INVALID_RESPONSES)
def test_an_invalid_response_is_an_error(monkeypatch, name):
    module = load_dag(monkeypatch)
    module.HttpHook().run().json = lambda: json.loads(INVALID_RESPONSES[name])
    assert module.branch_for(module.request_verdict({})) == "error"


@pytest.fixture(scope="module", params=AIRFLOW)
def airflow(request, tmp_path_factory, served_function: ServedFunction, fake_ddm_server: FakeDDM) -> Any:
    """The runs in one version of Airflow."""
    if not os.environ.get("LONG_TESTS"):
        pytest.skip("LONG_TESTS is not set")
    requirements = [f"apache-airflow=={request.param}", f"apache-airflow-providers-http=={HTTP_PROVIDER}"]
    packages = tool_cache.packages(f"airflow-{request.param}", *requirements)
    connection = {"conn_type": "http", "host": served_function.url, "password": TOKEN}
    variables = clean_environment() | {
        "AIRFLOW_HOME": str(tmp_path_factory.mktemp("airflow")),
        "AIRFLOW_CONN_DDM_PRECHECK": json.dumps(connection),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
        "PYTHONPATH": str(packages),
        "PYTHONWARNINGS": "ignore",
    }
    fake_ddm_server.reset()
    # -S: without the packages of the tests' environment.
    command = [sys.executable, "-S", str(HELPERS / "run_airflow.py"), str(FOLDER)]
    outcomes = run_json(command, [configuration for configuration, _, _ in RUNS.values()], variables, timeout=300)
    return dict(zip(RUNS, outcomes, strict=True)), [received.job_id for received in fake_ddm_server.requests]


def test_a_run_is_red_exactly_for_problems(airflow):
    assert {name: end["state"] for name, end in airflow[0].items()} == {name: run[1] for name, run in RUNS.items()}


def test_a_run_ends_in_its_task(airflow):
    assert {name: end["tasks"][RUNS[name][2]] for name, end in airflow[0].items()} == {
        name: run[1] for name, run in RUNS.items()
    }


def test_no_other_branch_runs(airflow):
    others = {
        state
        for name, end in airflow[0].items()
        for task, state in end["tasks"].items()
        if task in {"go", "stop", "error"} - {RUNS[name][2]}
    }
    assert others == {"skipped", "upstream_failed"}


def test_the_response_is_the_xcom_of_the_sensor(airflow):
    ended = [end["response"] for name, end in airflow[0].items() if RUNS[name][2] != "precheck"]
    assert all(response["message"] for response in ended)


def test_ddm_receives_the_job_of_the_earlier_task(airflow):
    jobs = {configuration["started"]["job_id"] for configuration, _, _ in RUNS.values()}
    assert set(airflow[1]) == jobs
