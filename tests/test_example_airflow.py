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


RUNS: Final = [
    run("pass", "success", "go"),
    run("fail", "success", "stop"),
    run("warn", "success", "stop"),
    run("warn", "success", "go", accepted_warnings=["DB instance time zone"]),
    run("pass", "success", "stop", synchronous="FAILED"),
    run("pass", "success", "stop", synchronous="WARN"),
    run("pass", "success", "go", "WARN", accepted_warnings=["Table name length"]),
    run("pending_twice", "success", "go"),
    run("not_found", "failed", "error"),
    run("unauthorized", "failed", "error"),
    run("throttled", "failed", "precheck"),
    run("down", "failed", "precheck"),
]


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


@pytest.mark.skipif(not os.environ.get("LONG_TESTS"), reason="LONG_TESTS is not set")
@pytest.mark.parametrize("version", AIRFLOW)
def test_runs(version, tmp_path, served_function: ServedFunction, fake_ddm: FakeDDM):
    """A run is red exactly for problems, runs one branch, and has the response as the XCom of its sensor."""
    requirements = [f"apache-airflow=={version}", f"apache-airflow-providers-http=={HTTP_PROVIDER}"]
    packages = tool_cache.packages(f"airflow-{version}", *requirements)
    connection = {"conn_type": "http", "host": served_function.url, "password": TOKEN}
    variables = clean_environment() | {
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW_CONN_DDM_PRECHECK": json.dumps(connection),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
        "PYTHONPATH": str(packages),
        "PYTHONWARNINGS": "ignore",
    }
    # -S: without the packages of the tests' environment.
    command = [sys.executable, "-S", str(HELPERS / "run_airflow.py"), str(FOLDER)]
    ends = run_json(command, [configuration for configuration, _, _ in RUNS], variables, timeout=300)
    for (configuration, state, task), end in zip(RUNS, ends, strict=True):
        others = {end["tasks"][branch] for branch in RESPONSES.keys() - {task}}
        assert (end["state"], end["tasks"][task]) == (state, state), configuration
        assert others <= {"skipped", "upstream_failed"}, configuration
        assert task == "precheck" or end["response"]["message"]
    jobs = {configuration["started"]["job_id"] for configuration, _, _ in RUNS}
    assert {received.job_id for received in fake_ddm.requests} == jobs
