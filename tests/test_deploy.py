"""`deploy.sh`, called as its users call it: another working directory, and a path with a space."""

import base64
import csv
import hashlib
import io
import json
import os
import shlex
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path

import pytest
from helpers.functiongraph_api import FunctionGraphApi, Reply, code_in
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ddm_precheck import settings

ROOT = Path(__file__).parent.parent
TOKEN = "MIIFAKETOKEN+/=0123456789abcdef"
PROJECT_ID = "0123456789abcdef0123456789abcdef"
URN = f"urn:fss:cn-north-4:{PROJECT_ID}:function:default:ddm-precheck"
SERVICE_URL = "https://ddm-precheck-abc123-ew.a.run.app"
PLATFORM_PYTHON = Path("/opt/function/runtime/python3.12/rtsp/python/bin/python3")
TOOLS = ("awk", "bash", "cat", "cmp", "env", "mkdir", "readlink", "touch")
NOT_COPIED = shutil.ignore_patterns(
    *(".git", ".venv", "dist", "mutants", "node_modules", "__pycache__"),
    *(".*_cache", ".cache", ".coverage*", ".hypothesis", ".schemathesis"),
)
CLOUD_RUN = ("cloud-run", "--project", "demo-project", "--region", "europe-west1")
FUNCTIONGRAPH = ("functiongraph", "--project-id", PROJECT_ID, "--region", "cn-north-4")
LONGEST_SECONDS = 180


@dataclass(frozen=True)
class Result:
    """What a call of deploy.sh came to."""

    status: int
    stdout: str
    stderr: str

    @property
    def commands(self) -> list[str]:
        """The commands and calls that were printed."""
        return [line.removeprefix("+ ") for line in self.stdout.splitlines() if line.startswith("+ ")]


