"""The files of the function."""

import ast
import json
from pathlib import Path
from typing import Final

from deploy.output import DeployError

ROOT: Final = Path(__file__).resolve().parent.parent
_PATTERNS: Final = ("main.py", "event_function.py", "ddm_precheck/*.py", "schemas/*.schema.json")


def files(root: Path) -> list[Path]:
    """Return the files, in an order that does not depend on the file system.

    Raises DeployError if a file is missing or cannot be parsed: the platform would report it after the upload.
    """
    found = {pattern: sorted(root.glob(pattern)) for pattern in _PATTERNS}
    found |= {name: sorted(root.glob(name)) for name in ("requirements.txt", "constraints.txt")}
    for pattern, paths in found.items():
        if not paths:
            raise DeployError(f"{pattern} is missing")
        for path in paths:
            try:
                if path.suffix == ".py":
                    ast.parse(path.read_text("utf-8"))
                elif path.suffix == ".json":
                    json.loads(path.read_text("utf-8"))
            except (SyntaxError, ValueError) as error:
                reason = error.msg if isinstance(error, SyntaxError) else str(error)
                raise DeployError(f"{path.relative_to(root)} cannot be parsed: {reason}") from None
    return [path for pattern in _PATTERNS for path in found[pattern]]
