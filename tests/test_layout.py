"""The layout of the code: imports point one way, and only the adapters know their platform."""

import ast
import re
from pathlib import Path

import pytest
from helpers.function import ROOT

import ddm_precheck

FOLDER = ROOT / "ddm_precheck"
MODULES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "__init__")
# A line of the map in the package's docstring starts with the name of a module.
MAP = re.findall(r"(?m)^    ([a-z_]+)  ", ddm_precheck.__doc__ or "")
MAY_IMPORT = {
    "flask": {"main"},
    "functions_framework": {"main"},
    "gunicorn": {"framework_hooks"},
    "werkzeug": set(),
}


def imported(path: Path) -> set[str]:
    """Return the names of the modules that a file imports; those of the package without its name."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(str(node.module))
            if node.module == "ddm_precheck":
                names |= {alias.name for alias in node.names}
    return {name.removeprefix("ddm_precheck.") for name in names}


def test_map_lists_each_module_once():
    assert sorted(MAP) == MODULES


def test_imports_point_one_way():
    below = {name: imported(FOLDER / f"{name}.py") & set(MAP[MAP.index(name) :]) for name in MAP}
    assert {name: modules for name, modules in below.items() if modules} == {}


@pytest.mark.parametrize("library", MAY_IMPORT)
def test_only_the_adapters_know_the_platform(library):
    paths = [ROOT / "main.py", ROOT / "event_function.py", *FOLDER.glob("*.py")]
    importing = {path.stem for path in paths if library in {name.split(".")[0] for name in imported(path)}}
    assert importing == MAY_IMPORT[library]
