"""Builds ``dist/ddm-precheck.zip``, the package for FunctionGraph.

The same source, the same locked requirements and the same CPython 3.12 give the same bytes on every machine and in
every folder: the wheels are unpacked, not installed, and every entry has a fixed position, time and mode.
"""

import hashlib
import io
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Final

from deploy import bytecode, output, source
from deploy.output import DeployError

TARGET: Final = source.ROOT / "dist" / "ddm-precheck.zip"

# FunctionGraph runs Linux x86-64 and CPython 3.12. A wheel for an old glibc also runs with a newer one.
_PLATFORM: Final = ("--python-version=3.12", "--implementation=cp", "--platform=manylinux2014_x86_64")
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_FILE_MODE: Final = 0o100644
_PROGRAM_MODE: Final = 0o100755
_NO_BYTECODE: Final = (
    "no CPython 3.12 found (PATH, pyenv, uv), so the package has no bytecode:"
    " each cold start compiles all modules, which takes about three times the CPU time"
)


def run() -> bytes:
    """Build the package, write it, print its size and hash, and return it. Raises DeployError."""
    contents = {**source.files(), "bootstrap": (source.ROOT / "deploy" / "bootstrap").read_bytes()}
    contents |= _requirement_files()
    if python := bytecode.find_python():
        modules = {name: content for name, content in contents.items() if name.endswith(".py")}
        contents |= bytecode.compile_modules(python, modules)
    else:
        output.message(_NO_BYTECODE)
    package = _zip(contents)
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(package)
    digest = hashlib.sha256(package).hexdigest()
    output.line(f"{TARGET.relative_to(source.ROOT)}: {len(package):,} bytes, sha256 {digest}")
    return package


def _requirement_files() -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tempfile.TemporaryDirectory() as folder:
        for wheel in download(Path(folder)):
            with zipfile.ZipFile(wheel) as archive:
                entries = [entry for entry in archive.infolist() if not entry.is_dir()]
                contents |= {f"lib/{entry.filename}": archive.read(entry) for entry in entries}
    return contents


def download(folder: Path) -> list[Path]:
    """Download the wheels for FunctionGraph with pip, and return their paths. Raises DeployError.

    The two requirement files contain every package, so pip does not resolve dependencies (``--no-deps``). Otherwise pip
    would evaluate markers such as ``python_version < "3.13"`` for the Python of this machine.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", *_PLATFORM, f"--dest={folder}"]
    command += ["--requirement=requirements.txt", "--requirement=constraints.txt"]
    # pip may be configured to run only in a virtual environment; a download does not install anything.
    environment = os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"}
    result = subprocess.run(  # noqa: S603 - fixed arguments
        command, cwd=source.ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        reason = result.stderr.strip().rpartition("ERROR: ")[2].partition("\n")[0]
        raise DeployError(f"pip could not download the requirements: {reason}")
    return sorted(folder.iterdir())


def _zip(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = (_PROGRAM_MODE if name == "bootstrap" else _FILE_MODE) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
    return buffer.getvalue()
