"""Keeps the token out of what DDM sends back.

DDM's texts are masked as they come in, so no later step can tell the token on. What we say ourselves is never
masked: a token that happens to read ``PASS`` cannot damage an answer.
"""

from typing import Any, Final

_SECRET_LENGTH: Final = 8
"""Shorter tokens are no secret: IAM's have thousands of characters, and masking ``e`` would garble every text."""

_MASK: Final = "***"


def holds_secret(text: str, token: str) -> bool:
    """Tell whether the text would tell the token on."""
    return len(token) >= _SECRET_LENGTH and token in text


def masked(value: Any, token: str) -> Any:
    """Return the JSON value with the token masked and lone surrogates replaced in all its texts.

    A lone surrogate is no character: it cannot be encoded, and strict readers refuse an answer that escapes one.
    """
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode() if not value.isascii() else value
        text = text.replace(token, _MASK) if holds_secret(text, token) else text
        return _MASK if holds_secret(text, token) else text  # the mask itself may complete a token that has it inside
    if isinstance(value, list):
        return [masked(item, token) for item in value]
    if isinstance(value, dict):
        return {name: masked(item, token) for name, item in value.items()}  # no member's name ever leaves
    return value
