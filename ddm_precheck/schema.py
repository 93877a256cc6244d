"""The JSON Schemas in ``schemas/``, compiled once at the start; a value's violations as data."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from ddm_precheck.fast_validation import compile_pattern, compile_schema, is_supported
from ddm_precheck.problem import Violation

MAX_VIOLATIONS: Final = 20

_FOLDER: Final = Path(__file__).parent.parent / "schemas"
_Path = tuple[str | int, ...]
_Error = tuple[_Path, ValidationError]
# Only a name that looks like one may appear in a violation: anything else may be a token in the wrong place.
_PRINTABLE_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,16}")
_DETAILS: Final[dict[str, Callable[[Any], str]]] = {
    "type": lambda types: "must be of type " + (types if isinstance(types, str) else " or ".join(types)),
    "enum": lambda values: f"must be one of {_listed(values)}",
    "pattern": lambda pattern: f"must match {pattern}",
    "minLength": lambda minimum: f"must have at least {minimum} characters",
    "maxLength": lambda maximum: f"must have at most {maximum} characters",
    "minimum": lambda minimum: f"must be at least {minimum}",
    "maximum": lambda maximum: f"must be at most {maximum}",
    "minItems": lambda minimum: f"must have at least {minimum} items",
    "maxItems": lambda maximum: f"must have at most {maximum} items",
    "uniqueItems": lambda _: "must not contain the same item twice",
}


class Schema:
    """One JSON Schema of ``schemas/``."""

    def __init__(self, name: str) -> None:
        """Load and compile ``schemas/<name>.schema.json``.

        Raises jsonschema's SchemaError where the file is not a JSON Schema, which stops the start.
        """
        document = json.loads((_FOLDER / f"{name}.schema.json").read_text("utf-8"))
        Draft202012Validator.check_schema(document)
        self._root = _Node(document)

    def violations(self, value: object) -> tuple[Violation, ...]:
        """Return the first violations of the JSON Schema, at most `MAX_VIOLATIONS`; none where the value is valid."""
        try:
            errors = list(itertools.islice(self._root.errors(value, ()), MAX_VIOLATIONS))
        except RecursionError:  # jsonschema quotes the wrong value, which may be nested too deeply for that
            return (Violation("", "is nested too deeply"),)
        # One violation for each place: where a value is too short, it is not said that it does not match the pattern.
        violations: dict[str, Violation] = {}
        for violation in itertools.chain.from_iterable(_to_violations(path, error) for path, error in errors):
            violations.setdefault(violation.pointer, violation)
        return tuple(violations.values())[:MAX_VIOLATIONS]


class _Node:
    """A schema and the schemas of its properties and items.

    jsonschema decides about each value, but it sees only the values that the predicate does not accept: an invalid
    result with 1,000 checks then costs little more than a valid one.
    """

    def __init__(self, schema: Any) -> None:
        self._is_valid = compile_schema(schema)
        self._properties: dict[str, _Node] = {}
        self._items: _Node | None = None
        self._unique_items: Any = None
        if is_supported(schema):
            schema = dict(schema)
            if "properties" in schema:
                self._properties = {name: _Node(subschema) for name, subschema in schema["properties"].items()}
                schema["properties"] = dict.fromkeys(self._properties, True)  # additionalProperties needs the names
            if "items" in schema:
                self._items = _Node(schema.pop("items"))
            if "uniqueItems" in schema:
                self._unique_items = _Validator({"uniqueItems": schema.pop("uniqueItems")})
        self._validator = _Validator(schema)

    def errors(self, value: Any, path: _Path) -> Iterator[_Error]:
        """Yield jsonschema's errors, each with its path."""
        if not self._is_valid(value):
            yield from self._own_errors(value, path)
            if isinstance(value, dict):
                for name, node in self._properties.items():
                    if name in value:
                        yield from node.errors(value[name], (*path, name))

    def _own_errors(self, value: Any, path: _Path) -> Iterator[_Error]:
        """Yield the errors of the value and its items, cheap keywords first: one that fails ends it.

        The number of items comes before the items, and both before ``uniqueItems``, for which jsonschema compares
        every pair of items.
        """
        errors: Iterator[_Error] = ((path, error) for error in self._validator.iter_errors(value))
        if isinstance(value, list) and self._items:
            errors = _first_with_any(errors, self._item_errors(value, path))
        if self._unique_items:
            errors = _first_with_any(errors, ((path, error) for error in self._unique_items.iter_errors(value)))
        yield from errors

    def _item_errors(self, items: list[Any], path: _Path) -> Iterator[_Error]:
        for index, item in enumerate(items):
            yield from self._items.errors(item, (*path, index))  # type: ignore[union-attr] # the caller has tested it


def _first_with_any(*iterators: Iterator[_Error]) -> Iterator[_Error]:
    """Return the first of the iterators that is not empty; those after it are not started."""
    for errors in iterators:
        for first in errors:
            return itertools.chain([first], errors)
    return iter(())


def _pattern(validator: Any, pattern: str, instance: Any, _schema: object) -> Iterator[ValidationError]:
    """Validate the keyword ``pattern`` as ECMA-262 defines it; jsonschema accepts a trailing line break."""
    if validator.is_type(instance, "string") and not compile_pattern(pattern).search(instance):
        yield ValidationError(f"does not match {pattern!r}")


_Validator: Final[Any] = extend(Draft202012Validator, {"pattern": _pattern})


def _to_violations(path: _Path, error: Any) -> Iterator[Violation]:
    """Build violations from the rule that was broken: jsonschema's own message quotes the value."""
    keyword, argument = str(error.validator), error.validator_value
    if keyword == "required":
        missing = (name for name in argument if name not in error.instance)
        yield from (Violation(_pointer((*path, name)), "is required") for name in missing)
    elif keyword == "additionalProperties":
        known = error.schema["properties"]
        for name in (name for name in error.instance if name not in known):
            if _PRINTABLE_NAME.fullmatch(name):
                yield Violation(_pointer((*path, name)), f"is not a known field; known are {', '.join(known)}")
            else:
                yield Violation(_pointer(path), f"has an unknown field; known are {', '.join(known)}")
    else:
        yield Violation(_pointer(path), _DETAILS.get(keyword, lambda _: f"breaks the rule {keyword}")(argument))


def _pointer(path: _Path) -> str:
    """Return the RFC 6901 pointer; no name in it needs escaping."""
    return "".join(f"/{name}" for name in path)


def _listed(values: list[Any]) -> str:
    return ", ".join(value if isinstance(value, str) and value else json.dumps(value) for value in values)
