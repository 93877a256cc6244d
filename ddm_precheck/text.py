"""Texts from outside, made safe to show to a person on one line."""

import re
from typing import Final

# Control characters, line and paragraph separators, and characters that are invisible or change the direction of the
# text: any of them could make one line look like two, or like another text.
_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f]"
)


def one_line(text: str) -> str:
    """Return the text as one line: every run of white space and unsafe characters becomes one space."""
    return " ".join(_UNSAFE.sub(" ", text).split())


def truncate(text: str, max_length: int) -> str:
    """Return the text, cut after `max_length` characters and marked with an ellipsis where it is longer."""
    return text if len(text) <= max_length else f"{text[:max_length]}…"


def truncate_bytes(text: str, max_bytes: int) -> str:
    """Return the text in at most `max_bytes` bytes of UTF-8, the ellipsis of a cut text included."""
    data = text.encode()
    if len(data) <= max_bytes:
        return text
    return data[: max_bytes - len("…".encode())].decode(errors="ignore").rstrip() + "…"
