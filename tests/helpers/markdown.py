"""A Markdown page of this project: its headings, links, code blocks and tables.

A comment in front of a code block or a table names it, such as ``<!-- response: invalid -->``.
"""

import json
import re
import shlex
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from helpers.function import ROOT

_FENCE: Final = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """One Markdown file, by its path from the root of the repository."""

    name: str

    @property
    def path(self) -> Path:
        """The file."""
        return ROOT / self.name

    @cached_property
    def text(self) -> str:
        """The whole page."""
        return self.path.read_text("utf-8")

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub builds them."""
        counts: Counter[str] = Counter()
        anchors = set()
        for heading in re.findall(r"^#+ (.+)$", _FENCE.sub("", self.text), re.MULTILINE):
            anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            anchors.add(f"{anchor}-{counts[anchor]}" if counts[anchor] else anchor)
            counts[anchor] += 1
        return anchors

    @property
    def links(self) -> list[str]:
        """The targets of links and images."""
        return re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", self.text))

    def code_blocks(self, language: str, heading: str = "") -> list[str]:
        """Return the code blocks in a language, of the page or of the section with this heading of level 2."""
        text = self.text.partition(f"## {heading}\n")[2].partition("\n## ")[0] if heading else self.text
        return [code for name, code in _FENCE.findall(text) if name == language]

    def commands(self, program: str) -> list[list[str]]:
        """Return the words of each command of a program, which is the first word of a line of bash."""
        lines = "\n".join(self.code_blocks("bash")).replace("\\\n", " ").splitlines()
        return [shlex.split(line) for line in lines if line.startswith(f"{program} ")]

    def code(self, name: str) -> str:
        """Return the code block with this name."""
        block = _FENCE.match(self.text.partition(f"<!-- {name} -->\n")[2])
        assert block, f"{self.name} has no code block named {name}"
        return block[2]

    def json(self, name: str) -> Any:
        """Return the value of the JSON block with this name."""
        return json.loads(self.code(name))

    def table(self, name: str) -> list[list[str]]:
        """Return the cells of the table with this name, without the heading row and without the backquotes of code."""
        _, found, rest = self.text.partition(f"<!-- table: {name} -->\n")
        assert found, f"{self.name} has no table named {name}"
        rows = rest.split("\n\n", 1)[0].strip().splitlines()[2:]
        return [[re.sub(r"^`([^`]*)`$", r"\1", cell.strip()) for cell in row.strip("|").split("|")] for row in rows]

    def names(self, table: str) -> list[str]:
        """Return all names in code font in the first column of a table."""
        return [name for row in self.table(table) for name in re.findall(r"[\w…-]+", row[0])]


README: Final = Page("README.md")
README_CN: Final = Page("README_CN.md")
CONTRIBUTING: Final = Page("CONTRIBUTING.md")
SECURITY: Final = Page("SECURITY.md")
FIRST_PRECHECK: Final = Page("docs/first-precheck.md")
REFERENCE: Final = Page("docs/reference.md")
DEPLOYING: Final = Page("docs/deploying.md")
TRIGGERS: Final = Page("docs/triggers.md")
LOW_CODE: Final = Page("docs/low-code.md")
OPERATIONS: Final = Page("docs/operations.md")
PAGES: Final = [Page(str(path.relative_to(ROOT))) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])]
