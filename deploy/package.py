"""Builds ``dist/ddm-precheck.zip``, the package for FunctionGraph.

The same source, the same locked requirements and the same CPython 3.12 give the same bytes on every machine and in
every folder: the wheels are unpacked, not installed, and every entry has a fixed position, time and mode.
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy import bytecode, output, source
from deploy.output import DeployError

TARGET: Final = source.ROOT / "dist" / "ddm-precheck.zip"

# FunctionGraph runs Linux x86-64 and CPython 3.12. A wheel for an old glibc also runs with a newer one.
_PLATFORM: Final = ("--python-version=3.12", "--implementation=cp", "--platform=manylinux2014_x86_64")
_LIBRARY: Final = "lib"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_FILE_MODE: Final = 0o100644
_PROGRAM_MODE: Final = 0o100755
# FunctionGraph's limit for code in a request to its API.
_MAX_BYTES: Final = 50_000_000
_NO_BYTECODE: Final = (
    "no CPython 3.12 found (PATH, pyenv, uv), so the package has no bytecode:"
    " each cold start compiles all modules, which takes about three times the CPU time"
)


def run() -> None:
    """Build the package, and print its size and hash. Raises DeployError."""
    if not build(source.ROOT, TARGET):
        output.message(_NO_BYTECODE)
    content = TARGET.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    output.line(f"{TARGET.relative_to(source.ROOT)}: {len(content):,} bytes, sha256 {digest}")


def build(root: Path, target: Path) -> bool:
    """Build the package, replace `target` with it and return whether it has bytecode.

    Raises DeployError if the package cannot be built. In this case, `target` is not changed.
    """
    target.parent.mkdir(exist_ok=True)
    contents = _function_files(root) | _requirement_files(root)
    python = bytecode.find_python()
    if python:
        modules = {name: content for name, content in contents.items() if name.endswith(".py")}
        contents |= bytecode.compile_modules(python, modules)
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        _write_zip(unfinished, contents)
        if unfinished.stat().st_size > _MAX_BYTES:
            raise DeployError(f"the package is larger than {_MAX_BYTES:,} bytes, the limit of FunctionGraph")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return python is not None


def _function_files(root: Path) -> dict[str, bytes]:
    contents = {path.relative_to(root).as_posix(): path.read_bytes() for path in source.files(root)}
    return contents | {"bootstrap": (root / "deploy" / "bootstrap").read_bytes()}


def _requirement_files(root: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for wheel in download(root, Path(folder)):
            for name, content in _unpack(wheel):
                if contents.setdefault(name, content) != content:
                    raise DeployError(f"two requirements contain different files with the name {name}")
    return contents


def download(root: Path, folder: Path) -> list[Path]:
    """Download the wheels for FunctionGraph with pip, and return their paths. Raises DeployError.

    The two requirement files contain every package, so pip does not resolve dependencies (``--no-deps``). Otherwise pip
    would evaluate markers such as ``python_version < "3.13"`` for the Python of this machine.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", *_PLATFORM, f"--dest={folder}"]
    command += ["--requirement=requirements.txt", "--requirement=constraints.txt"]
    # pip may be configured to run only in a virtual environment; a download does not install anything.
    environment = os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
    if result.returncode:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors_of_pip = [line for line in lines if line.startswith("ERROR:")]
        reason = (errors_of_pip or lines or ["pip gave no reason"])[-1]
        raise DeployError(f"pip could not download the requirements: {reason}")
    return sorted(folder.iterdir())


def _unpack(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a wheel with their names in the package."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            folder = entry.filename.partition("/")[0]
            if folder.endswith(".data"):
                raise DeployError(f"{wheel.name} has a folder {folder}, which requires an installation")
            if not entry.is_dir():
                yield f"{_LIBRARY}/{entry.filename}", archive.read(entry)


def _write_zip(target: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = (_PROGRAM_MODE if name == "bootstrap" else _FILE_MODE) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
