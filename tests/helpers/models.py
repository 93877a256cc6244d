"""Validates JSON values with the models of an API's client, in a process that can import the client."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

_PROGRAM: Final = Path(__file__).parent / "check_model.py"


def model_errors(packages: Path, module: str, values: list[dict[str, Any]]) -> list[str]:
    """Return the errors of values ``{"model": …, "value": …}``; the module is in the folder of packages."""
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
