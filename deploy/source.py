"""The files of the function itself; finds files that are missing or cannot be parsed."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from deploy.output import DeployError

ROOT: Final = Path(__file__).resolve().parent.parent
_PATTERNS: Final = ("main.py", "event_function.py", "ddm_precheck/*.py", "schemas/*.schema.json")
_REQUIREMENTS: Final = ("requirements.txt", "constraints.txt")


def check(root: Path) -> None:
    """Raise DeployError if a file is missing or cannot be parsed."""
    needed = set(_REQUIREMENTS)
    for path in files(root):
        try:
            if path.suffix == ".py":
                needed.update(_needed_files(ast.parse(path.read_text("utf-8"))))
            else:
                json.loads(path.read_text("utf-8"))
        except (SyntaxError, ValueError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise DeployError(f"{path.relative_to(root)} cannot be parsed: {reason}") from None
    for name in sorted(needed):
        if not (root / name).is_file():
            raise DeployError(f"{name} is missing")


def files(root: Path) -> list[Path]:
    """Return the files of the function, in an order that does not depend on the file system.

    Raises DeployError if no file matches one of the patterns.
    """
    found = [sorted(root.glob(pattern)) for pattern in _PATTERNS]
    for pattern, paths in zip(_PATTERNS, found, strict=True):
        if not paths:
            raise DeployError(f"{pattern} is missing")
    return [path for paths in found for path in paths]


def _needed_files(module: ast.Module) -> Iterator[str]:
    """Yield the files of the function that a module needs: the modules that it imports and its JSON Schemas."""
    for node in ast.walk(module):
        match node:
            case ast.ImportFrom(module="ddm_precheck", names=names):
                yield from (f"ddm_precheck/{alias.name}.py" for alias in names)
            case ast.ImportFrom(module=str(name)) if name.startswith("ddm_precheck."):
                yield f"{name.replace('.', '/')}.py"
            case ast.Call(func=ast.Name(id="Schema"), args=[ast.Constant(value=str(name))]):
                yield f"schemas/{name}.schema.json"
