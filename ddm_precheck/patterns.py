"""Compiles the patterns of JSON Schema, which are regular expressions of ECMA-262, to regular expressions of Python."""

import re
from functools import cache
from typing import Final

_ESCAPE_CLASS_OR_DOLLAR: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern with ECMA-262's meaning of ``$``. Python's ``$`` also matches before a trailing line break."""
    return re.compile(_ESCAPE_CLASS_OR_DOLLAR.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern))
