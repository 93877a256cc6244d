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
from typing import Final

from tools import openapi
from tools.sample_responses import sample_responses

_ROOT: Final = Path(__file__).resolve().parent.parent


def main() -> int:
    """Write the files that are out of date (with ``--check``, print their names), and return the exit status."""
    parser = argparse.ArgumentParser(description="Write the OpenAPI descriptions and the sample responses.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is out of date")
    arguments = parser.parse_args()
    outdated = {
        path: text for path, text in _generate().items() if not path.is_file() or path.read_text("utf-8") != text
    }
    for path, text in outdated.items():
        if arguments.check:
            print(f"{path.relative_to(_ROOT)} is out of date: run python -m tools.generate")
        else:
            path.write_text(text, "utf-8")
            print(f"wrote {path.relative_to(_ROOT)}")
    return 1 if arguments.check and outdated else 0


def _generate() -> dict[Path, str]:
    """Return the content of each generated file by its path."""
    version = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    samples = dict(sample_responses())
    values = {_ROOT / "examples" / "responses" / f"{name}.json": body for name, body in samples.items()}
    values[_ROOT / "schemas" / "openapi-3.0.json"] = openapi.openapi_3(version, samples)
    values[_ROOT / "schemas" / "openapi-2.0.json"] = openapi.openapi_2(version, samples)
    return {path: json.dumps(value, indent=2, ensure_ascii=False) + "\n" for path, value in values.items()}


if __name__ == "__main__":
    sys.exit(main())
