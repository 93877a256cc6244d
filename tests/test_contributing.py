"""CONTRIBUTING.md: the files, the tables and the modules that it names exist."""

import re

import pytest
from helpers.function import ROOT
from helpers.markdown import Page

PAGE = Page("CONTRIBUTING.md")
PATHS = sorted(set(re.findall(r"`((?:\./)?(?:[a-z_]+/)*[A-Za-z_]+(?:\.[a-z0-9.-]+)?/?)`", PAGE.text)))
TABLES = re.findall(r"`([A-Za-z_]+)` in `([a-z_/]+\.[a-z]+)`", PAGE.text)
LISTS = re.findall(r"`([A-Z_]+)`, `([A-Z_]+)` or `([A-Z_]+)` in `([a-z_/]+\.py)`", PAGE.text)


@pytest.mark.parametrize("path", [path for path in PATHS if "/" in path])
def test_file_exists(path):
    """Each file and folder that the page names exists."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("name", "path"), TABLES, ids=[" in ".join(row) for row in TABLES])
def test_table_is_in_its_file(name, path):
    """Each table that a contributor has to change is in the file that the page names."""
    assert re.search(rf"\b{name}\b", (ROOT / path).read_text())


def test_tables_are_found():
    """The patterns find more than ten files and more than ten tables. Otherwise, the tests above would be empty."""
    assert len(PATHS) > 10
    assert len(TABLES) > 10
    (names,) = LISTS
    assert all(name in (ROOT / names[-1]).read_text() for name in names[:-1])


def test_diagram_names_the_steps():
    """The diagram has each module that main.py imports, and only modules that exist."""
    words = set(re.findall(r"\w+", PAGE.code_blocks("text")[0]))
    steps = re.search(r"^from ddm_precheck import ([a-z_, ]+)$", (ROOT / "main.py").read_text(), re.MULTILINE)
    modules = {path.stem for path in (ROOT / "ddm_precheck").glob("*.py")} | {"main"}
    assert {"main", "ddm", "transport", *steps[1].split(", ")} - words <= {"waiting"}
    assert {word for word in words if "_" in word} <= modules | {"K_SINK"}
