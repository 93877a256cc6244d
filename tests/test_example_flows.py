"""The example flows: each one runs in its real engine, against the served function and the fake DDM.

An engine gets all events at once, so that the pauses between polls pass at the same time. An engine is installed at its
first use, into a cache outside of the repository. If that fails, its tests are skipped.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest
from helpers import tool_cache
from helpers.function import EVENT_WITHOUT_TOKEN, ROOT, TOKEN, ServedFunction, clean_environment, free_port

from deploy.fake_ddm import FakeDDM

pytestmark = pytest.mark.engines

NODE_RED: Final = "4.1.15"
MAX_POLLS: Final = 3
HELPERS: Final = Path(__file__).parent / "helpers"
EXAMPLES: Final = ROOT / "examples"


@dataclass(frozen=True)
class End:
    """How a run of a flow ended: its branch, and what it showed there."""

    branch: str
    message: str | None = None
    issues: tuple[str, ...] = ()


Engine = Callable[[str, list[Any], Path], list[End]]


# The engines


def pipeline(url: str, events: list[Any], _folder: Path) -> list[End]:
    """Run pipeline.sh once for each event."""
    environment = _environment(url, MAX_POLLS=str(MAX_POLLS), MAX_WAIT_SECONDS="1")
    with ThreadPoolExecutor(len(events)) as threads:
        return [_pipeline_end(run) for run in threads.map(lambda event: run_pipeline(event, environment), events)]


def run_pipeline(event: Any, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run pipeline.sh; it must not print the token."""
    for tool in ("curl", "jq"):
        if not shutil.which(tool):
            pytest.skip(f"{tool} is not installed")
    command = [shutil.which("bash") or "/bin/bash", str(EXAMPLES / "pipeline.sh")]
    run = subprocess.run(
        command, input=json.dumps(event), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert TOKEN not in run.stdout + run.stderr
    return run


def _pipeline_end(run: "subprocess.CompletedProcess[str]") -> End:
    branch = {0: "go", 1: "stop", 2: "error", 3: "error"}[run.returncode]
    try:
        response = json.loads(run.stdout)
        return End(branch, response["message"], _names(response.get("issues")))
    except (ValueError, TypeError, KeyError):
        return End(branch)


def node_red(url: str, events: list[Any], folder: Path) -> list[End]:
    """Run the Node-RED flow once for each event, in one Node-RED without editor."""
    module = _node_red_module()
    flow = json.loads((EXAMPLES / "node-red.json").read_text())
    (subflow,) = (node for node in flow if node["type"].startswith("subflow:"))
    settings = {"MAX_POLLS": MAX_POLLS, "MAX_WAIT_SECONDS": 1}
    subflow["env"] += [{"name": name, "type": "num", "value": str(value)} for name, value in settings.items()]
    (folder / "flows.json").write_text(json.dumps(flow))
    (folder / "flows_cred.json").write_text(json.dumps({subflow["id"]: {"DDM_TOKEN": TOKEN}}))
    command = ["node", str(HELPERS / "run_node_red.cjs"), str(module), str(folder), "flows.json"]
    outcomes = _run_json(command, events, _environment(url))
    return [_node_red_end(messages) for messages in outcomes]


def _node_red_end(messages: list[dict[str, Any]]) -> End:
    (end,) = messages
    payload = end["msg"]["payload"]
    return End(end["node"], payload["message"], _names(payload.get("issues")))


def workflows(url: str, events: list[Any], _folder: Path) -> list[End]:
    """Run the Google Workflows file in the emulator, once for each event."""
    packages = str(_emulator_packages())
    environment = _environment(url, DDM_PRECHECK_AUTH="NONE", DDM_TOKEN_SECRET="", PYTHONPATH=packages)
    arguments = [{"event": event, "max_polls": MAX_POLLS, "max_wait_seconds": 1} for event in events]
    command = [sys.executable, str(HELPERS / "run_workflow.py"), str(EXAMPLES / "google-workflows.yaml")]
    return [_workflow_end(outcome) for outcome in _run_json(command, arguments, environment)]


def _workflow_end(outcome: dict[str, Any]) -> End:
    if "raised" in outcome:
        return End("error", outcome["raised"].get("message"))
    returned = outcome["returned"]
    if returned["outcome"] == "go":
        return End("go", returned["answer"]["message"])
    return End(returned["outcome"], returned["message"], _names(returned["issues"]))


def _names(issues: list[dict[str, Any]] | None) -> tuple[str, ...]:
    return tuple(issue["name"] for issue in issues or [])


def _environment(url: str, **more: str) -> dict[str, str]:
    return clean_environment() | {"DDM_PRECHECK_URL": url, "DDM_TOKEN": TOKEN} | more


def _run_json(command: list[str], stdin: Any, environment: dict[str, str]) -> Any:
    run = subprocess.run(
        command, input=json.dumps(stdin), env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    assert TOKEN not in run.stdout
    return json.loads(run.stdout.splitlines()[-1])


ENGINES: Final[dict[str, Engine]] = {"pipeline": pipeline, "node-red": node_red, "workflows": workflows}


# Their installation


def _node_red_module() -> Path:
    if not shutil.which("node") or not shutil.which("npm"):
        pytest.skip("node and npm are not installed")
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--fetch-retries=1"]
    command = ["npm", "install", f"node-red@{NODE_RED}", "--no-package-lock", "--ignore-scripts", *quiet, "--prefix"]
    return tool_cache.folder(f"node-red-{NODE_RED}", *command) / "node_modules" / "node-red"


def _emulator_packages() -> Path:
    requirements = HELPERS / "workflows-emulator.txt"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
    return tool_cache.packages(f"workflows-emulator-{digest}", "--no-deps", "-r", str(requirements))


# The events


@dataclass(frozen=True)
class Case:
    """The database schema of an event, the branch in which the flow ends, and the number of requests to DDM."""

    db_name: str
    branch: str
    requests: int = 1
    last_db_name: str | None = None
    """The database schema whose response is the same as the last response, if that is another one."""


CASES: Final = {
    "pass": Case("pass", "go"),
    "warn": Case("warn", "stop"),
    "fail": Case("fail", "stop"),
    "pending-then-pass": Case("pending_twice", "go", 3, "pass"),
    "still-pending": Case("pending", "error", MAX_POLLS),
    "throttled": Case("throttled", "error", MAX_POLLS),
    "expired-token": Case("unauthorized", "error"),
    "malformed-event": Case("No Schema", "error", 0),
}

INVALID_RESPONSES: Final = {
    "empty": b"",
    "html": b"<html>can_proceed true</html>",
    "incomplete": b'{"can_proceed": true',
    "null": b"null",
    "text": b'"true"',
    "list": b'[{"verdict": "PASS", "can_proceed": true, "message": ""}]',
    "empty object": b"{}",
    "one": b'{"verdict": "PASS", "can_proceed": 1, "message": ""}',
    "true as text": b'{"verdict": "PASS", "can_proceed": "true", "message": ""}',
    "true in a list": b'{"verdict": "PASS", "can_proceed": [true], "message": ""}',
    "another case": b'{"verdict": "PASS", "Can_Proceed": true, "message": ""}',
}
"""Bodies that another server may send with the status 200, by the `db_name` for which the fake function sends them."""


class _FakeFunction(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = INVALID_RESPONSES[event["db_name"]]
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write no log."""


@pytest.fixture(scope="module")
def fake_function() -> Iterator[str]:
    """The URL of a server that sends the invalid responses."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _FakeFunction) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


@dataclass(frozen=True)
class Run:
    """How each case ended in an engine, and the token of each request to DDM for it."""

    engine: str
    ends: dict[str, End]
    tokens: dict[str, list[str]]


@pytest.fixture(scope="module", params=ENGINES)
def run(
    request: pytest.FixtureRequest,
    served_function: ServedFunction,
    fake_ddm_server: FakeDDM,
    tmp_path_factory: pytest.TempPathFactory,
) -> Run:
    """One run of an engine with the events of all cases, each with a job of its own."""
    events = {name: event_for(case.db_name) for name, case in CASES.items()}
    fake_ddm_server.reset()
    ends = ENGINES[request.param](served_function.url, list(events.values()), tmp_path_factory.mktemp("engine"))
    received = list(fake_ddm_server.requests)
    tokens = {
        name: [request.token for request in received if request.job_id == event["job_id"]]
        for name, event in events.items()
    }
    return Run(request.param, dict(zip(CASES, ends, strict=True)), tokens)


def event_for(db_name: str) -> dict[str, Any]:
    """Return an event without a token, for a new job."""
    return EVENT_WITHOUT_TOKEN | {"db_name": db_name, "job_id": str(uuid.uuid4())}


# The tests


@pytest.mark.parametrize("name", CASES)
def test_branch_of_each_response(run: Run, name: str, served_function: ServedFunction):
    """The flow ends in the right branch, with the message and the issues of the function's response."""
    case = CASES[name]
    last = served_function.send_event(case.last_db_name or case.db_name).body
    expected = End(case.branch, last["message"], _names(last.get("issues")))
    if run.engine == "workflows" and name == "expired-token":
        # After a 401, the emulator tries to renew its own credentials. It has none, so it fails without the response.
        assert run.ends[name].branch == case.branch
    else:
        assert run.ends[name] == expected


@pytest.mark.parametrize("name", CASES)
def test_requests_to_ddm(run: Run, name: str):
    """The flow polls until there is a verdict, or as often as its max; each request has the engine's stored token."""
    assert run.tokens[name] == [TOKEN] * CASES[name].requests


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_invalid_response_is_an_error(engine: Engine, fake_function: str, tmp_path: Path):
    """If another server responds, the flow ends in the branch "error"."""
    ends = engine(fake_function, [event_for(name) for name in INVALID_RESPONSES], tmp_path)
    branches = {name: end.branch for name, end in zip(INVALID_RESPONSES, ends, strict=True)}
    assert branches == dict.fromkeys(INVALID_RESPONSES, "error")


# Without the emulator: it exits where Workflows raises ConnectionFailedError.
@pytest.mark.parametrize("engine", [pipeline, node_red], ids=["pipeline", "node-red"])
def test_no_response_is_an_error(engine: Engine, closed_url: str, tmp_path: Path):
    """If nothing listens at the URL, the flow ends in the branch "error"."""
    assert [end.branch for end in engine(closed_url, [event_for("pass")], tmp_path)] == ["error"]


@pytest.fixture
def closed_url() -> str:
    """A URL at which nothing listens."""
    return f"http://127.0.0.1:{free_port()}/"


@pytest.mark.parametrize(
    ("settings", "status"),
    [
        pytest.param({"DDM_PRECHECK_URL": ""}, 2, id="no-url"),
        pytest.param({"DDM_TOKEN": ""}, 2, id="no-token"),
        pytest.param({"MAX_POLLS": "0"}, 2, id="no-polls"),
        pytest.param({"MAX_WAIT_SECONDS": "soon"}, 2, id="odd-wait"),
        pytest.param({"PATH": "/nowhere"}, 2, id="no-curl"),
        pytest.param({"MAX_POLLS": "1"}, 3, id="still-pending"),
    ],
)
def test_exit_status_of_the_pipeline(served_function: ServedFunction, settings: dict[str, str], status: int):
    """An error has the exit status 2 and PENDING has 3, so that neither is mistaken for the branch "stop"."""
    run = run_pipeline(event_for("pending"), _environment(served_function.url) | settings)
    assert run.returncode == status, run.stderr


def test_arguments_of_curl_in_the_pipeline(served_function: ServedFunction, tmp_path: Path):
    """The token is in no argument of curl: other users can see the arguments."""
    curl, arguments = tmp_path / "curl", tmp_path / "arguments"
    curl.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{arguments}\nexec {shutil.which("curl")} "$@"\n')
    curl.chmod(0o755)
    environment = _environment(served_function.url, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert run_pipeline(event_for("pass"), environment).returncode == 0
    assert served_function.url in arguments.read_text()
    assert TOKEN not in arguments.read_text()
