"""The layout of the function: the imports follow the map in the docstring of the package."""

import ast
import re

from helpers.function import ROOT

import ddm_precheck

FOLDER = ROOT / "ddm_precheck"
# A line of the map starts with the names of one or more modules.
MAP = [
    name
    for names in re.findall(r"(?m)^    ([a-z_]+(?:, [a-z_]+)*)(?:  |$)", ddm_precheck.__doc__ or "")
    for name in names.split(", ")
]


def imported_modules(name: str) -> set[str]:
    """Return the modules of the package that a module imports."""
    nodes = ast.walk(ast.parse((FOLDER / f"{name}.py").read_text()))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    direct = {str(node.module).removeprefix("ddm_precheck.") for node in imports}
    return direct | {alias.name for node in imports if node.module == "ddm_precheck" for alias in node.names}


def test_map_is_complete():
    """The map lists each module once."""
    assert sorted(MAP) == sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")


def test_imports_point_one_way():
    """A module imports only modules above it in the map."""
    below = {name: imported_modules(name) & set(MAP[MAP.index(name) :]) for name in MAP}
    assert {name: modules for name, modules in below.items() if modules} == {}
