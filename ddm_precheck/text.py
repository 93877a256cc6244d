"""Strings from outside: converted to one line, truncated, and described without being quoted."""

import re
from typing import Final

# Control characters, line and paragraph separators, and characters that are invisible or change the direction of the
# text: each of them could make one line look like two lines, or like another text. The variation selectors that choose
# between the two forms of an emoji are not included.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# The ways in which people send a string wrongly, each with what to do about it. The first match counts.
_FAULTS: Final = (
    (re.compile(r"\{\{|\}\}|\$\{|\$\(|<%|^\s*[<$%]"), "is a placeholder that was not filled in; send its value"),
    (re.compile(r"^\s*[\"'`\u2018-\u201f]|[\"'`\u2018-\u201f]\s*$"), "has quotes around it; send it without quotes"),
    (
        re.compile(r"^\s*(null|none|undefined|nil|nan)\s*$", re.IGNORECASE),
        "stands for a missing value; send the value itself",
    ),
    (re.compile(r"\s"), "has a space or a line break; remove it"),
)


def one_line(text: str) -> str:
    """Return the text as one line: every run of whitespace and unsafe characters becomes one space."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def encodable(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 cannot encode, replaced by question marks."""
    return text.encode(errors="replace").decode()


def truncate(text: str, max_length: int) -> str:
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def truncate_bytes(text: str, max_bytes: int) -> str:
    """Return the text in at most `max_bytes` bytes of UTF-8, including the ellipsis, which is never omitted."""
    data = text.encode()
    if len(data) <= max(max_bytes, 0):
        return text
    return data[: max(max_bytes - len("…".encode()), 0)].decode(errors="ignore").rstrip() + "…"


def describe_fault(text: str) -> str | None:
    """Return a common fault of a string that breaks its rule and what to do about it, or None. Nothing is quoted."""
    if not text:
        return "is empty"
    return next((description for pattern, description in _FAULTS if pattern.search(text)), None)
