"""Writes the files that other tools import: ``schemas/openapi-*.json`` and ``examples/responses/*.json``.

Run this program after a change to the JSON Schemas, to the responses or to the version::

    tests/.venv/bin/python -m tools.generate [--check]

With ``--check``, the program writes no file. If files are out of date, it prints their names and exits with status 1.
"""

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from tools.openapi import Description
from tools.sample_responses import sample_responses

ROOT: Final = Path(__file__).resolve().parent.parent


def main() -> int:
    """Write the files that are out of date (with ``--check``, print their names), and return the exit status."""
    parser = argparse.ArgumentParser(description="Write the OpenAPI descriptions and the sample responses.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    arguments = parser.parse_args()
    files = generate()
    outdated = [path for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text]
    if arguments.check:
        for path in outdated:
            print(f"{path.relative_to(ROOT)} is out of date: run python -m tools.generate")
        return 1 if outdated else 0
    for path in outdated:
        path.write_text(files[path], "utf-8")
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def generate() -> dict[Path, str]:
    """Return the text of each generated file by its path."""
    responses = dict(sample_responses())
    description = Description(_version(), responses)
    values = {ROOT / "examples" / "responses" / f"{name}.json": body for name, body in responses.items()} | {
        ROOT / "schemas" / "openapi-3.0.json": description.openapi_3(),
        ROOT / "schemas" / "openapi-2.0.json": description.openapi_2(),
    }
    return {path: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for path, value in values.items()}


def _version() -> str:
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])


if __name__ == "__main__":
    sys.exit(main())
