"""Runs each example flow in its real engine.

An engine runs all jobs at the same time, so that their pauses between polls overlap. Engines are installed on first
use, in ``tests/.cache``. If an engine cannot be installed, its tests are skipped.
"""

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from helpers import tool_cache
from helpers.approver import AS_REQUESTED, NO_APPROVAL, Approver
from helpers.function import ROOT, TOKEN
from testing.function_server import clean_environment

NODE_RED: Final = "4.1.15"
MAX_POLLS: Final = 3
MAX_WAIT_SECONDS: Final = 1
HELPERS: Final = Path(__file__).parent
EXAMPLES: Final = ROOT / "examples"
STARTED_FIELDS: Final = ("job_id", "pre_check_results")
"""The fields of an event that DDM's response to the POST has."""

_PIPELINE_BRANCHES: Final = {0: "go", 1: "stop", 2: "error", 3: "error", 4: "approval"}


@dataclass(frozen=True)
class Job:
    """The input of one run of a flow.

    ``approval`` is the list of names that the approver sends. With `AS_REQUESTED`, the approver sends the names in the
    request for approval. With `NO_APPROVAL`, it sends nothing. Any other value is sent without a change.
    """

    event: Any
    approval: Any = NO_APPROVAL

    @property
    def started(self) -> dict[str, Any]:
        """The response of DDM to the POST that started the precheck."""
        return {name: value for name, value in self.event.items() if name in STARTED_FIELDS}

    @property
    def fields(self) -> dict[str, Any]:
        """The other fields of the event."""
        return {name: value for name, value in self.event.items() if name not in STARTED_FIELDS}


@dataclass(frozen=True)
class End:
    """The end of one run of a flow: the branch, and the fields that the branch received."""

    branch: str
    message: str | None = None
    issues: tuple[str, ...] = ()
    report: str | None = None


Engine = Callable[[str, list[Job], Path], list[End]]


def environment(url: str, **more: str) -> dict[str, str]:
    """Return the environment of an engine: the function's URL and the token."""
    return clean_environment() | {"DDM_PRECHECK_URL": url, "DDM_TOKEN": TOKEN} | more


# Shell


def pipeline(url: str, jobs: list[Job], _folder: Path) -> list[End]:
    """Run pipeline.sh once for each job, and a second time after an approval."""
    variables = environment(url, MAX_POLLS=str(MAX_POLLS), MAX_WAIT_SECONDS=str(MAX_WAIT_SECONDS))
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(lambda job: _pipeline_end(job, variables), jobs))


