"""The Markdown pages: links, code blocks, pictures, and the files that they name."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
import yaml
from helpers.fake_gcloud import lint
from helpers.function import ROOT
from helpers.markdown import CONTRIBUTING, PAGES, README, SECURITY, Page

EACH_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@EACH_PAGE
def test_links(page):
    """Each link is an https URL, or the path of a file in the repository. An anchor is a heading of this file."""
    broken = []
    for link in page.links:
        target, _, anchor = link.partition("#")
        path = (page.path.parent / unquote(target)).resolve() if target else page.path
        is_there = link.startswith("https://") or (path.exists() and path.is_relative_to(ROOT))
        if not is_there or (anchor and unquote(anchor) not in Page(str(path.relative_to(ROOT))).anchors):
            broken.append(link)
    assert broken == []


def test_every_page_and_picture_is_linked():
    linked = {(page.path.parent / link.partition("#")[0]).resolve() for page in PAGES for link in page.links}
    files = {path for pattern in ("*.md", "*.svg", "*.png") for path in (ROOT / "docs").glob(pattern)}
    assert files <= linked
    assert {f"docs/{path.name}" for path in files if path.suffix == ".md" and "table" not in path.name} <= {
        link.partition("#")[0] for link in README.links
    }


@EACH_PAGE
def test_code_blocks_are_well_formed(page, tmp_path):
    """JSON and YAML can be parsed, and shellcheck accepts the commands."""
    for code in page.code_blocks("json"):
        json.loads(code)
    for code in page.code_blocks("yaml"):
        yaml.safe_load(code)
    scripts = [tmp_path / f"{number}.bash" for number in range(len(page.code_blocks("bash")))]
    for script, code in zip(scripts, page.code_blocks("bash"), strict=True):
        script.write_text(f"#!/usr/bin/env bash\n{code}")
    if scripts:
        # A block may define a variable or a function that only another block of the page uses.
        shellcheck = [Path(sys.executable).parent / "shellcheck", "--exclude=SC2034,SC2154,SC2329", *scripts]
        run = subprocess.run(shellcheck, capture_output=True, text=True, check=False, timeout=60)
        assert run.stdout + run.stderr == ""


def test_gcloud_commands(tmp_path):
    lint({command for page in PAGES for code in page.code_blocks("bash") for command in gcloud(code)}, tmp_path)


def gcloud(code: str) -> list[str]:
    """Return the gcloud commands in a block of shell code, each on one line, as the linter reads them."""
    lines = code.replace("\\\n", " ").replace('"$PROJECT"', "my-project").splitlines()
    commands = [line[line.index("gcloud ") :].split(" | ")[0] for line in lines if "gcloud " in line]
    return [command.removesuffix(")") if "$(" not in command else command for command in commands]


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").glob("*.svg")), ids=lambda path: path.stem)
def test_pictures(picture):
    """A picture has a title for screen readers, and loads and runs nothing."""
    root = ET.parse(picture).getroot()
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "title" in tags
    assert not tags & {"script", "image", "use", "foreignObject"}


def test_contributing_names_files_that_exist():
    paths = re.findall(r"`((?:\./)?[\w-]+/[\w./-]*)`", CONTRIBUTING.text)
    assert [path for path in paths if not (ROOT / path).exists()] == []
    places = re.findall(r"`(\w+)` in `([\w/]+\.py)`", CONTRIBUTING.text)
    assert [name for name, path in places if name not in (ROOT / path).read_text()] == []


def test_each_bound_names_its_test():
    modules = {module for row in SECURITY.table("bounds") for module in re.findall(r"test_\w+", row[3])}
    assert [module for module in modules if not (ROOT / "tests" / f"{module}.py").exists()] == []
