"""Compiles the package's modules for FunctionGraph's Python, CPython 3.12, if it is installed on this machine.

FunctionGraph's code folder is read-only, so Python cannot write bytecode to it: if the package has no bytecode, every
cold start compiles every module.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from deploy.output import DeployError

_VERSION: Final = "3.12"
# Prints an empty line for another version or implementation.
_PROGRAM: Final = "import sys; print(sys.executable if sys.implementation.cache_tag == 'cpython-312' else '')"
# Exclude site and user packages, and fix the order of sets: the bytecode must not depend on this machine.
_ISOLATED: Final = ("-S", "-s", "-P", "-B", "-W", "ignore")
_ENVIRONMENT: Final = {"PYTHONHASHSEED": "0"}


def find_python() -> str | None:
    """Return the path of a CPython 3.12 that runs (from PATH, pyenv or uv), or None if there is no such Python."""
    return next(filter(None, map(_executable, _candidates())), None)


def compile_modules(python: str, modules: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return the bytecode files of the modules, by their names in the package. Raises DeployError.

    The bytecode contains a hash of its source: if the source is edited in the package, Python compiles it again.
    """
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        for name, content in modules.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        command = [python, *_ISOLATED, "-m", "compileall", "-q", "-f", "--invalidation-mode", "checked-hash"]
        command += ["-s", str(root), str(root)]
        result = subprocess.run(command, env=_ENVIRONMENT, capture_output=True, text=True, check=False)  # noqa: S603 - fixed arguments
        if result.returncode:
            reason = " ".join((result.stdout + result.stderr).replace(f"{root}/", "").split())
            raise DeployError(f"CPython {_VERSION} could not compile the package: {reason}")
        return {path.relative_to(root).as_posix(): path.read_bytes() for path in sorted(root.rglob("*.pyc"))}


def _candidates() -> Iterator[str]:
    yield from filter(None, map(shutil.which, (f"python{_VERSION}", "python3")))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv", "versions")
    uv = Path(os.environ.get("UV_PYTHON_INSTALL_DIR") or Path.home() / ".local/share/uv/python")
    yield from map(str, sorted(pyenv.glob(f"{_VERSION}.*/bin/python{_VERSION}")))
    yield from map(str, sorted(uv.glob(f"cpython-{_VERSION}.*/bin/python{_VERSION}")))


def _executable(candidate: str) -> str:
    """Return the interpreter that the candidate starts, which may be a shim, or ``""`` if it is not usable."""
    command = [candidate, "-I", "-c", _PROGRAM]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - fixed arguments
    except (OSError, subprocess.SubprocessError):
        return ""
    return result.stdout.strip()
