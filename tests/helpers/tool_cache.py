"""What some tests need besides their environment, installed once and kept outside of the project."""

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
    """Return a folder with the Python packages, for what must not meet those of the tests' environment."""
    quiet = ["--quiet", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", *quiet, *requirements, "--target"]
    return folder(f"{name}-{sys.implementation.cache_tag}", *command)


def folder(name: str, *command: str) -> Path:
    """Return the folder of that name, filled by the command where it is not there yet.

    The command gets the folder as its last argument. Where it fails, the test is skipped with the reason.
    """
    if reason := _installed(name, *command):
        pytest.skip(f"{name} cannot be installed: {reason}")
    return FOLDER / name


@functools.cache
def _installed(name: str, *command: str) -> str | None:
    """Install, unless it is there, and return why not; aside, so that half a folder never stays.

    One failure counts for the whole run: it may have taken a minute.
    """
    if (FOLDER / name).exists():
        return None
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as aside:
        made = Path(aside, name)
        try:
            subprocess.run([*command, str(made)], capture_output=True, text=True, timeout=180, check=True)
        except subprocess.TimeoutExpired:
            return "it takes too long"
        except subprocess.CalledProcessError as error:
            return " ".join(error.stderr.split())[:160]
        made.rename(FOLDER / name)
    return None
