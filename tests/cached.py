"""What some tests need besides their environment, installed once and kept outside of the project."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import pytest

FOLDER: Final = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddm-precheck-tests"


def packages(*requirements: str) -> Path:
    """Return a folder with the Python packages, for who must not meet those of the tests' environment."""
    arguments = ["--quiet", "--disable-pip-version-check", "--target", "{folder}", *requirements]
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return installed(f"{python}-{'-'.join(requirements)}", sys.executable, "-m", "pip", "install", *arguments)


def installed(name: str, *command: str) -> Path:
    """Return the folder of that name, filled by the command where it is not there yet.

    ``{folder}`` in the command stands for the folder. Where the command fails, the test is skipped with its reason.
    """
    kept = FOLDER / name
    if kept.exists():
        return kept
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as aside:
        folder = Path(aside) / "folder"
        filled = [word.replace("{folder}", str(folder)) for word in command]
        done = subprocess.run(filled, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode:
            pytest.skip(f"{name} cannot be installed: {done.stderr.strip().splitlines()[-1:]}")
        folder.rename(kept)
    return kept
