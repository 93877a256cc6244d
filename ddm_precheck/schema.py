"""The JSON Schemas in ``schemas/``, compiled once; what breaks them as data."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ddm_precheck.fast_validation import PrecheckValidator

_FOLDER: Final = Path(__file__).parent.parent / "schemas"
MOST_VIOLATIONS: Final = 20


@dataclass(frozen=True, slots=True)
class Violation:
    """One place that breaks a rule: an RFC 6901 pointer, and what would be right.

    Neither quotes a value: the token may be in any of them.
    """

    pointer: str
    detail: str


class Schema:
    """One schema of ``schemas/``, checked when it is loaded."""

    def __init__(self, name: str) -> None:
        """Load ``schemas/<name>.schema.json``; a broken schema raises and so fails the start."""
        document = json.loads((_FOLDER / f"{name}.schema.json").read_text("utf-8"))
        PrecheckValidator.check_schema(document)
        self._validator = PrecheckValidator(document)

    def violations(self, document: object) -> tuple[Violation, ...]:
        """Return what breaks the schema, the first twenty at most; empty means valid."""
        try:
            return self._violations(document)
        except RecursionError:  # jsonschema quotes what it refuses, which can be too deep for that
            return (Violation("", "is nested too deeply"),)

    def _violations(self, document: object) -> tuple[Violation, ...]:
        errors = itertools.islice(self._validator.iter_errors(document), MOST_VIOLATIONS)
        # One place, one violation, the first: what is empty is not told to match a pattern as well.
        found: dict[str, Violation] = {}
        for violation in itertools.chain.from_iterable(map(_translated, errors)):
            found.setdefault(violation.pointer, violation)
        return tuple(found.values())[:MOST_VIOLATIONS]


def _translated(error: Any) -> Iterator[Violation]:
    """Turn jsonschema's error into ours, built from the rule: its own message quotes the value."""
    path, rule, value = list(error.absolute_path), str(error.validator), error.validator_value
    if rule == "required":
        yield from (Violation(_pointer([*path, name]), "is required") for name in value if name not in error.instance)
    elif rule == "additionalProperties":
        known = error.schema["properties"]
        hint = f"known are {', '.join(known)}"
        for name in (name for name in error.instance if name not in known):
            if _TOLD_NAME.fullmatch(name):
                yield Violation(_pointer([*path, name]), f"is not a member; {hint}")
            else:  # what does not look like a name is not told: it may be a token in the wrong place
                yield Violation(_pointer(path), f"has a member that is not known; {hint}")
    else:
        yield Violation(_pointer(path), _DETAILS[rule](value))


def _pointer(path: list[str | int]) -> str:
    """Return the RFC 6901 pointer; no name in it needs escaping."""
    return "".join(f"/{name}" for name in path)


def _types(types: str | list[str]) -> str:
    return "must be of type " + (types if isinstance(types, str) else " or ".join(types))


_TOLD_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
_DETAILS: Final[dict[str, Callable[[Any], str]]] = {
    "type": _types,
    "enum": lambda values: f"must be one of {', '.join(values)}",
    "pattern": lambda pattern: f"must match {pattern}, with no space or line break around it",
    "minLength": lambda least: f"must have at least {least} characters",
    "maxLength": lambda most: f"must have at most {most} characters",
    "minimum": lambda least: f"must be at least {least}",
    "maximum": lambda most: f"must be at most {most}",
}
