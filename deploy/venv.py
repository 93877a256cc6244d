"""Installs the function's requirements into ``.venv``, for ``deploy.sh local``."""

import filecmp
import shlex
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


def install(*, dry_run: bool) -> None:
    """Install the requirements if they are new or changed, or print the commands. Raises DeployError."""
    commands = list(_commands())
    if commands and not dry_run:
        output.message("installing the requirements into .venv ...")
    for command in commands:
        if dry_run:
            output.command(command)
        elif subprocess.run(command, cwd=ROOT, check=False).returncode:  # noqa: S603 - fixed commands
            raise DeployError(f"the requirements could not be installed: {shlex.join(command)} failed")


def _commands() -> Iterator[list[str]]:
    copies = [(ROOT / name, ROOT / ".venv" / name) for name in _REQUIREMENTS]
    is_current = all(copy.is_file() and filecmp.cmp(name, copy, shallow=False) for name, copy in copies)
    if is_current and _runs("-c", ""):
        return
    if not _runs("-m", "pip", "--version"):
        # Of a virtual environment, the Python that has created it: .venv itself may be active.
        yield [getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--clear", ".venv"]
    yield [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"]
    yield ["cp", *_REQUIREMENTS, ".venv/"]


def _runs(*arguments: str) -> bool:
    if not Path(ROOT, PYTHON).exists():
        return False
    return subprocess.run([PYTHON, *arguments], cwd=ROOT, capture_output=True, check=False).returncode == 0  # noqa: S603
