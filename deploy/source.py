"""The files of the function itself, and whether they can be deployed."""

import ast
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from deploy import errors
from deploy.errors import DeployError

ROOT: Final = Path(__file__).resolve().parent.parent
_PATTERNS: Final = ("main.py", "ddm_precheck/*.py", "schemas/*.schema.json")
_REQUIREMENTS: Final = ("requirements.txt", "constraints.txt")


def main(_: Sequence[str]) -> int:
    """Check the source, as ``python -m deploy.source``."""
    check(ROOT)
    return 0


def check(root: Path) -> None:
    """Raise DeployError if a file is missing or cannot be parsed."""
    for name in _REQUIREMENTS:
        if not (root / name).is_file():
            raise DeployError(f"{name} is missing")
    for path in files(root):
        parse = ast.parse if path.suffix == ".py" else json.loads
        try:
            parse(path.read_text("utf-8"))
        except (SyntaxError, ValueError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise DeployError(f"{path.relative_to(root)} cannot be parsed: {reason}") from None


def files(root: Path) -> list[Path]:
    """Return the files of the function, in an order that does not depend on the file system.

    Raises DeployError if no file matches one of the patterns.
    """
    found = [sorted(root.glob(pattern)) for pattern in _PATTERNS]
    for pattern, paths in zip(_PATTERNS, found, strict=True):
        if not paths:
            raise DeployError(f"{pattern} is missing")
    return [path for paths in found for path in paths]


if __name__ == "__main__":
    errors.run(main)
