"""What the function runs on: three packages, and every package that these bring is pinned."""

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
PYTHONS = ["3.11", "3.12", "3.13"]
START = """
import gunicorn.app.base
from functions_framework import create_app
print(create_app("precheck", "main.py").test_client().post("/", data=b"{}").status_code)
"""


def pins(name: str) -> list[Requirement]:
    """Return the requirements of a file, without its options."""
    lines = (ROOT / name).read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("-")]


def brought(roots: set[str], python: str) -> set[str]:
    """Return the packages that these bring on Linux, and those that come with them, from what is installed here."""
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


def test_everything_is_pinned_once():
    """Three packages are required; each one that they bring is a constraint, and no other; all have one version."""
    required, constrained = ({canonicalize_name(pin.name) for pin in pins(name)} for name in FILES)
    assert required == {"functions-framework", "jsonschema", "requests"}
    assert constrained == set().union(*(brought(required, python) for python in PYTHONS))
    every = [pin for name in FILES for pin in pins(name)]
    assert len({canonicalize_name(pin.name) for pin in every}) == len(every)
    assert all(re.fullmatch(r"==[0-9][0-9a-z.]*", str(pin.specifier)) for pin in every)


@pytest.mark.parametrize("name", [pin.name for file in FILES for pin in pins(file)])
def test_tests_run_on_what_is_pinned(name):
    """The version that the tests ran with is the one that is pinned."""
    (pin,) = [pin for file in FILES for pin in pins(file) if pin.name == name]
    assert pin.specifier.contains(metadata.version(name))


def test_the_two_files_are_enough():
    """Installed without looking for dependencies, what the two files name starts the function, and nothing is amiss."""
    digest = hashlib.sha256("".join((ROOT / name).read_text() for name in FILES).encode()).hexdigest()[:16]
    files = [argument for name in FILES for argument in ("-r", str(ROOT / name))]
    folder = packages(f"runtime-{digest}", "--no-deps", *files)
    # -S leaves out what else is installed here.
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
    assert missing(folder) == []


def missing(folder: Path) -> list[str]:
    """Return the requirements of the packages in the folder that no package there meets, as pip check does."""
    there = {canonicalize_name(each.name): each for each in metadata.distributions(path=[str(folder)])}
    needed = [Requirement(line) for each in there.values() for line in each.requires or []]
    wanted = [each for each in needed if not each.marker or each.marker.evaluate({"extra": ""})]
    return [
        str(each)
        for each in wanted
        if (found := there.get(canonicalize_name(each.name))) is None or not each.specifier.contains(found.version)
    ]
