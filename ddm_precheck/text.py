"""Texts from outside, made safe to show to a person on one line."""

import re
from typing import Final

# Control characters, line and paragraph separators, and characters that are invisible or change the direction of the
# text: any of them could make one line look like two, or like another text. Not the variation selectors that choose
# between the two forms of an emoji.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def one_line(text: str) -> str:
    """Return the text as one line: every run of white space and unsafe characters becomes one space."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def truncate(text: str, max_length: int) -> str:
    """Return the text, cut after `max_length` characters and marked with an ellipsis where it is longer."""
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def truncate_bytes(text: str, max_bytes: int) -> str:
    """Return the text in at most `max_bytes` bytes of UTF-8, the ellipsis of a cut text included.

    Where there is no room for the ellipsis, return the ellipsis alone.
    """
    data = text.encode()
    if len(data) <= max(max_bytes, 0):
        return text
    return data[: max(max_bytes - len("…".encode()), 0)].decode(errors="ignore").rstrip() + "…"
