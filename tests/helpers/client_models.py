"""Runs validate_models.py in a process that can import the client of an API."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_PROGRAM: Final = Path(__file__).parent / "validate_models.py"


def model_errors(packages: Path, module: str, values: list[dict[str, Any]]) -> list[str]:
    """Return the errors of the values ``{"model": …, "value": …}``. The folder ``packages`` contains the module."""
    done = subprocess.run(
        [sys.executable, str(_PROGRAM), module],
        input=json.dumps(values),
        env={"PYTHONPATH": str(packages)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    errors: list[str] = json.loads(done.stdout)
    return errors
