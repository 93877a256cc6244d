"""A Markdown page of this project: its headings, links, code blocks and tables.

A comment in front of a code block or a table names it, such as ``<!-- event: accepted -->``.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from helpers.function import ROOT

_FENCE: Final = re.compile(r"^```([a-z]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAMED_FENCE: Final = r"^<!-- {name} -->\n```([a-z]*)\n(.*?)^```$"
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_MAX_PROSE_LENGTH: Final = 120


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

    @cached_property
    def prose(self) -> str:
        """The page without its code blocks."""
        return _FENCE.sub("", self.text)

    @property
    def opening(self) -> str:
        """The first paragraph after the title."""
        return self.text.split("\n\n")[1].replace("\n", " ")

    @property
    def anchors(self) -> set[str]:
        """The anchors of the headings, as GitHub builds them."""
        counts: Counter[str] = Counter()
        anchors = set()
        for heading in re.findall(r"^#+ (.+)$", self.prose, re.MULTILINE):
            anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
            anchors.add(f"{anchor}-{counts[anchor]}" if counts[anchor] else anchor)
            counts[anchor] += 1
        return anchors

    @property
    def links(self) -> list[str]:
        """The targets of links and images."""
        return _LINK.findall(self.prose)

    @property
    def long_lines(self) -> list[str]:
        """Lines of prose that are too long. Rows of tables are omitted, because they cannot be wrapped."""
        return [line for line in self.prose.splitlines() if len(line) > _MAX_PROSE_LENGTH and not line.startswith("|")]

    def code_blocks(self, language: str) -> list[str]:
        """Return the code blocks in a language."""
        return [code for name, code in _FENCE.findall(self.text) if name == language]

    def code(self, name: str) -> str:
        """Return the code block with this name."""
        found = re.search(_NAMED_FENCE.format(name=re.escape(name)), self.text, re.MULTILINE | re.DOTALL)
        assert found, f"{self.name} has no code block named {name}"
        return found[2]

    def json(self, name: str) -> Any:
        """Return the value of the JSON block with this name."""
        return json.loads(self.code(name))

    def names(self, kind: str) -> list[str]:
        """Return the names of all code blocks of a kind, such as ``event``."""
        return re.findall(rf"^<!-- {kind}: (.+) -->$", self.text, re.MULTILINE)

    def table(self, name: str) -> list[list[str]]:
        """Return the cells of the table with this name, without the heading row and without the backquotes of code."""
        _, found, rest = self.text.partition(f"<!-- table: {name} -->\n")
        assert found, f"{self.name} has no table named {name}"
        rows = rest.split("\n\n", 1)[0].strip().splitlines()[2:]
        return [[re.sub(r"^`([^`]*)`$", r"\1", cell.strip()) for cell in row.strip("|").split("|")] for row in rows]


README: Final = Page("README.md")
README_CN: Final = Page("README_CN.md")
SECURITY: Final = Page("SECURITY.md")
REFERENCE: Final = Page("docs/reference.md")
DEPLOYING: Final = Page("docs/deploying.md")
TRIGGERS: Final = Page("docs/triggers.md")
LOW_CODE: Final = Page("docs/low-code.md")
OPERATIONS: Final = Page("docs/operations.md")
PAGES: Final = [Page(str(path.relative_to(ROOT))) for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])]
