"""Converts external texts to one line that is safe to show to a person."""

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


def one_line(text: str) -> str:
    """Return the text as one line: every run of white space and unsafe characters becomes one space."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def truncate(text: str, max_length: int) -> str:
    """Return the first `max_length` characters of the text, followed by an ellipsis if the text is longer."""
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def truncate_bytes(text: str, max_bytes: int) -> str:
    """Return the text in at most `max_bytes` bytes of UTF-8, including the ellipsis after a truncated text.

    If `max_bytes` is smaller than the ellipsis, return only the ellipsis.
    """
    data = text.encode()
    if len(data) <= max(max_bytes, 0):
        return text
    return data[: max(max_bytes - len("…".encode()), 0)].decode(errors="ignore").rstrip() + "…"
