"""Measures the CPU time of a cold start, with and without bytecode, in a folder with the files of a package."""

import compileall
import shutil
import statistics
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from testing.function_server import ROOT, clean_environment

_IMPORTS: Final = "import functions_framework, jsonschema, requests, gunicorn.app.base"
_CREATE_APP: Final = (
    "import gunicorn.app.base; from functions_framework import create_app; create_app('precheck', 'main.py')"
)
_REQUIREMENTS: Final = ("requirements.txt", "constraints.txt")


class ColdStart:
    """Two copies of the function and its dependencies: one with bytecode, one without."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        """Copy the function in ``root`` to two folders below ``folder``."""
        self._with_bytecode, self._without_bytecode = folder / "with-bytecode", folder / "without-bytecode"
        _copy_function(root, self._with_bytecode)
        shutil.copytree(self._with_bytecode, self._without_bytecode)
        compileall.compile_dir(str(self._with_bytecode), quiet=1)

    def measure(self, rounds: int) -> dict[str, float]:
        """Return the median CPU milliseconds of importing the dependencies and of both kinds of start."""
        programs = {
            "imports": (_IMPORTS, self._with_bytecode),
            "with bytecode": (_CREATE_APP, self._with_bytecode),
            "without bytecode": (_CREATE_APP, self._without_bytecode),
        }
        samples: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(rounds + 1):
            for name, (program, folder) in programs.items():
                samples[name].append(_cpu_milliseconds(program, folder))
        # The first round fills caches, and is not part of the figures.
        return {name: statistics.median(values[1:]) for name, values in samples.items()}


def _copy_function(root: Path, folder: Path) -> None:
    shutil.copytree(root / "ddm_precheck", folder / "ddm_precheck", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(root / "schemas", folder / "schemas")
    shutil.copy(root / "main.py", folder)
    for name in _packages():
        for file in metadata.files(name) or []:
            source = Path(str(file.locate()))
            if ".." not in file.parts and source.suffix != ".pyc" and source.is_file():
                (folder / "lib" / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder / "lib" / file)


def _packages() -> list[str]:
    lines = [line for name in _REQUIREMENTS for line in (ROOT / name).read_text().splitlines()]
    return [line.partition("==")[0] for line in lines if "==" in line]


def _cpu_milliseconds(program: str, folder: Path) -> float:
    # -S excludes the packages of the tests' environment. -B keeps Python from writing bytecode to the folder.
    run = f"import time; start = time.process_time(); {program}; print((time.process_time() - start) * 1000)"
    variables = {"PYTHONPATH": str(folder / "lib"), "DDM_REGION": "cn-north-4"}
    process = subprocess.run(
        [sys.executable, "-S", "-B", "-c", run],
        cwd=folder,
        env=clean_environment() | variables,
        check=True,
        capture_output=True,
        text=True,
    )
    return float(process.stdout.splitlines()[-1])
