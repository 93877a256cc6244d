"""The runtime dependencies: three packages, and each of their dependencies is pinned."""

import re
from importlib import metadata

from helpers.function import ROOT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FILES = ["requirements.txt", "constraints.txt"]
PYTHONS = ["3.11", "3.12", "3.13", "3.14"]


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
