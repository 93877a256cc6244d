"""Installs the function's requirements into ``.venv``, for ``deploy.sh local``."""

import filecmp
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy import output
from deploy.output import DeployError
from deploy.source import ROOT

PYTHON: Final = ".venv/bin/python"

_REQUIREMENTS: Final = ("requirements.txt", "constraints.txt")
# Exists until the installation is complete.
_UNFINISHED: Final = ".venv/.installing"


def install(*, dry_run: bool) -> None:
    """Install the requirements if they are new or changed, or print the commands. Raises DeployError."""
    steps = list(_steps())
    if steps and not dry_run:
        output.message("installing the requirements into .venv ...")
    for command, failure in steps:
        if dry_run:
            output.command(command)
        elif subprocess.run(command, cwd=ROOT, check=False).returncode:  # noqa: S603 - fixed commands
            raise DeployError(failure)


def _steps() -> Iterator[tuple[list[str], str]]:
    unfinished = (ROOT / _UNFINISHED).exists()
    copies = [(ROOT / name, ROOT / ".venv" / name) for name in _REQUIREMENTS]
    is_current = all(copy.is_file() and filecmp.cmp(name, copy, shallow=False) for name, copy in copies)
    if is_current and not unfinished and _runs("-c", ""):
        return
    if unfinished or not _runs("-m", "pip", "--version"):
        # Of a virtual environment, the Python that has created it: .venv itself may be active.
        python = getattr(sys, "_base_executable", sys.executable)
        failure = f"{python} could not create .venv (on Debian: apt install python3-venv)"
        yield [python, "-m", "venv", "--clear", ".venv"], failure
    yield ["touch", _UNFINISHED], ".venv cannot be written"
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"]
    yield pip, "the requirements could not be installed"
    yield ["cp", *_REQUIREMENTS, ".venv/"], ".venv cannot be written"
    yield ["rm", _UNFINISHED], ".venv cannot be written"


def _runs(*arguments: str) -> bool:
    if not Path(ROOT, PYTHON).exists():
        return False
    return subprocess.run([PYTHON, *arguments], cwd=ROOT, capture_output=True, check=False).returncode == 0  # noqa: S603