@dataclass(frozen=True)
class Checkout:
    """A copy of the repository that may be worked in."""

    root: Path
    work: Path

    def run(self, *arguments: str, **environment: str) -> Result:
        """Call deploy.sh from another directory."""
        result = subprocess.run(
            [self.root / "deploy.sh", *arguments],
            cwd=self.work,
            env=self.environment(**environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_SECONDS,
            check=False,
        )
        return Result(result.returncode, result.stdout, result.stderr)

    def environment(self, **changes: str) -> dict[str, str]:
        """Return this process's environment without what deploy.sh reads, and with the changes."""
        read = {"HUAWEICLOUD_TOKEN", "FUNCTIONGRAPH_ENDPOINT", "PORT", "DDM_ENDPOINT", "DDM_REGION", "K_SINK"}
        kept = {name: value for name, value in os.environ.items() if name not in read}
        return kept | {"CLOUDSDK_CONFIG": str(self.work / "gcloud")} | changes

    @property
    def package(self) -> Path:
        """Where the package for FunctionGraph is built."""
        return self.root / "dist" / "ddm-precheck.zip"

    def files(self) -> dict[str, int]:
        """Return all files and when they were changed."""
        return {str(path): path.lstat().st_mtime_ns for path in self.root.rglob("*")}


def copied(target: Path) -> Checkout:
    """Copy the repository to the target."""
    shutil.copytree(ROOT, target, ignore=NOT_COPIED)
    work = target.parent / f"{target.name} work"
    work.mkdir()
    return Checkout(target, work)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Checkout:
    """Return a copy of the repository in a path with a space."""
    return copied(tmp_path_factory.mktemp("deploy") / "a copy")


@pytest.fixture
def fresh(tmp_path) -> Checkout:
    """Return a copy that nothing was done in."""
    return copied(tmp_path / "a fresh copy")


@pytest.fixture(scope="module")
def registry() -> None:
    """Skip where packages cannot be fetched."""
    with subprocess.Popen(
        [sys.executable, "-m", "pip", "index", "versions", "idna"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as pip:
        if pip.wait(LONGEST_SECONDS):
            pytest.skip("no package registry can be reached")


@pytest.fixture(scope="module")
def built(checkout, registry) -> Path:
    """Return the package for FunctionGraph, built once."""
    result = checkout.run("functiongraph", "--package-only")
    content = checkout.package.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert result == Result(0, f"dist/ddm-precheck.zip: {len(content):,} bytes, sha256 {digest}\n", "")
    return checkout.package


@pytest.fixture(scope="module")
def installed(checkout, registry) -> Checkout:
    """Return the copy after `local` has made its environment there."""
    result = checkout.run("local", "--once", PORT=str(free_port()))
    assert (result.status, result.stdout.splitlines()[-1]) == (0, "5 of 5 answers as expected.")
    assert "Installing the requirements" in result.stderr
    return checkout


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def python(version: str) -> str:
    """Return a Python of the version that really runs, or skip."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
    for candidate in filter(None, candidates):
        command = [candidate, "-c", "import sys; print(sys.executable)"]
        with suppress(OSError):
            result = subprocess.run(command, capture_output=True, text=True, check=False)
            if result.returncode == 0:
                return result.stdout.strip()
    pytest.skip(f"there is no Python {version} that runs")


def tools(folder: Path, **programs: str) -> str:
    """Return a PATH with what deploy.sh needs, and the given programs, and no more."""
    folder.mkdir()
    for name in TOOLS:
        (folder / name).symlink_to(shutil.which(name) or pytest.skip(f"{name} is missing"))
    for name, text in programs.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return str(folder)


def launcher(program: str) -> str:
    """Return a script that runs the program."""
    return f'#!/bin/sh\nexec {shlex.quote(program)} "$@"\n'


def gcloud_stub(log: Path, status: int = 0) -> str:
    """Return a gcloud that notes how it was called and prints the URL of a service."""
    return (
        f'#!/bin/sh\nprintf "%s\\n" call "$@" >> {shlex.quote(str(log))}\n'
        f"printf '%s\\n' {SERVICE_URL}\nexit {status}\n"
    )


@pytest.fixture
def gcloud(tmp_path) -> Callable[[], list[list[str]]]:
    """Return the calls that the stub on PATH has seen; its folder is `tmp_path / "tools"`."""
    log = tmp_path / "gcloud calls"
    tools(tmp_path / "tools", gcloud=gcloud_stub(log), python3=launcher(sys.executable))

    def calls() -> list[list[str]]:
        text = log.read_text() if log.exists() else ""
        return [call.splitlines() for call in text.split("call\n") if call]

    return calls


def real_gcloud() -> str:
    """Return Google's gcloud, or skip."""
    return shutil.which("gcloud") or pytest.skip("gcloud is missing")


# The command line


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("help",), ("cloud-run", "--help")], ids=" ".join)
def test_help_is_the_header(checkout, arguments):
    """The usage text is printed, and it is what stands at the head of the script."""
    lines = (ROOT / "deploy.sh").read_text().splitlines()[1:]
    header = lines[: next(number for number, line in enumerate(lines) if not line.startswith("#"))]
    result = checkout.run(*arguments)
    assert result == Result(0, "".join(f"{line.removeprefix('#').removeprefix(' ')}\n" for line in header), "")


DDM_REGIONS = ["CN", "cn-north-4,A=b", "a" * 33]
ENDPOINTS_REFUSED = [
    *("ddm.example", "http://ddm.example", "ftp://ddm.example", "https://", "https://a@ddm.example"),
    *("https://ddm.example,A=b", "https://ddm.example/?a=b", "https://ddm.example/#a", "https://ddm.example /"),
    *("https://ddm.{region}", "https://{zone}.example", "http://localhost.example", "http://127.0.0.1.example"),
    *("https://ddm.{region}.", "https://ddm.example:0", "https://ddm.example:99999", "http://127.999.0.1"),
]
ENDPOINTS_TAKEN = [
    *("https://ddm.example", "https://ddm.{region}.example/base/{region}/", "https://ddm-{region}.example:8443"),
    *("http://127.0.0.1:9999", "http://localhost:9999/base", "http://[::1]:9999"),
]
WRONG_CALLS = {
    "nothing": ((), "missing command"),
    "unknown command": (("deploy",), "deploy"),
    "option first": (("--dry-run",), "--dry-run"),
    "unknown option": (("local", "--bogus"), "--bogus"),
    "another command's option": (("local", "--project", "p"), "--project"),
    "a secret as an unknown option": (("functiongraph", f"--token={TOKEN}"), "--token"),
    "unexpected argument": (("local", "extra"), "extra"),
    "value of a flag": (("local", "--once=no"), "--once"),
    "no project": (("cloud-run", "--region", "europe-west1"), "--project"),
    "no region": (("cloud-run", "--project", "demo-project"), "--region"),
    "no value at the end": (("cloud-run", "--project"), "--project"),
    "an option as value": (("cloud-run", "--project", "--region", "europe-west1"), "--project"),
    "empty value": ((*CLOUD_RUN, "--service", ""), "--service"),
    "empty value after =": ((*CLOUD_RUN, "--service="), "--service"),
    "value that is an option": ((*CLOUD_RUN, "--service=--quiet"), "--service"),
    "project with a comma": (("cloud-run", "--project", "a,b", "--region", "europe-west1"), "--project"),
    "project of two lines": (("cloud-run", "--project", "a\nb", "--region", "europe-west1"), "--project"),
    "Cloud Run region": (("cloud-run", "--project", "demo-project", "--region", "Europe"), "--region"),
    "service": ((*CLOUD_RUN, "--service", "DDM_precheck"), "--service"),
    "long service": ((*CLOUD_RUN, "--service", "a" * 50), "--service"),
    "service account": ((*CLOUD_RUN, "--service-account", "somebody@example.com"), "--service-account"),
    "no project ID": (("functiongraph", "--region", "cn-north-4"), "--project-id"),
    "no FunctionGraph region": (("functiongraph", "--project-id", PROJECT_ID), "--region"),
    "project ID": (("functiongraph", "--project-id", "a/b", "--region", "cn-north-4"), "--project-id"),
    "FunctionGraph region": (("functiongraph", "--project-id", PROJECT_ID, "--region", "cn/4"), "--region"),
    "name": ((*FUNCTIONGRAPH, "--name", "4ddm"), "--name"),
    "no token": (FUNCTIONGRAPH, "HUAWEICLOUD_TOKEN"),
    **{f"DDM region {value}": ((*CLOUD_RUN, "--ddm-region", value), "--ddm-region") for value in DDM_REGIONS},
    **{f"endpoint {value}": ((*CLOUD_RUN, "--ddm-endpoint", value), "--ddm-endpoint") for value in ENDPOINTS_REFUSED},
}
WRONG_ENVIRONMENTS = {
    "PORT in words": (("local",), {"PORT": "http"}, "PORT"),
    "PORT 0": (("local",), {"PORT": "0"}, "PORT"),
    "PORT too high": (("local",), {"PORT": "65536"}, "PORT"),
    "token with a line break": (FUNCTIONGRAPH, {"HUAWEICLOUD_TOKEN": f"{TOKEN}\n"}, "HUAWEICLOUD_TOKEN"),
    "token with a space": (FUNCTIONGRAPH, {"HUAWEICLOUD_TOKEN": f"{TOKEN} {TOKEN}"}, "HUAWEICLOUD_TOKEN"),
    "FunctionGraph without TLS": (
        FUNCTIONGRAPH,
        {"FUNCTIONGRAPH_ENDPOINT": "http://functiongraph.example", "HUAWEICLOUD_TOKEN": TOKEN},
        "FUNCTIONGRAPH_ENDPOINT",
    ),
}


@pytest.mark.parametrize(
    ("arguments", "environment", "named"),
    [*((arguments, {}, named) for arguments, named in WRONG_CALLS.values()), *WRONG_ENVIRONMENTS.values()],
    ids=[*WRONG_CALLS, *WRONG_ENVIRONMENTS],
)
def test_a_wrong_call_is_one_line_and_nothing_is_done(checkout, gcloud, tmp_path, arguments, environment, named):
    """Exit status 2 and one line that names what is wrong; nothing has run or changed, and no token is told."""
    before = checkout.files()
    result = checkout.run(*arguments, PATH=str(tmp_path / "tools"), **environment)
    assert (result.status, result.stdout) == (2, "")
    assert result.stderr.startswith("deploy.sh: ")
    assert result.stderr.count("\n") == 1
    assert named in result.stderr
    assert TOKEN not in result.stderr
    assert gcloud() == []
    assert checkout.files() == before


def test_a_link_is_followed(checkout, tmp_path):
    """Called by a link from elsewhere, it works on its own folder."""
    link = tmp_path / "a link"
    link.symlink_to(checkout.root / "deploy.sh")
    (checkout.work / "bin").mkdir(exist_ok=True)
    command = [link, "cloud-run", *CLOUD_RUN[1:], "--dry-run"]
    path = tools(tmp_path / "tools", gcloud="#!/bin/sh\n", python3=launcher(sys.executable))
    result = subprocess.run(command, cwd=tmp_path, env={"PATH": path}, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"--source '{checkout.root}'" in result.stdout


@pytest.mark.parametrize("value", ENDPOINTS_TAKEN)
def test_the_function_takes_every_endpoint_that_is_deployed(checkout, gcloud, tmp_path, value):
    """What --ddm-endpoint takes is what the function starts with."""
    result = checkout.run(*CLOUD_RUN, "--ddm-endpoint", value, "--dry-run", PATH=str(tmp_path / "tools"))
    assert result.status == 0
    assert f"DDM_ENDPOINT={value}" in shlex.split(result.commands[0])[-4]
    assert settings.from_environment({"DDM_ENDPOINT": value}).endpoint == value.rstrip("/")


# Python


def test_a_python_that_does_not_run_does_not_count(checkout, tmp_path):
    """The first candidate that runs and is new enough is taken, such as python3.12 behind two that are not."""
    real = python("3.12")
    old = "#!/bin/sh\necho ''\n"
    path = tools(
        tmp_path / "tools", **{"python3": "#!/bin/sh\nexit 127\n", "python3.13": old, "python3.12": launcher(real)}
    )
    assert checkout.run("local", "--dry-run", PATH=path).commands[0] == f"{real} -m venv --clear .venv"


def test_no_python_is_told(checkout, tmp_path):
    """Without a Python nothing can be done, which one line tells."""
    result = checkout.run("local", PATH=tools(tmp_path / "tools"))
    assert (result.status, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "Python 3.11" in result.stderr


# Cloud Run

ENVIRONMENT = "THREADS=64"
CALLS = {
    "defaults": ((), "ddm-precheck", "--no-allow-unauthenticated", ENVIRONMENT, ()),
    "everything": (
        (
            *("--service=precheck-2", "--allow-unauthenticated", "--ddm-region", "cn-north-4"),
            *("--ddm-endpoint=https://ddm.{region}.example", "--service-account", "ddm@demo.iam.gserviceaccount.com"),
        ),
        "precheck-2",
        "--allow-unauthenticated",
        f"{ENVIRONMENT},DDM_REGION=cn-north-4,DDM_ENDPOINT=https://ddm.{{region}}.example",
        ("--service-account", "ddm@demo.iam.gserviceaccount.com"),
    ),
}


@pytest.mark.parametrize(("options", "service", "access", "variables", "more"), CALLS.values(), ids=CALLS)
def test_cloud_run_is_one_call_of_gcloud(checkout, gcloud, tmp_path, options, service, access, variables, more):
    """Gcloud is called once, with the documented flags and the root as source; the URL and a call of it are printed."""
    result = checkout.run(*CLOUD_RUN, *options, PATH=str(tmp_path / "tools"), HUAWEICLOUD_TOKEN=TOKEN)
    assert (result.status, result.stderr) == (0, "")
    (call,) = gcloud()
    assert call == [
        *("run", "deploy", service, "--project", "demo-project", "--region", "europe-west1"),
        *("--source", str(checkout.root), "--function", "precheck", "--base-image", "python313", access),
        *("--concurrency", "64", "--cpu", "1", "--memory", "512Mi", "--timeout", "60s"),
        *("--min-instances", "0", "--max-instances", "10", "--update-env-vars", variables, *more),
        *("--quiet", "--format", "value(status.url)"),
    ]
    assert f"URL: {SERVICE_URL}\n" in result.stdout
    curl = shlex.split(result.stdout.splitlines()[-1].partition(" | ")[2])
    assert curl[:5] == ["curl", "-sS", "-X", "POST", SERVICE_URL]
    private = "Authorization: Bearer $(gcloud auth print-identity-token)" in curl
    assert private == (access == "--no-allow-unauthenticated")
    assert json.loads(curl[-1])["db_name"] == "orders"
    assert TOKEN not in result.stdout


def test_the_printed_curl_works(checkout, gcloud, tmp_path):
    """Run as printed, it sends the sample event with both tokens; the one for DDM is in no process's arguments."""
    if not shutil.which("curl"):
        pytest.skip("curl is missing")
    result = checkout.run(*CLOUD_RUN, PATH=str(tmp_path / "tools"))
    path = f"{tmp_path / 'tools'}{os.pathsep}{os.environ['PATH']}"
    with FunctionGraphApi({"POST ": Reply(200, {"verdict": "PASS"})}) as server:
        line = result.stdout.splitlines()[-1].replace(SERVICE_URL, server.endpoint)
        environment = checkout.environment(PATH=path, HUAWEICLOUD_TOKEN=TOKEN, no_proxy="127.0.0.1")
        output = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, check=True).stdout
    (call,) = server.calls
    assert (json.loads(output), call.token, call.body["db_name"]) == ({"verdict": "PASS"}, TOKEN, "orders")
    assert call.authorization == f"Bearer {SERVICE_URL}"  # the stub prints the same whatever it is asked
    assert server.tokens_in_arguments == []


def test_a_dry_run_prints_the_call_and_makes_none(checkout, gcloud, tmp_path):
    """What a dry run prints is, word for word, what is run otherwise."""
    options = (*CLOUD_RUN, "--ddm-endpoint", "https://ddm.{region}.example")
    before = checkout.files()
    rehearsed = checkout.run(*options, "--dry-run", PATH=str(tmp_path / "tools"))
    assert (rehearsed.status, rehearsed.stderr, gcloud()) == (0, "", [])
    assert checkout.files() == before
    checkout.run(*options, PATH=str(tmp_path / "tools"))
    assert [shlex.split(command) for command in rehearsed.commands] == [["gcloud", *call] for call in gcloud()]


@pytest.mark.parametrize("options", [options for options, *_ in CALLS.values()], ids=CALLS)
def test_googles_linter_takes_every_printed_command(checkout, options):
    """Gcloud itself finds nothing wrong with the commands, the one inside the printed curl included."""
    gcloud = real_gcloud()
    result = checkout.run(*CLOUD_RUN, *options, "--dry-run")
    commands = [*result.commands]
    if "print-identity-token" in result.stdout:
        commands.append("gcloud auth print-identity-token")
    assert len(commands) == (1 if "--allow-unauthenticated" in options else 2)
    for command in commands:
        lint = [gcloud, "meta", "lint-gcloud-commands", f"--command-string={command}"]
        output = subprocess.run(lint, env=checkout.environment(), capture_output=True, text=True, check=True).stdout
        assert [(found["success"], found["error_message"]) for found in json.loads(output)] == [(True, None)]


def test_what_runs_is_uploaded_and_nothing_else(fresh):
    """Of a repository with all that work leaves behind, only the function and its requirements are uploaded."""
    gcloud = real_gcloud()
    for name in ("dist/a.zip", ".venv/a.py", ".env", "ddm_precheck/__pycache__/a.pyc", "schemas/old/a.json", "a.log"):
        (fresh.root / name).parent.mkdir(parents=True, exist_ok=True)
        (fresh.root / name).touch()
    command = [gcloud, "meta", "list-files-for-upload", str(fresh.root)]
    output = subprocess.run(command, env=fresh.environment(), capture_output=True, text=True, check=True).stdout
    patterns = ("main.py", "ddm_precheck/*.py", "schemas/*.schema.json", "requirements.txt", "constraints.txt")
    runs = [path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)]
    assert sorted(output.splitlines()) == sorted(runs)


def test_a_failing_gcloud_is_told(checkout, tmp_path):
    """The last line says that it did not work, and no URL is printed."""
    log = tmp_path / "calls"
    path = tools(tmp_path / "tools", gcloud=gcloud_stub(log, status=3), python3=launcher(sys.executable))
    assert checkout.run(*CLOUD_RUN, PATH=path) == Result(1, "", "deploy.sh: gcloud run deploy failed\n")


def test_a_missing_gcloud_is_told(checkout, tmp_path):
    """A dry run tells it too."""
    path = tools(tmp_path / "tools", python3=launcher(sys.executable))
    result = checkout.run(*CLOUD_RUN, "--dry-run", PATH=path)
    assert (result.status, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "gcloud" in result.stderr


BROKEN = {
    "main.py": "def precheck(:\n",
    "ddm_precheck/event.py": "import\n",
    "ddm_precheck/settings.py": "def:\n",
    "schemas/event.schema.json": "{",
    "constraints.txt": None,
}


@pytest.mark.parametrize(("name", "content"), BROKEN.items(), ids=BROKEN)
def test_broken_source_is_told_before_it_is_uploaded(fresh, gcloud, tmp_path, name, content):
    """One line names the file, and gcloud is not called."""
    (fresh.root / name).unlink()
    if content:
        (fresh.root / name).write_text(content)
    result = fresh.run(*CLOUD_RUN, PATH=str(tmp_path / "tools"))
    assert (result.status, result.stdout, result.stderr.count("\n"), gcloud()) == (1, "", 1, [])
    assert name in result.stderr


# The package for FunctionGraph


def test_the_package_has_what_runs(built):
    """The function, its schemas, its start script with the run bit; every entry with the same time and mode."""
    with zipfile.ZipFile(built) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        ours = [name for name in names if not name.startswith("lib/")]
        content = {name: archive.read(name) for name in ours}
    patterns = ("main.py", "ddm_precheck/*.py", "schemas/*.schema.json")
    sources = [path for pattern in patterns for path in ROOT.glob(pattern)]
    expected = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in sources}
    assert content == expected | {"bootstrap": (ROOT / "deploy" / "bootstrap").read_bytes()}
    assert names == sorted(set(names))
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    modes = {entry.filename: stat.filemode(entry.external_attr >> 16) for entry in entries}
    assert {name for name, mode in modes.items() if mode != "-rw-r--r--"} == {"bootstrap"}
    assert modes["bootstrap"] == "-rwxr-xr-x"
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_package_has_the_locked_requirements_whole(built, tmp_path):
    """Each locked package is there as it was published, and CPython 3.12 on Linux needs no other."""
    with zipfile.ZipFile(built) as archive:
        archive.extractall(tmp_path)
    found = {canonicalize_name(each.name): each for each in distributions(path=[str(tmp_path / "lib")])}
    lines = [
        line for name in ("requirements.txt", "constraints.txt") for line in (ROOT / name).read_text().splitlines()
    ]
    locked = dict(line.split("==") for line in lines if "==" in line)
    assert {name: each.version for name, each in found.items()} == {canonicalize_name(k): v for k, v in locked.items()}
    target = {"python_version": "3.12", "python_full_version": "3.12.0", "sys_platform": "linux", "extra": ""}
    target |= {"platform_system": "Linux", "platform_machine": "x86_64", "implementation_name": "cpython"}
    for each in found.values():
        for requirement in map(Requirement, each.requires or []):
            if not requirement.marker or requirement.marker.evaluate(target):
                assert found[canonicalize_name(requirement.name)].version in requirement.specifier, str(requirement)
        for path, digest, _ in csv.reader(io.StringIO(each.read_text("RECORD") or "")):
            if digest:
                content = (tmp_path / "lib" / path).read_bytes()
                assert (
                    digest
                    == f"sha256={base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip('=')}"
                )
    assert [path.name for path in tmp_path.glob("lib/rpds/*.so")] == ["rpds.cpython-312-x86_64-linux-gnu.so"]


def test_the_same_input_gives_the_same_bytes(built, tmp_path):
    """Another path and another Python make no difference."""
    other = copied(tmp_path / "elsewhere")
    path = f"{tools(tmp_path / 'tools', python3=launcher(python('3.13')))}{os.pathsep}{os.environ['PATH']}"
    assert other.run("functiongraph", "--package-only", PATH=path).status == 0
    assert other.package.read_bytes() == built.read_bytes()


def test_a_package_that_cannot_be_built_leaves_the_old_one(fresh):
    """Without a registry one line says so, and what was built before is still there."""
    fresh.package.parent.mkdir()
    fresh.package.write_text("the old one")
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    result = fresh.run("functiongraph", "--package-only", **nowhere)
    assert (result.status, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "pip could not download the requirements" in result.stderr
    assert [path.read_text() for path in fresh.package.parent.iterdir()] == ["the old one"]


@pytest.fixture
def platform() -> Iterator[None]:
    """Put a CPython 3.12 where FunctionGraph has its own."""
    if PLATFORM_PYTHON.exists():
        yield
        return
    made = [folder for folder in reversed(PLATFORM_PYTHON.parents) if not folder.exists()]
    try:
        PLATFORM_PYTHON.parent.mkdir(parents=True)
    except OSError:
        pytest.skip(f"{PLATFORM_PYTHON} cannot be made here")
    try:
        PLATFORM_PYTHON.symlink_to(python("3.12"))
        yield
    finally:
        PLATFORM_PYTHON.unlink(missing_ok=True)
        for folder in reversed(made):
            folder.rmdir()


@pytest.mark.parametrize("environment", [{}, {"HOME": "/proc/none"}], ids=["nothing", "a home that is none"])
def test_the_package_serves_on_the_platform(built, platform, tmp_path, environment):
    """Unpacked elsewhere and started by its bootstrap, it answers on 127.0.0.1:8000 and complains of nothing."""
    code = tmp_path / "the code"
    with zipfile.ZipFile(built) as archive:
        for entry in archive.infolist():
            Path(archive.extract(entry, code)).chmod(entry.external_attr >> 16 & 0o777)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError:
            pytest.skip("port 8000 is taken")
    with subprocess.Popen(
        [code / "bootstrap"], cwd="/", env=environment, stderr=subprocess.PIPE, start_new_session=True
    ) as server:
        try:
            status, answer = posted(8000, {})
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            _, errors = server.communicate(timeout=30)
    assert (status, answer["verdict"], answer["code"], errors) == (400, "ERROR", "invalid-event", b"")


def posted(port: int, event: object) -> tuple[int, dict]:
    """POST an event as soon as somebody listens."""
    request = urllib.request.Request(f"http://127.0.0.1:{port}", json.dumps(event).encode())
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(300):
        try:
            with opener.open(request, timeout=30) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            time.sleep(0.1)
    pytest.fail("nobody listens")


# FunctionGraph's API

LIMITS = {"memory_size": 512, "timeout": 30}
CONFIG = {"func_name": "ddm-precheck", "runtime": "http", "handler": "bootstrap", **LIMITS}
CODE = {"code_type": "zip", "code_filename": "ddm-precheck.zip"}


def test_the_first_run_creates_and_the_second_updates(built, checkout):
    """Both go through the whole script; the token is in one header of each call and nowhere else."""
    options = (*FUNCTIONGRAPH, "--ddm-region", "cn-north-4", "--ddm-endpoint=https://ddm.{region}.example")
    with FunctionGraphApi() as api:
        secrets = {"HUAWEICLOUD_TOKEN": TOKEN, "FUNCTIONGRAPH_ENDPOINT": f"{api.endpoint}/"}
        results = [checkout.run(*options, **secrets) for _ in range(2)]
    assert [result.status for result in results] == [0, 0]
    assert {result.stdout.splitlines()[-1] for result in results} == {f"deployed: {URN}"}
    functions = f"/v2/{PROJECT_ID}/fgs/functions"
    assert [(call.name, call.path) for call in api.calls] == [
        ("GET config", f"{functions}/{URN}/config"),
        ("POST functions", functions),
        ("GET config", f"{functions}/{URN}/config"),
        ("PUT code", f"{functions}/{URN}/code"),
        ("PUT config", f"{functions}/{URN}/config"),
    ]
    _, created, _, code, config = (call.body for call in api.calls)
    user_data = json.dumps({"DDM_REGION": "cn-north-4", "DDM_ENDPOINT": "https://ddm.{region}.example"})
    assert {code_in(created), code_in(code)} == {checkout.package.read_bytes()}
    for body in (created, code):
        del body["func_code"]
    assert created == {**CONFIG, **CODE, "package": "default", "type": "v2", "user_data": user_data}
    assert (code, config) == (CODE, {**CONFIG, "user_data": user_data})
    assert {call.token for call in api.calls} == {TOKEN}
    assert api.tokens_in_arguments == []
    assert TOKEN not in "".join(result.stdout + result.stderr for result in results)
    files = [path for path in checkout.root.rglob("*") if path.is_file()]
    assert [path.name for path in files if TOKEN.encode() in path.read_bytes()] == [Path(__file__).name]


def test_a_dry_run_prints_the_calls_and_makes_none(built, checkout):
    """Both ways are printed with their bodies, to the region's own API; only dist/ changes, and no token is needed."""
    before = {name: time for name, time in checkout.files().items() if "/dist" not in name}
    result = checkout.run(*FUNCTIONGRAPH, "--dry-run")
    functions = f"https://functiongraph.cn-north-4.myhuaweicloud.com/v2/{PROJECT_ID}/fgs/functions"
    assert (result.status, result.stderr) == (0, "")
    assert result.commands == [
        f"GET {functions}/{URN}/config",
        f"POST {functions}",
        f"GET {functions}/{URN}/config",
        f"PUT {functions}/{URN}/code",
        f"PUT {functions}/{URN}/config",
    ]
    created, code, config = (json.loads(line) for line in result.stdout.splitlines() if line.startswith("  "))
    file = {"func_code": {"file": "<base64 of ddm-precheck.zip>"}}
    assert created == {**CONFIG, **CODE, **file, "package": "default", "type": "v2", "user_data": "{}"}
    assert (code, config) == ({**CODE, **file}, {**CONFIG, "user_data": "{}"})
    assert {name: time for name, time in checkout.files().items() if "/dist" not in name} == before


def call_api(checkout: Checkout, endpoint: str, *more: str) -> Result:
    """Run the API client alone: the package is built already."""
    command = [sys.executable, "-B", "-m", "deploy.functiongraph", "--endpoint", endpoint, *FUNCTIONGRAPH[1:]]
    command += ["--name", "ddm-precheck", *more]
    environment = checkout.environment(HUAWEICLOUD_TOKEN=TOKEN, HTTP_PROXY="http://127.0.0.1:9")
    result = subprocess.run(
        command,
        cwd=checkout.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LONGEST_SECONDS,
        check=False,
    )
    return Result(result.returncode, result.stdout, result.stderr)


def test_an_update_keeps_what_others_have_set(built, checkout):
    """Other variables and larger limits stay, and the members that this project knows nothing of are not sent."""
    variables = {"DDM_TIMEOUT_SECONDS": "20", "DDM_REGION": "cn-north-1"}
    function = {"runtime": "http", "memory_size": 1024, "timeout": 60, "xrole": "an-agency"}
    with FunctionGraphApi(function=function | {"user_data": json.dumps(variables)}) as api:
        result = call_api(checkout, api.endpoint, "--set", "DDM_REGION", "cn-north-4")
    assert (result.status, api.names) == (0, ["GET config", "PUT code", "PUT config"])
    user_data = json.dumps({"DDM_TIMEOUT_SECONDS": "20", "DDM_REGION": "cn-north-4"})
    assert api.calls[-1].body == {**CONFIG, "memory_size": 1024, "timeout": 60, "user_data": user_data}


HTTP_FUNCTION = {"runtime": "http", "memory_size": 512, "timeout": 30, "user_data": ""}
ELSEWHERE = {"Location": "http://127.0.0.1:9/elsewhere"}
REFUSALS = {
    "forbidden": (
        {"GET config": Reply(403, {"error_code": "FSS.0403", "error_msg": "Forbidden"})},
        ["GET config"],
        "403 FSS.0403: Forbidden",
    ),
    "token echoed": (
        {"GET config": Reply(401, {"error_code": "APIGW.0307", "error_msg": f"Token {TOKEN}\nis no good"})},
        ["GET config"],
        "401 APIGW.0307: Token *** is no good",
    ),
    "another 404": (
        {"GET config": Reply(404, {"error_code": "APIGW.0101", "error_msg": "API not found"})},
        ["GET config"],
        "404 APIGW.0101: API not found",
    ),
    "no JSON": ({"GET config": Reply(502, "<html>")}, ["GET config"], "502 no error_code: no error_msg"),
    "redirect": ({"GET config": Reply(302, "", ELSEWHERE)}, ["GET config"], "302 no error_code: no error_msg"),
    "redirected code": (
        {"PUT code": Reply(307, "", ELSEWHERE)},
        ["GET config", "PUT code"],
        "307 no error_code: no error_msg",
    ),
    "code too large": (
        {"PUT code": Reply(413, {"error_code": "FSS.0413", "error_msg": "The request body is too large."})},
        ["GET config", "PUT code"],
        "413 FSS.0413: The request body is too large.",
    ),
    "config refused": (
        {"PUT config": Reply(400, {"error_code": "FSS.1007", "error_msg": "Invalid function memory."})},
        ["GET config", "PUT code", "PUT config"],
        "400 FSS.1007: Invalid function memory.",
    ),
    "created meanwhile": (
        {
            "GET config": Reply(404, ""),
            "POST functions": Reply(409, {"error_code": "FSS.0409", "error_msg": "It exists."}),
        },
        ["GET config", "POST functions"],
        "409 FSS.0409: It exists.",
    ),
    "another kind of function": (
        {"GET config": Reply(200, HTTP_FUNCTION | {"runtime": "Python3.9"})},
        ["GET config"],
        "no HTTP function",
    ),
    "token in pieces": (
        {"GET config": Reply(401, {"error_code": "APIGW.0307", "error_msg": f"{TOKEN[:9]}\u200b{TOKEN[9:]}"})},
        ["GET config"],
        "401 APIGW.0307: ***",
    ),
    "config that is no JSON": ({"GET config": Reply(200, "<html>")}, ["GET config"], "config cannot be read"),
    "config cut short": (
        {"GET config": Reply(200, '{"runtime": "http"}', {"Content-Length": "200"})},
        ["GET config"],
        "was not answered",
    ),
    "refusal cut short": (
        {"GET config": Reply(403, '{"error_code": "FSS.0403"}', {"Content-Length": "200"})},
        ["GET config"],
        "was not answered",
    ),
    "memory that is no number": (
        {"GET config": Reply(200, HTTP_FUNCTION | {"memory_size": "2048"})},
        ["GET config"],
        "memory_size",
    ),
    "timeout that is no number": (
        {"GET config": Reply(200, HTTP_FUNCTION | {"timeout": [1]})},
        ["GET config"],
        "timeout",
    ),
    "variables that are no JSON": (
        {"GET config": Reply(200, HTTP_FUNCTION | {"user_data": "{"})},
        ["GET config"],
        "user_data",
    ),
    "variables that are no object": (
        {"GET config": Reply(200, HTTP_FUNCTION | {"user_data": "[]"})},
        ["GET config"],
        "user_data",
    ),
}


@pytest.mark.parametrize(("replies", "names", "told"), REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_is_told_in_the_apis_words(built, checkout, replies, names, told):
    """The last line has the API's code and message without the token; after a refusal there is no further call."""
    with FunctionGraphApi(replies, dict(HTTP_FUNCTION)) as api:
        result = call_api(checkout, api.endpoint)
    assert (result.status, result.stdout, api.names) == (1, "", names)
    *calls, last = result.stderr.splitlines()
    assert [line.split()[:2] for line in calls] == [["+", name.split()[0]] for name in names]
    assert last.startswith("deploy.sh: ")
    assert told in last
    assert TOKEN not in result.stderr


def test_a_refusal_ends_the_script_too(built, checkout):
    """The script's status is that of its last step."""
    refusal = Reply(403, {"error_code": "FSS.0403", "error_msg": "Forbidden"})
    with FunctionGraphApi({"GET config": refusal}) as api:
        result = checkout.run(*FUNCTIONGRAPH, FUNCTIONGRAPH_ENDPOINT=api.endpoint, HUAWEICLOUD_TOKEN=TOKEN)
    assert (result.status, api.names) == (1, ["GET config"])
    assert result.stderr.splitlines()[-1].endswith("403 FSS.0403: Forbidden")


def test_an_api_that_is_not_there_is_told(built, checkout):
    """No connection is one line, not a traceback."""
    result = call_api(checkout, f"http://127.0.0.1:{free_port()}")
    assert result.status == 1
    assert "was not answered" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


# Local


def test_local_shows_each_verdict(installed):
    """The second run installs nothing; each request and answer is shown, in order and without the token."""
    result = installed.run("local", "--once", PORT=str(free_port()))
    assert result.status == 0
    assert "Installing" not in result.stderr
    shown = result.stdout.splitlines()
    assert [line for line in shown if line.startswith("< ")] == ["< 200", "< 200", "< 200", "< 200", "< 401"]
    verdicts = [line.split('"')[3] for line in shown if line.startswith('  "verdict"')]
    assert verdicts == ["PASS", "WARN", "FAIL", "PENDING", "ERROR"]
    assert shown.count('  "token": "***"') == 5
    assert left_behind(installed) == []


def test_local_with_a_ddm_calls_it_not(installed):
    """With DDM_ENDPOINT set there is no stand-in, and the one event that is sent never reaches DDM."""
    result = installed.run("local", "--once", PORT=str(free_port()), DDM_ENDPOINT="http://127.0.0.1:9")
    assert (result.status, result.stdout.splitlines()[-1]) == (0, "1 of 1 answers as expected.")
    assert '"code": "invalid-event"' in result.stdout
    assert "DDM_ENDPOINT is set" in result.stdout


def test_local_tells_wrong_answers(fresh, installed):
    """A verdict that is not as it should be is named, and the exit status is 1."""
    (fresh.root / ".venv").symlink_to(installed.root / ".venv")
    standin = fresh.root / "deploy" / "fake_ddm.py"
    standin.write_text(standin.read_text().replace('"WARN"', '"SUCCESS"'))
    result = fresh.run("local", "--once", PORT=str(free_port()))
    assert (result.status, result.stdout.splitlines()[-1]) == (1, "4 of 5 answers as expected.")
    assert "! warn: verdict is 'PASS' instead of 'WARN'" in result.stdout.splitlines()


def test_local_tells_a_function_that_does_not_start(installed):
    """A setting that the function refuses ends it, which is told after its own line."""
    result = installed.run("local", "--once", PORT=str(free_port()), DDM_ENDPOINT="http://ddm.example")
    assert (result.status, result.stderr.splitlines()[-1]) == (
        1,
        "deploy.sh: the function has ended with exit status 1",
    )
    assert "DDM_ENDPOINT" in result.stderr
    assert left_behind(installed) == []


def test_local_tells_a_taken_port(installed):
    """Before anything starts, in one line."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        result = installed.run("local", PORT=str(port))
    assert (result.status, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert f"port {port} cannot be used" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_local_serves_until_it_is_told_to_stop(installed, number):
    """It serves after the samples, says how to call it, and a signal leaves no process behind."""
    port = free_port()
    with subprocess.Popen(
        [installed.root / "deploy.sh", "local"],
        cwd=installed.work,
        env=installed.environment(PORT=str(port)),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            curl = next(line for line in process.stdout if line.startswith("  curl"))
            status, answer = posted(port, json.loads(shlex.split(curl)[-1]))
            running = left_behind(installed)
        finally:
            process.send_signal(number)
            process.communicate(timeout=30)
    assert (status, answer["verdict"], process.returncode) == (200, "FAIL", 0)
    # deploy.sh has become deploy/local.py; then the stand-in, the server and its worker.
    assert len(running) == 4
    assert left_behind(installed) == []


def left_behind(checkout: Checkout) -> list[str]:
    """List the processes that work in the copy."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (path / "cwd").readlink() == checkout.root:
                found.append((path / "cmdline").read_text().replace("\0", " "))
    return found


VENV, PIP = "-m venv --clear .venv", ".venv/bin/python -m pip install"
STATES = {
    "nothing there": ([], [VENV, "touch", PIP, "cp", "rm"]),
    "all there": (["venv", "requirements.txt", "constraints.txt"], []),
    "interrupted": (["venv", "requirements.txt", "constraints.txt", ".installing"], [VENV, "touch", PIP, "cp", "rm"]),
    "new requirements": (["venv", "constraints.txt"], ["touch", PIP, "cp", "rm"]),
    "new constraints": (["venv", "requirements.txt"], ["touch", PIP, "cp", "rm"]),
    "Python gone": (["requirements.txt", "constraints.txt"], [VENV, "touch", PIP, "cp", "rm"]),
}


@pytest.mark.parametrize(("there", "steps"), STATES.values(), ids=STATES)
def test_local_installs_what_is_needed(fresh, there, steps):
    """Nothing where nothing is new; from scratch after an interruption. A dry run prints it and changes nothing."""
    venv = fresh.root / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in there:
        if name == "venv":
            (venv / "bin" / "python").write_text(launcher(sys.executable))
            (venv / "bin" / "python").chmod(0o755)
        elif name == ".installing":
            (venv / name).touch()
        else:
            shutil.copy(ROOT / name, venv)
    before = fresh.files()
    result = fresh.run("local", "--once", "--dry-run")
    expected = [*steps, "exec .venv/bin/python deploy/local.py --once"]
    assert (result.status, len(result.commands), fresh.files()) == (0, len(expected), before)
    for command, part in zip(result.commands, expected, strict=True):
        assert part in command