def path_with_recorders(folder: Path) -> str:
    """Return a PATH with a curl and a jq that write their names and arguments to the lines of ``folder/arguments``."""
    for name in ("curl", "jq"):
        program = shutil.which(name) or pytest.skip(f"{name} is not installed")
        recorder = folder / name
        recorder.write_text(f'#!/bin/sh\nprintf "%s\\n" {name} "$@" >>{folder}/arguments\nexec {program} "$@"\n')
        recorder.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def run_pipeline(job: Job | str, variables: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run pipeline.sh with DDM's response on stdin and the other fields as arguments, or with a string on stdin."""
    for tool in ("curl", "jq"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    fields = [] if isinstance(job, str) else [f"{name}={value}" for name, value in job.fields.items()]
    run = subprocess.run(
        [shutil.which("bash") or "/bin/bash", str(EXAMPLES / "pipeline.sh"), *fields, *arguments],
        input=job if isinstance(job, str) else json.dumps(job.started),
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert TOKEN not in run.stdout + run.stderr
    return run


def names_to_approve(stderr: str) -> Any:
    """Return the list of names in the command that pipeline.sh prints for the approval, parsed as a shell does."""
    (line,) = (line for line in stderr.splitlines() if "ACCEPTED_WARNINGS=" in line)
    (assignment,) = (word for word in shlex.split(line) if word.startswith("ACCEPTED_WARNINGS="))
    return json.loads(assignment.removeprefix("ACCEPTED_WARNINGS="))


def _pipeline_end(job: Job, variables: dict[str, str]) -> End:
    run = run_pipeline(job, variables)
    if run.returncode == 4 and job.approval is not NO_APPROVAL:
        approval = names_to_approve(run.stderr) if job.approval is AS_REQUESTED else job.approval
        run = run_pipeline(job, variables | {"ACCEPTED_WARNINGS": json.dumps(approval)})
    branch = _PIPELINE_BRANCHES[run.returncode]
    try:
        response = json.loads(run.stdout)
        report = response.get("report")
        assert report is None or report in run.stderr
        return End(branch, response["message"], _names(response), report)
    except (ValueError, TypeError, KeyError, AttributeError):
        return End(branch)


# Node-RED


def node_red(url: str, jobs: list[Job], folder: Path) -> list[End]:
    """Run the Node-RED flow in one headless Node-RED, which sends each job through the flow's inject node."""
    module = node_package("node-red", NODE_RED) / "node-red"
    flow = json.loads((EXAMPLES / "node-red.json").read_text())
    (subflow,) = (node for node in flow if node["type"].startswith("subflow:"))
    settings = {"MAX_POLLS": MAX_POLLS, "MAX_WAIT_SECONDS": MAX_WAIT_SECONDS}
    subflow["env"] += [{"name": name, "type": "num", "value": str(value)} for name, value in settings.items()]
    (folder / "flows.json").write_text(json.dumps(flow))
    (folder / "flows_cred.json").write_text(json.dumps({subflow["id"]: {"DDM_TOKEN": TOKEN}}))
    command = ["node", str(HELPERS / "run_node_red.cjs"), str(module), str(folder), "flows.json"]
    # The fields of the message win over the sample's fields in the node "Event". Null removes a field.
    no_sample = dict.fromkeys(("region", "expected_checks", "wait_seconds"))
    runs = [{"event": job.event and no_sample | job.event, "approval": job.approval} for job in jobs]
    return [_node_red_end(end) for end in run_json(command, runs, environment(url))]


def _node_red_end(end: dict[str, Any]) -> End:
    payload = end["msg"]["payload"]
    return End(end["node"], payload["message"], _names(payload), payload.get("report"))


# Google Workflows


def workflows(url: str, jobs: list[Job], _folder: Path) -> list[End]:
    """Run the Google Workflows file in the emulator."""
    requirements = HELPERS / "workflows-emulator.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    packages = tool_cache.packages(f"workflows-emulator-{digest}", "--no-deps", "-r", str(requirements))
    command = [sys.executable, str(HELPERS / "run_workflow.py"), str(EXAMPLES / "google-workflows.yaml")]
    limits = {"max_polls": MAX_POLLS, "max_wait_seconds": MAX_WAIT_SECONDS}
    arguments = [limits | {"started": job.started, "event": job.fields} for job in jobs]
    with Approver({job.event["job_id"]: job.approval for job in jobs}) as approver:
        variables = environment(
            url,
            PYTHONPATH=str(packages),
            DDM_PRECHECK_AUTH="NONE",
            DDM_TOKEN_SECRET="",
            DDM_APPROVAL_URL=approver.url,
            MAX_CALLBACK_SECONDS="3",
        )
        outcomes = run_json(command, arguments, variables)
        assert not approver.errors, (approver.errors, approver.requests)
    return [_workflow_end(outcome) for outcome in outcomes]


def _workflow_end(outcome: dict[str, Any]) -> End:
    if "raised" in outcome:
        return End("error", outcome["raised"].get("message"))
    returned = outcome["returned"]
    response = returned["response"]
    return End(returned["outcome"], returned["message"], _names(response), response["report"])


def node_package(name: str, version: str) -> Path:
    """Return the folder ``node_modules`` with this package of npm."""
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1"]
    command = ["npm", "install", f"{name}@{version}", "--no-package-lock", "--ignore-scripts", *quiet, "--prefix"]
    return tool_cache.folder(f"{name}-{version}", *command) / "node_modules"


def run_json(command: list[str], stdin: Any, variables: dict[str, str], timeout: float = 90) -> Any:
    """Run a command with JSON on stdin, and return the JSON in the last line of its stdout."""
    run = subprocess.run(
        command, input=json.dumps(stdin), env=variables, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert run.returncode == 0, run.stderr or run.stdout
    assert TOKEN not in run.stdout
    return json.loads(run.stdout.splitlines()[-1])


def _names(response: dict[str, Any]) -> tuple[str, ...]:
    return tuple(issue["name"] for issue in response.get("issues") or [])


ENGINES: Final[dict[str, Engine]] = {"pipeline": pipeline, "node-red": node_red, "workflows": workflows}
