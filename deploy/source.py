"""The files of the function."""

import ast
import json
from pathlib import Path
from typing import Final

from deploy.output import DeployError

ROOT: Final = Path(__file__).resolve().parent.parent
_PATTERNS: Final = ("main.py", "event_function.py", "ddm_precheck/*.py", "schemas/*.schema.json")


def files() -> dict[str, bytes]:
    """Return the contents of the files by their names.

    Raises DeployError if a file is missing or cannot be parsed: the platform would report it after the upload.
    """
    contents: dict[str, bytes] = {}
    for pattern in _PATTERNS:
        paths = sorted(ROOT.glob(pattern))
        if not paths:
            raise DeployError(f"{pattern} is missing")
        contents |= {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
    for name, content in contents.items():
        try:
            ast.parse(content) if name.endswith(".py") else json.loads(content)
        except (SyntaxError, ValueError) as error:
            raise DeployError(f"{name} cannot be parsed: {error}") from None
    return contents
