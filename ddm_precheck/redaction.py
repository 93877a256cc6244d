"""Redacts the token in texts from DDM and from callers.

DDM's texts are redacted when they are parsed, so that no later step can output the token. Callers' texts are redacted
when they are output. The function's own texts are never redacted: a token ``database`` would change such texts.
"""

from typing import Final

_REDACTED: Final = "***"

_MIN_TOKEN_LENGTH: Final = 8
"""Shorter tokens are not redacted: IAM's tokens are longer, and redacting a token ``e`` would damage every text."""


def contains_token(text: str, token: str) -> bool:
    """Return whether `text` contains the token. For a token of fewer than 8 characters, return False."""
    return len(token) >= _MIN_TOKEN_LENGTH and token in text


def redact(text: str, token: str) -> str:
    """Return `text` with the token replaced by ``***`` and lone surrogates by question marks.

    A lone surrogate cannot be encoded as UTF-8, and strict JSON parsers refuse its escape.
    """
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode()
    if not contains_token(text, token):
        return text
    text = text.replace(token, _REDACTED)
    # If the token itself contains asterisks, a replacement can complete another occurrence.
    return _REDACTED if contains_token(text, token) else text
