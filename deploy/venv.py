"""Installs the function's requirements into ``.venv``, for ``deploy.sh local``."""

import filecmp
import shlex
import subprocess
import sys
from typing import Final

from deploy import output
from deploy.output import DeployError
from deploy.source import ROOT

PYTHON: Final = ".venv/bin/python"

_REQUIREMENTS: Final = ("requirements.txt", "constraints.txt")


def install(*, dry_run: bool) -> None:
    """Install the requirements if they are new or changed, or print the commands. Raises DeployError."""
    if _is_current():
        return
    if not dry_run:
        output.message("installing the requirements into .venv ...")
    # Of a virtual environment, the Python that has created it: .venv itself may be active.
    python = getattr(sys, "_base_executable", sys.executable)
    for command in (
        [python, "-m", "venv", "--clear", ".venv"],
        [PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "requirements.txt"],
        ["cp", *_REQUIREMENTS, ".venv/"],
    ):
        if dry_run:
            output.command(command)
        elif subprocess.run(command, cwd=ROOT, check=False).returncode:  # noqa: S603 - fixed commands
            raise DeployError(f"the requirements could not be installed: {shlex.join(command)} failed")


def _is_current() -> bool:
    copies = [(ROOT / name, ROOT / ".venv" / name) for name in _REQUIREMENTS]
    if not all(copy.is_file() and filecmp.cmp(name, copy, shallow=False) for name, copy in copies):
        return False
    python = ROOT / PYTHON
    return python.exists() and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0  # noqa: S603 - fixed arguments
