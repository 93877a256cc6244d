"""The runtime dependencies: three packages, and each of their dependencies is pinned."""

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
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]
START = """
import gunicorn.app.base
from functions_framework import create_app
print(create_app("precheck", "main.py").test_client().post("/", data=b"{}").status_code)
"""


def pins(name: str) -> list[Requirement]:
    """Return the requirements in a file, without its options."""
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("-")]


def dependencies(roots: set[str], python: str) -> set[str]:
    """Return the direct and indirect dependencies of the packages on Linux, from the metadata of installed packages."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "sys_platform": "linux", "extra": ""}
    visited: set[str] = set()
    pending = set(roots)
    while pending:
        name = pending.pop()
        visited.add(name)
        requirements = [Requirement(line) for line in metadata.requires(name) or []]
        names = {
            canonicalize_name(requirement.name)
            for requirement in requirements
            if not requirement.marker or requirement.marker.evaluate(environment)
        }
        pending |= names - visited
    return visited - roots


def test_each_package_is_pinned_once():
    """Three packages are required. Exactly their dependencies are constraints. Each package has one exact version."""
    required, constrained = ({canonicalize_name(pin.name) for pin in pins(name)} for name in FILES)
    assert required == {"functions-framework", "jsonschema", "requests"}
    assert constrained == set().union(*(dependencies(required, python) for python in PYTHONS))
    all_pins = [pin for name in FILES for pin in pins(name)]
    assert len({canonicalize_name(pin.name) for pin in all_pins}) == len(all_pins)
    assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier)) for pin in all_pins)


@pytest.mark.parametrize("name", [pin.name for file in FILES for pin in pins(file)])
def test_installed_version_is_the_pinned_one(name):
    """The tests run with the pinned version."""
    (pin,) = [pin for file in FILES for pin in pins(file) if pin.name == name]
    assert pin.specifier.contains(metadata.version(name))


def test_pinned_packages_are_sufficient():
    """If pip installs only the pinned packages, the function starts, and each package has its dependencies."""
    digest = hashlib.sha256("".join((ROOT / name).read_text() for name in FILES).encode()).hexdigest()[:16]
    files = [argument for name in FILES for argument in ("-r", str(ROOT / name))]
    folder = packages(f"runtime-{digest}", "--no-deps", *files)
    # -S excludes the packages of the test environment.
    run = subprocess.run(
        [sys.executable, "-S", "-c", START],
        cwd=ROOT,
        env={"PYTHONPATH": str(folder), "DDM_REGION": "cn-north-4"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (run.stdout.splitlines()[-1:], run.stderr) == (["400"], "")
    assert missing_requirements(folder) == []


def missing_requirements(folder: Path) -> list[str]:
    """Return the requirements of the folder's packages that no package in the folder satisfies, as pip check does."""
    installed = {canonicalize_name(each.name): each for each in metadata.distributions(path=[str(folder)])}
    requirements = [Requirement(line) for each in installed.values() for line in each.requires or []]
    return [
        str(requirement)
        for requirement in requirements
        if not requirement.marker or requirement.marker.evaluate({"extra": ""})
        if (package := installed.get(canonicalize_name(requirement.name))) is None
        or not requirement.specifier.contains(package.version)
    ]
