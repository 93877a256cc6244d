"""The package for FunctionGraph: its contents, its reproducible bytes, and its start on the platform."""

import hashlib
import json
import os
import signal
import socket
import stat
import subprocess
import zipfile
from importlib.metadata import distributions
from pathlib import Path

import pytest
from helpers.deployment import DRY_RUN_ENDS, ROOT, TOKEN, Result, find_python, launcher, make_path, post
from helpers.fake_functiongraph import code_in
from packaging.utils import canonicalize_name

from deploy import bytecode, source
from deploy.output import DeployError

PLATFORM_PYTHON = "/opt/function/runtime/python3.12/rtsp/python/bin/python3"
NO_REGISTRY = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}


def extract(package: Path, folder: Path) -> Path:
    """Unpack the package with its file modes."""
    with zipfile.ZipFile(package) as archive:
        for entry in archive.infolist():
            Path(archive.extract(entry, folder)).chmod(entry.external_attr >> 16 & 0o777)
    return folder


def names(package: Path) -> list[str]:
    """Return the names of the package's entries."""
    with zipfile.ZipFile(package) as archive:
        return archive.namelist()


def test_the_whole_command(whole_deployment, checkout):
    result, api = whole_deployment
    content = checkout.package.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert result.stdout.splitlines()[0] == f"dist/ddm-precheck.zip: {len(content):,} bytes, sha256 {digest}"
    assert code_in(api.body("POST functions")) == content
    assert TOKEN not in result.stdout + result.stderr
    files = [path for path in checkout.root.rglob("*") if path.is_file()]
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]


def test_the_package_contains_the_function(package):
    with zipfile.ZipFile(package) as archive:
        entries = archive.infolist()
        own = [name for name in archive.namelist() if not name.startswith("lib/") and not name.endswith(".pyc")]
        content = {name: archive.read(name) for name in own}
    assert content == source.files() | {"bootstrap": (ROOT / "deploy" / "bootstrap").read_bytes()}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    modes = {stat.filemode(entry.external_attr >> 16): entry.filename for entry in entries}
    assert modes.keys() == {"-rwxr-xr-x", "-rw-r--r--"}
    assert modes["-rwxr-xr-x"] == "bootstrap"


def test_the_package_contains_the_locked_requirements(package, tmp_path):
    extract(package, tmp_path)
    found = {canonicalize_name(each.name): each.version for each in distributions(path=[str(tmp_path / "lib")])}
    text = (ROOT / "requirements.txt").read_text() + (ROOT / "constraints.txt").read_text()
    locked = dict(line.split("==") for line in text.splitlines() if "==" in line)
    assert found == {canonicalize_name(name): version for name, version in locked.items()}
    assert [path.name for path in tmp_path.glob("lib/rpds/*.so")] == ["rpds.cpython-312-x86_64-linux-gnu.so"]


def test_every_module_has_bytecode(package):
    """The flags make CPython compare the hash of the source, so that an edit in the console counts."""
    with zipfile.ZipFile(package) as archive:
        modules = [Path(name) for name in archive.namelist() if name.endswith(".py")]
        files = [path.parent / "__pycache__" / f"{path.stem}.cpython-312.pyc" for path in modules]
        assert {archive.read(str(file))[4] for file in files} == {0b11}


def test_the_same_input_gives_the_same_bytes(package, fresh_checkout, local_wheels, tmp_path):
    """Another folder, another Python that builds, another hash seed and a CPython 3.12 of uv give the same package."""
    path = make_path(tmp_path / "tools", python3=launcher(find_python("3.13")))
    folder = tmp_path / "uv/cpython-3.12.99-linux/bin"
    folder.mkdir(parents=True)
    (folder / "python3.12").symlink_to(find_python("3.12"))
    variables = {"PYENV_ROOT": str(tmp_path), "UV_PYTHON_INSTALL_DIR": str(tmp_path / "uv"), "HOME": str(tmp_path)}
    variables |= {"PATH": path, "PYTHONHASHSEED": "7", **local_wheels}
    result = fresh_checkout.run("functiongraph", "--package-only", **variables)
    assert (result.status, result.stderr) == (0, "")
    assert fresh_checkout.package.read_bytes() == package.read_bytes()


def test_without_python_3_12_there_is_no_bytecode(package, fresh_checkout, local_wheels, tmp_path):
    """The package is the same except for the bytecode, and one line describes the effect."""
    path = make_path(tmp_path / "tools", python3=launcher(find_python("3.13")))
    nowhere = {"HOME": str(tmp_path), "PYENV_ROOT": "/none", "UV_PYTHON_INSTALL_DIR": "/none", "XDG_DATA_HOME": "/none"}
    result = fresh_checkout.run("functiongraph", "--package-only", PATH=path, **nowhere, **local_wheels)
    assert (result.status, result.stderr.count("\n")) == (0, 1)
    assert "no CPython 3.12 found" in result.stderr
    assert "three times the CPU" in result.stderr
    assert names(fresh_checkout.package) == [name for name in names(package) if not name.endswith(".pyc")]


def test_a_module_that_cannot_be_compiled_is_reported():
    with pytest.raises(DeployError, match=r"CPython 3\.12 could not compile the package: .*newer\.py"):
        bytecode.compile_modules(find_python("3.12"), {"newer.py": b"except A, B:\n"})


def test_a_missing_registry_is_one_line(checkout):
    result = checkout.run("functiongraph", "--package-only", **NO_REGISTRY)
    assert (result.status, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "pip could not download the requirements" in result.stderr


def test_package_only_may_be_a_dry_run(deploy_sh):
    assert deploy_sh("functiongraph", "--package-only", "--dry-run") == Result(0, f"{DRY_RUN_ENDS}\n", "")


def test_the_http_function_serves_from_the_package(package, tmp_path):
    """The bootstrap starts the function, which listens on port 8000, logs no error and writes no file."""
    code = extract(package, tmp_path / "the code")
    bootstrap = code / "bootstrap"
    bootstrap.write_text(bootstrap.read_text().replace(PLATFORM_PYTHON, find_python("3.12")))
    before = sorted(code.rglob("*"))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 8000))
        except OSError:
            pytest.skip("port 8000 is in use")
    with subprocess.Popen([bootstrap], cwd="/", env={}, stderr=subprocess.PIPE, start_new_session=True) as server:
        try:
            status, body = post(8000, {})
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            _, errors = server.communicate(timeout=30)
    assert (status, body["verdict"], body["code"], errors) == (400, "ERROR", "invalid-event", b"")
    assert sorted(code.rglob("*")) == before


def test_the_event_function_runs_from_the_package(package, tmp_path):
    """CPython 3.12 without any other package imports the handler and runs it, without a new file."""
    code = extract(package, tmp_path / "the code")
    before = sorted(code.rglob("*"))
    program = "import event_function, json; print(json.dumps(event_function.handler({}, None)))"
    command = [find_python("3.12"), "-S", "-c", program]
    done = subprocess.run(command, cwd=code, env={}, capture_output=True, text=True, check=True)
    *_, result = map(json.loads, done.stdout.splitlines())
    assert (result["code"], done.stderr) == ("invalid-event", "")
    assert sorted(code.rglob("*")) == before
