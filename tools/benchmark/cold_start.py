"""The CPU time of a cold start, in a folder with the files of a package."""

import compileall
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from testing import EVENT, TOKEN
from testing.function_server import ROOT, clean_environment

_HTTP_START: Final = (
    "import gunicorn.app.base; from functions_framework import create_app; create_app('precheck', 'main.py')"
)
_EVENT_START: Final = "import event_function; print(event_function.handler({event}, None)['verdict'])"
COLD_STARTS: Final = {
    "HTTP function, bytecode": ("main.py", True),
    "HTTP function, no bytecode": ("main.py", False),
    "event function with its first event, bytecode": ("event_function.py", True),
    "event function with its first event, no bytecode": ("event_function.py", False),
}
"""The file that starts, and whether the package has bytecode."""


class Package:
    """The function and its dependencies in two folders, with and without bytecode."""

    def __init__(self, root: Path, folder: Path) -> None:
        """Copy the function in ``root`` to two folders below ``folder``."""
        self._folders = {True: folder / "bytecode", False: folder / "source"}
        source = self._folders[False]
        shutil.copytree(root / "ddm_precheck", source / "ddm_precheck", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(root / "schemas", source / "schemas")
        for module in root.glob("*.py"):
            shutil.copy(module, source)
        for name in _requirements():
            for file in metadata.files(name) or []:
                path = Path(str(file.locate()))
                if ".." not in file.parts and path.suffix != ".pyc" and path.is_file():
                    (source / "lib" / file).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, source / "lib" / file)
        shutil.copytree(source, self._folders[True])
        compileall.compile_dir(str(self._folders[True]), quiet=1)

    def has(self, module: str) -> bool:
        """Return whether the revision has this module."""
        return (self._folders[False] / module).exists()

    def start(self, module: str, endpoint: str, *, bytecode: bool) -> float:
        """Return the CPU milliseconds of one start, in a process of its own."""
        event = EVENT | {"db_name": "checks_8", "token": TOKEN}
        program = _HTTP_START if module == "main.py" else _EVENT_START.format(event=event)
        run = f"import time; start = time.process_time(); {program}; print((time.process_time() - start) * 1000)"
        folder = self._folders[bytecode]
        variables = {"DDM_ENDPOINT": endpoint, "DDM_REGION": "cn-north-4"}
        # The event function finds lib/ itself. -S excludes the tests' environment. -B writes no bytecode.
        variables |= {"PYTHONPATH": str(folder / "lib")} if module == "main.py" else {}
        command = [sys.executable, "-S", "-B", "-c", run]
        output = subprocess.check_output(command, cwd=folder, env=clean_environment() | variables, text=True)
        return float(output.splitlines()[-1])


def _requirements() -> list[str]:
    lines = [
        line for name in ("requirements.txt", "constraints.txt") for line in (ROOT / name).read_text().splitlines()
    ]
    return [line.partition("==")[0] for line in lines if "==" in line]


def cold_starts(packages: Mapping[str, Package], endpoint: str, rounds: int) -> dict[str, dict[str, float]]:
    """Return the median CPU milliseconds by name of the package and kind of start."""
    samples: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in packages}
    for _ in range(rounds + 1):
        for kind, (module, bytecode) in COLD_STARTS.items():
            for name, package in packages.items():
                if package.has(module):
                    samples[name][kind].append(package.start(module, endpoint, bytecode=bytecode))
    return {
        name: {kind: statistics.median(values[-rounds:]) for kind, values in kinds.items()}
        for name, kinds in samples.items()
    }
