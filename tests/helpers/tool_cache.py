"""A cache for tools that cannot be installed in the tests' environment."""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(__file__).parent.parent / ".cache"


def packages(name: str, *requirements: str) -> Path:
    """Return a folder with these Python packages, separate from the packages of the tests' environment."""
    quiet = ["--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *quiet, *requirements, "--target"]
    return folder(f"{name}-{sys.implementation.cache_tag}", *command)


def folder(name: str, *command: str) -> Path:
    """Return the folder with this name. If the folder does not exist, run the command, which must create it.

    The last argument of the command is the folder. If the command fails, the test is skipped with the reason.
    """
    if reason := _install(name, *command):
        pytest.skip(f"{name} cannot be installed: {reason}")
    return FOLDER / name


@functools.cache
def _install(name: str, *command: str) -> str | None:
    """Create the folder, unless it exists. If the command fails, return the reason, else None.

    A failure is cached for the whole run, because the command may take a minute. The command runs in a temporary
    folder, so that no incomplete folder remains after an interrupted command.
    """
    if (FOLDER / name).exists():
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as temporary:
        new = Path(temporary, name)
        try:
            subprocess.run([*command, str(new)], capture_output=True, text=True, timeout=240, check=True)
        except subprocess.TimeoutExpired:
            return "the installation took over 240 seconds"
        except subprocess.CalledProcessError as error:
            return " ".join(error.stderr.split())[:160]
        try:
            new.rename(FOLDER / name)
        except OSError:
            if not (FOLDER / name).exists():  # else another process has created the folder
                raise
    return None
