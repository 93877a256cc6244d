"""The files of the function."""

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
_PATTERNS: Final = ("main.py", "event_function.py", "ddm_precheck/*.py", "schemas/*.schema.json")


def files() -> dict[str, bytes]:
    """Return the contents of the files by their names."""
    paths = [path for pattern in _PATTERNS for path in ROOT.glob(pattern)]
    return {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in paths}
