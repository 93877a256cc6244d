"""A cache, outside of the repository, of tools that some tests need and the tests' environment cannot have."""

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddm-precheck-tests"


def packages(name: str, *requirements: str) -> Path:
    """Return a folder with these Python packages, apart from those of the tests' environment."""
    quiet = ["--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *quiet, *requirements, "--target"]
    return folder(f"{name}-{sys.implementation.cache_tag}", *command)


def folder(name: str, *command: str) -> Path:
    """Return the folder of this name; if it does not exist, let the command create it.

    The command gets the folder as its last argument. If it fails, the test is skipped with the reason.
    """
    if reason := _install(name, *command):
        pytest.skip(f"{name} cannot be installed: {reason}")
    return FOLDER / name


@functools.cache
def _install(name: str, *command: str) -> str | None:
    """Create the folder, unless it exists, and return the reason if that fails.

    A failure is cached for the whole run, because it may take a minute. The command runs in a temporary folder, so that
    an interrupted one leaves no incomplete folder.
    """
    if (FOLDER / name).exists():
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as temporary:
        new = Path(temporary, name)
        try:
            subprocess.run([*command, str(new)], capture_output=True, text=True, timeout=180, check=True)
        except subprocess.TimeoutExpired:
            return "the installation took over 180 seconds"
        except subprocess.CalledProcessError as error:
            return " ".join(error.stderr.split())[:160]
        try:
            new.rename(FOLDER / name)
        except OSError:
            if not (FOLDER / name).exists():  # otherwise another process was faster
                raise
    return None
