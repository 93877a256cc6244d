"""Dependencies of the function: three packages, and the packages that they require, all pinned."""

import hashlib
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from helpers.function import ROOT
from helpers.tool_cache import packages
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILES = ["requirements.txt", "constraints.txt"]
PYTHON_VERSIONS = ["3.11", "3.12", "3.13"]
START_SCRIPT = """
import gunicorn.app.base
from functions_framework import create_app
print(create_app("precheck", "main.py").test_client().post("/", data=b"{}").status_code)
"""


def pins(name: str) -> list[Requirement]:
    """Return the requirements in a file."""
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("-")]


def transitive_requirements(roots: set[str], python: str) -> set[str]:
    """Return what the packages require on Linux, directly or not, by the metadata of the installed packages."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "extra": ""}
    found: set[str] = set()
    waiting = set(roots)
    while waiting:
        name = waiting.pop()
        found.add(name)
        needed = [Requirement(line) for line in metadata.requires(name) or []]
        names = {
            canonicalize_name(each.name) for each in needed if not each.marker or each.marker.evaluate(environment)
        }
        waiting |= names - found
    return found - roots


def test_each_package_is_pinned_once():
    """Three packages are required; the constraints are what these require; each package is pinned to one version."""
    required, constrained = ({canonicalize_name(pin.name) for pin in pins(name)} for name in FILES)
    assert required == {"functions-framework", "jsonschema", "requests"}
    assert constrained == set().union(*(transitive_requirements(required, python) for python in PYTHON_VERSIONS))
    all_pins = [pin for name in FILES for pin in pins(name)]
    assert len({canonicalize_name(pin.name) for pin in all_pins}) == len(all_pins)
    assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier)) for pin in all_pins)


@pytest.mark.parametrize("name", [pin.name for file in FILES for pin in pins(file)])
def test_installed_version_is_the_pinned_one(name):
    """The tests use the pinned version of each package."""
    (pin,) = [pin for file in FILES for pin in pins(file) if pin.name == name]
    assert pin.specifier.contains(metadata.version(name))


def test_pinned_packages_are_sufficient():
    """The pinned packages, installed without their dependencies, are sufficient to run the function."""
    digest = hashlib.sha256("".join((ROOT / name).read_text() for name in FILES).encode()).hexdigest()[:16]
    files = [argument for name in FILES for argument in ("-r", str(ROOT / name))]
    folder = packages(f"runtime-{digest}", "--no-deps", *files)
    # -S: without the packages of the tests' environment.
    run = subprocess.run(
        [sys.executable, "-S", "-c", START_SCRIPT],
        cwd=ROOT,
        env={"PYTHONPATH": str(folder), "DDM_REGION": "cn-north-4"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (run.stdout.splitlines()[-1:], run.stderr) == (["400"], "")
    assert unmet_requirements(folder) == []


def unmet_requirements(folder: Path) -> list[str]:
    """Return the requirements of the packages in the folder that no package in the folder meets, like `pip check`."""
    installed = {canonicalize_name(each.name): each for each in metadata.distributions(path=[str(folder)])}
    requirements = [Requirement(line) for each in installed.values() for line in each.requires or []]
    applicable = [each for each in requirements if not each.marker or each.marker.evaluate({"extra": ""})]
    return [
        str(each)
        for each in applicable
        if (found := installed.get(canonicalize_name(each.name))) is None or not each.specifier.contains(found.version)
    ]
