"""`deploy.sh`: in this process, or as a command in a copy of the repository.

The fixtures at the end are available in all test modules.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from deploy import cli
from deploy import package as deploy_package
from helpers.fake_functiongraph import FakeFunctionGraph
from helpers.fake_gcloud import FakeGcloud
from testing.function_server import free_port

ROOT: Final = Path(__file__).parent.parent.parent
TOKEN: Final = "MIIFAKETOKEN+/=0123456789abcdef" * 40
PROJECT_ID: Final = "0123456789abcdef0123456789abcdef"
CLOUD_RUN: Final = ("cloud-run", "--project", "demo-project", "--region", "europe-west1")
FUNCTIONGRAPH: Final = ("functiongraph", "--project-id", PROJECT_ID, "--region", "cn-north-4")
DRY_RUN_ENDS: Final = "Dry run: nothing was deployed."
MAX_SECONDS: Final = 180
_TOOLS: Final = ("bash", "cp", "env", "readlink", "rm", "touch")
_READ_VARIABLES: Final = ("DDM_", "K_SINK", "HUAWEICLOUD_TOKEN", "FUNCTIONGRAPH_ENDPOINT", "PORT")
_NOT_COPIED: Final = shutil.ignore_patterns(
    *(".git", ".venv", "dist", "mutants", "node_modules", "__pycache__"),
    *(".*_cache", ".cache", ".coverage*", ".hypothesis", ".schemathesis"),
)


@dataclass(frozen=True)
class Result:
    status: int
    stdout: str
    stderr: str

    @property
    def commands(self) -> list[str]:
        return [line.removeprefix("+ ") for line in self.stdout.splitlines() if line.startswith("+ ")]

    @property
    def last_line(self) -> str:
        return self.stdout.splitlines()[-1]

    @property
    def call(self) -> str:
        lines = self.stdout.removesuffix(f"{DRY_RUN_ENDS}\n").rpartition("Call the function")[2].splitlines()[1:]
        return "\n".join(lines)


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository, and a working directory outside the copy."""

    root: Path
    work: Path

    def run(self, *arguments: str, **variables: str) -> Result:
        result = subprocess.run(
            [str(self.root / "deploy.sh"), *arguments],
            cwd=self.work,
            env=self.environment(**variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=MAX_SECONDS,
            check=False,
        )
        return Result(result.returncode, result.stdout, result.stderr)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return this process's environment without the variables that deploy.sh and the function read."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(_READ_VARIABLES)}
        return kept | {"CLOUDSDK_CONFIG": str(self.work / "gcloud")} | variables

    @property
    def package(self) -> Path:
        return self.root / "dist" / "ddm-precheck.zip"

    def files(self) -> dict[str, int]:
        return {str(path): path.lstat().st_mtime_ns for path in self.root.rglob("*")}

    def processes(self) -> list[str]:
        """Return the command lines of the processes whose working directory is the copy."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if (path / "cwd").readlink() == self.root:
                    found.append((path / "cmdline").read_text().replace("\0", " "))
        return found


def copy_repository(target: Path) -> Checkout:
    shutil.copytree(ROOT, target, ignore=_NOT_COPIED)
    work = target.parent / f"{target.name} work"
    work.mkdir()
    return Checkout(target, work)


def find_python(version: str) -> str:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = (shutil.which(f"python{version}"), *pyenv.glob(f"versions/{version}.*/bin/python{version}"))
    for candidate in filter(None, candidates):
        command = [str(candidate), "-c", "import sys; print(sys.executable)"]
        with suppress(OSError, subprocess.CalledProcessError):
            return subprocess.check_output(command, stderr=subprocess.DEVNULL, text=True).strip()
    pytest.skip(f"no Python {version} runs on this machine")


def make_path(folder: Path, **programs: str) -> str:
    """Create a folder with only the tools that deploy.sh needs and with these scripts. Return it as a PATH."""
    folder.mkdir()
    for name in _TOOLS:
        (folder / name).symlink_to(shutil.which(name) or pytest.skip(f"{name} is missing"))
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder)


def launcher(program: str) -> str:
    return f'#!/bin/sh\nexec {shlex.quote(program)} "$@"\n'


def post(port: int, event: object) -> tuple[int, dict[str, Any]]:
    """POST an event as soon as the port is open, and return the status and the JSON body of the response."""
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", HTTPAdapter(max_retries=Retry(connect=60, backoff_factor=0.05, backoff_max=0.5)))
        response = session.post(f"http://127.0.0.1:{port}", data=json.dumps(event), timeout=30)
        return response.status_code, response.json()


def run_in_bash(command: str, **variables: str) -> str:
    environment = os.environ | variables | {"no_proxy": "127.0.0.1"}
    return subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def deploy_sh(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Result]:
    """A function that runs deploy.sh in this process, with environment variables. The package has no real content."""
    monkeypatch.setattr(deploy_package, "run", lambda: b"the package")
    for name in os.environ:
        if name.startswith(_READ_VARIABLES):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # the token may not be sent to a proxy

    def run(*arguments: str, **variables: str) -> Result:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        capfd.readouterr()
        status = cli.main(arguments)
        return Result(status, *capfd.readouterr())

    return run


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGcloud:
    folder = tmp_path / "gcloud"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return FakeGcloud(folder)


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    return copy_repository(tmp_path_factory.mktemp("deploy") / "a copy")


@pytest.fixture
def fresh_checkout(tmp_path: Path) -> Checkout:
    return copy_repository(tmp_path / "a fresh copy")


@pytest.fixture(scope="session")
def registry() -> None:
    command = [sys.executable, "-m", "pip", "index", "versions", "idna"]
    try:
        subprocess.run(command, capture_output=True, timeout=MAX_SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        pytest.skip("no package registry can be reached")


@pytest.fixture(scope="session")
def local_wheels(registry: None, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Pip's variables for a build from a folder: the wheels of the package, downloaded once for the whole run."""
    folder = tmp_path_factory.mktemp("wheels")
    deploy_package.download(folder)
    return {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": folder.as_uri()}


@pytest.fixture(scope="session")
def whole_deployment(checkout: Checkout, local_wheels: dict[str, str]) -> tuple[Result, FakeFunctionGraph]:
    """A run of deploy.sh that builds the package, with bytecode, and deploys the event function."""
    find_python("3.12")
    with FakeFunctionGraph() as api:
        secrets = {"HUAWEICLOUD_TOKEN": TOKEN, "FUNCTIONGRAPH_ENDPOINT": api.url}
        result = checkout.run(*FUNCTIONGRAPH, "--event", **secrets, **local_wheels)
    assert result.status == 0, result
    return result, api


@pytest.fixture(scope="session")
def package(checkout: Checkout, whole_deployment: tuple[Result, FakeFunctionGraph]) -> Path:
    return checkout.package


@pytest.fixture(scope="session")
def installed_checkout(registry: None, tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    """A copy of the repository after the first run of `deploy.sh local`, for the whole run."""
    copy = copy_repository(tmp_path_factory.mktemp("installed") / "an installed copy")
    # Without compilation: Python compiles a module at its import, and many modules are never imported.
    result = copy.run("local", "--once", PORT=str(free_port()), PIP_NO_COMPILE="1")
    assert (result.status, result.last_line) == (0, "7 of 7 responses as expected.")
    assert "installing the requirements" in result.stderr
    return copy
