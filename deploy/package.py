"""Builds ``dist/ddm-precheck.zip``, the package for FunctionGraph.

The same source and the same locked requirements give the same bytes, whatever machine, path or Python builds them: the
wheels are unpacked as they were published instead of installed, and every entry has a fixed order, time and mode.
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

from deploy import source

TARGET: Final = source.ROOT / "dist" / "ddm-precheck.zip"
# FunctionGraph runs Linux x86-64 and its CPython 3.12; the oldest usable glibc runs on every newer one.
_PLATFORM: Final = ("--python-version=3.12", "--implementation=cp", "--platform=manylinux2014_x86_64")
_LIBRARY: Final = "lib"
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
_UNIX: Final = 3
_FILE: Final = 0o100644
_PROGRAM: Final = 0o100755
# FunctionGraph takes 50 MB of code in an API call.
_MOST_BYTES: Final = 50_000_000


class PackageError(Exception):
    """The package cannot be built; the message says why, on one line."""


def main() -> int:
    """Build the package, as ``python -m deploy.package``."""
    try:
        build(source.ROOT, TARGET)
    except (PackageError, source.SourceError) as error:
        sys.stderr.write(f"deploy.sh: {error}\n")
        return 1
    code = TARGET.read_bytes()
    digest = hashlib.sha256(code).hexdigest()
    sys.stdout.write(f"{TARGET.relative_to(source.ROOT)}: {len(code):,} bytes, sha256 {digest}\n")
    return 0


def build(root: Path, target: Path) -> None:
    """Write the package to the target, whole or not at all."""
    with tempfile.TemporaryDirectory() as folder:
        contents = _function(root)
        for wheel in _download(root, Path(folder)):
            for name, content in _unpacked(wheel):
                if contents.setdefault(name, content) != content:
                    raise PackageError(f"two packages bring {name}")
    target.parent.mkdir(exist_ok=True)
    unfinished = target.with_suffix(f".{os.getpid()}.tmp")
    try:
        _write(unfinished, contents)
        if unfinished.stat().st_size > _MOST_BYTES:
            raise PackageError(f"the package is larger than {_MOST_BYTES:,} bytes, which FunctionGraph refuses")
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _function(root: Path) -> dict[str, bytes]:
    contents = {path.relative_to(root).as_posix(): path.read_bytes() for path in source.files(root)}
    return contents | {"bootstrap": (root / "deploy" / "bootstrap").read_bytes()}


def _download(root: Path, folder: Path) -> list[Path]:
    """Fetch the wheels for FunctionGraph with pip.

    Both files together name every package, so pip need not resolve anything: it would evaluate markers such as
    ``python_version < "3.13"`` for the Python that runs here instead of the one over there.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", *_PLATFORM, f"--dest={folder}"]
    command += ["--requirement=requirements.txt", "--requirement=constraints.txt"]
    # pip may be told on this machine to work in virtual environments only; downloading is no installing.
    environment = os.environ | {"PIP_REQUIRE_VIRTUALENV": "0"}
    result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if result.returncode:
        lines = [line.strip() for line in result.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith("ERROR:")] or lines or ["no reason given"]
        raise PackageError(f"pip could not download the requirements: {errors[-1]}")
    return sorted(folder.iterdir())


def _unpacked(wheel: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the files of a wheel under the names they have in the package."""
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            folder = entry.filename.partition("/")[0]
            if folder.endswith(".data"):
                raise PackageError(f"{wheel.name} has a {folder} folder, which this program cannot place")
            if not entry.is_dir():
                yield f"{_LIBRARY}/{entry.filename}", archive.read(entry)


def _write(target: Path, contents: dict[str, bytes]) -> None:
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system = _UNIX
            entry.external_attr = (_PROGRAM if name == "bootstrap" else _FILE) << 16
            archive.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    sys.exit(main())
