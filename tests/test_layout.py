"""The layout: each package's docstring lists its modules, and the function's imports follow the order of the list."""

import ast
import re
import tomllib

import pytest
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


@pytest.mark.parametrize("package", ["deploy", "tools", "tools/benchmark", "tools/fuzz", "tools/soak"])
def test_docstring_lists_the_modules(package):
    """The docstring of a package of programs lists each module, and no module that does not exist."""
    folder = ROOT / package
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    listed = {name for pair in re.findall(r"(?m)^    ([a-z_]+)/?  |``([a-z_]+)``", docstring) for name in pair if name}
    present = {path.stem for path in folder.iterdir()}
    modules = {path.stem for path in folder.glob("*.py")} | {path.parent.name for path in folder.glob("*/__init__.py")}
    assert modules - listed == {"__init__"}
    assert listed <= present


def test_imports_point_one_way():
    """A module imports only modules above it in the map."""
    below = {name: imported_modules(name) & set(MAP[MAP.index(name) :]) for name in MAP}
    assert {name: modules for name, modules in below.items() if modules} == {}


# The test modules that mutmut does not run, by reason. The names are without the prefix "test_".
NOT_RUN_BY_MUTMUT = {
    "The function runs in another process, without the mutant": [
        *("cloudevents_sdk", "cpu", "memory", "pubsub_emulator", "serving", "soak", "stdout"),
    ],
    "Random inputs take minutes for each mutant": ["arbitrary_input", "fuzz"],
    "The subject is not the function": [
        *("benchmark", "contributing", "dependencies", "docs", "docs_samples", "docs_tables", "fake_ddm", "layout"),
        *("deploy_cloud_run", "deploy_functiongraph", "deploy_local", "deploy_package", "deploy_usage"),
        *("example_approvals", "example_chat_sink", "example_eventgrid", "example_flow_secrets", "example_flows"),
        *("example_google", "example_manifests", "example_token_renewal", "generated_files"),
    ],
}


def test_mutmut_runs_or_excludes_each_test_module():
    """Each test module is in mutmut's selection, or in the table above with a reason."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    selected = [path.split("test_")[-1].removesuffix(".py") for path in settings["pytest_add_cli_args_test_selection"]]
    excluded = [name for names in NOT_RUN_BY_MUTMUT.values() for name in names]
    present = [path.stem.removeprefix("test_") for path in (ROOT / "tests").glob("test_*.py")]
    assert sorted(selected + excluded) == sorted(present)
