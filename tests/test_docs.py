"""The Markdown pages: links, sizes, code blocks and pictures."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
import yaml
from helpers.function import ROOT
from helpers.markdown import PAGES, README, README_CN, SECURITY, Page

from testing.function_server import clean_environment

QUESTION_PAGES = [page for page in PAGES if page.name.startswith("docs/") and page.name != "docs/performance-table.md"]
PICTURES = sorted((ROOT / "docs").glob("*.svg"))
CODE = ("bash", "console", "json", "text", "yaml")
SVG = "{http://www.w3.org/2000/svg}"


def page_id(page: Page) -> str:
    """Return the page's name, as the ID of a test."""
    return page.name


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links(page):
    """Each link is an https URL, or the path of a file in the repository. An anchor is a heading of this file."""
    missing = []
    for link in page.links:
        target, _, anchor = link.partition("#")
        path = (page.path.parent / unquote(target)).resolve() if target else page.path
        is_there = link.startswith("https://") or (path.exists() and path.is_relative_to(ROOT))
        if not is_there or (anchor and unquote(anchor) not in Page(str(path.relative_to(ROOT))).anchors):
            missing.append(link)
    assert missing == []


def test_every_page_is_linked_from_the_readme():
    """The README links to every page, and a page links to every picture."""
    linked = {link.partition("#")[0] for link in README.links}
    assert {page.name for page in QUESTION_PAGES} | {"CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md"} <= linked
    shown = {(page.path.parent / link).resolve() for page in PAGES for link in page.links}
    assert {path for pattern in ("*.svg", "*.png") for path in (ROOT / "docs").glob(pattern)} <= shown


def test_size_of_the_readme():
    """The README is short."""
    assert len(README.text.splitlines()) <= 190
    assert len(README.text.split()) <= 1700


@pytest.mark.parametrize("page", QUESTION_PAGES, ids=page_id)
def test_first_sentence_is_the_question(page):
    """The first paragraph of each page is the question that the page answers."""
    assert page.opening.endswith("?")


@pytest.mark.parametrize("page", [page for page in PAGES if page != README_CN], ids=page_id)
def test_prose_is_wrapped(page):
    """Lines of prose have at most 120 characters. Chinese is not wrapped: its line breaks would become spaces."""
    assert page.long_lines == []


@pytest.mark.parametrize("page", [README, README_CN, SECURITY, *QUESTION_PAGES], ids=page_id)
def test_width_of_tables_and_code(page):
    """A reader does not have to scroll: rows of tables have at most 160 characters, lines of code at most 120."""
    rows = [line for line in page.prose.splitlines() if line.startswith("|") and len(line) > 160]
    code = [line for language in CODE for block in page.code_blocks(language) for line in block.splitlines()]
    assert rows + [line for line in code if len(line) > 120] == []


def test_chinese_typography():
    """A space separates Chinese from Latin letters, digits and code, and Chinese text has full-width punctuation."""
    prose = re.sub(r"\]\([^)\s]+\)", "]", README_CN.prose)
    prose = re.sub(r"`[^`\n]+`", "`", prose)
    han = "[\u4e00-\u9fff]"
    faults = rf"{han}[*]*[A-Za-z0-9`]|[A-Za-z0-9`][*]*{han}|{han}[,;:?!()]|[,;:?!()]{han}"
    assert [prose[match.start() - 10 : match.end() + 10] for match in re.finditer(faults, prose)] == []


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_code_blocks_are_well_formed(page, tmp_path):
    """JSON and YAML can be parsed, and shellcheck accepts the commands."""
    for code in page.code_blocks("json"):
        json.loads(code)
    for code in page.code_blocks("yaml"):
        yaml.safe_load(code)
    for number, code in enumerate(page.code_blocks("bash")):
        script = tmp_path / f"{number}.bash"
        script.write_text(f"#!/usr/bin/env bash\n{code}")
        # A block may define a variable or a function that only another block of the page uses.
        shellcheck = [Path(sys.executable).parent / "shellcheck", "--exclude=SC2034,SC2154,SC2329", script]
        run = subprocess.run(shellcheck, capture_output=True, text=True, check=False, timeout=60)
        assert run.stdout + run.stderr == ""


def test_gcloud_commands(tmp_path):
    """Google's offline linter accepts each gcloud command of the pages."""
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is missing")
    found = [command for page in PAGES for code in page.code_blocks("bash") for command in gcloud_commands(code)]
    commands = sorted(set(found))
    assert len(commands) > 20
    (tmp_path / "commands").write_text(json.dumps([{"command_string": command} for command in commands]))
    lint = ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={tmp_path / 'commands'}"]
    environment = clean_environment() | {"CLOUDSDK_CONFIG": str(tmp_path / "config")}
    run = subprocess.run(lint, env=environment, capture_output=True, text=True, timeout=120, check=True)
    results = json.loads(run.stdout)
    assert [result["error_message"] for result in results] == [None] * len(commands), commands


def gcloud_commands(code: str) -> list[str]:
    """Return the gcloud commands in a block of shell code, each on one line, as the linter reads them."""
    lines = code.replace("\\\n", " ").replace('"$PROJECT"', "my-project").splitlines()
    commands = [line[line.index("gcloud ") :].split(" | ")[0] for line in lines if "gcloud " in line]
    return [command.removesuffix(")") if "$(" not in command else command for command in commands]


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_pictures(picture):
    """Each picture has a title and a description for screen readers, colours for dark mode, and no links or scripts."""
    root = ET.parse(picture).getroot()
    assert all(root.findtext(f"{SVG}{name}") for name in ("title", "desc"))
    assert root.get("role") == "img"
    text = picture.read_text("utf-8")
    assert "prefers-color-scheme: dark" in text
    assert "href" not in text
    assert "<script" not in text
