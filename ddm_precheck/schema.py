"""Compiles the JSON Schemas in ``schemas/`` at the start, and returns a value's violations as data."""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from ddm_precheck.fast_validation import compile_schema, is_fully_supported, is_supported
from ddm_precheck.patterns import compile_pattern
from ddm_precheck.problem import Violation

MAX_VIOLATIONS: Final = 20

_FOLDER: Final = Path(__file__).parent.parent / "schemas"
_Path = tuple[str | int, ...]
_Error = tuple[_Path, ValidationError]
# A violation contains the name of an unknown field only if it matches this pattern: any other name may be a token.
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

        Raises jsonschema's SchemaError if the file is not a JSON Schema. Then the function does not start.
        """
        schema = json.loads((_FOLDER / f"{name}.schema.json").read_text("utf-8"))
        # check_schema takes 7 ms of each cold start. A test calls check_schema for the fully supported JSON Schemas.
        if not is_fully_supported(schema):
            Draft202012Validator.check_schema(schema)
        self._schema = schema
        self._is_valid = compile_schema(schema)

    @cached_property
    def _root(self) -> "_Node":
        # Created for the first invalid value, because the predicates of all subschemas delay a cold start.
        return _Node(self._schema)

    def violations(self, value: object) -> tuple[Violation, ...]:
        """Return the first violations of the JSON Schema, at most `MAX_VIOLATIONS`; none if the value is valid."""
        if self._is_valid(value):
            return ()
        try:
            errors = list(itertools.islice(self._root.errors(value, ()), MAX_VIOLATIONS))
        except RecursionError:  # jsonschema's message quotes the value, which may be nested too deeply
            return (Violation("", "is nested too deeply"),)
        # One violation for each pointer: if a value is too short and does not match the pattern, return only the first.
        violations: dict[str, Violation] = {}
        for violation in itertools.chain.from_iterable(_to_violations(path, error) for path, error in errors):
            violations.setdefault(violation.pointer, violation)
        return tuple(violations.values())[:MAX_VIOLATIONS]


class _Node:
    """A JSON Schema, and the nodes of its properties and items.

    jsonschema validates only the values for which the predicate returns False. So an invalid result with 1,000 checks
    takes at most 1.5 times as long as a valid result.
    """

    def __init__(self, schema: Any) -> None:
        self._is_valid = compile_schema(schema)
        self._properties: dict[str, _Node] = {}
        self._items: _Node | None = None
        self._unique_items: dict[str, Any] = {}
        if is_supported(schema):
            schema = dict(schema)
            if "properties" in schema:
                self._properties = {name: _Node(subschema) for name, subschema in schema["properties"].items()}
                schema["properties"] = dict.fromkeys(self._properties, True)  # additionalProperties needs the names
            if "items" in schema:
                self._items = _Node(schema.pop("items"))
            if "uniqueItems" in schema:
                self._unique_items = {"uniqueItems": schema.pop("uniqueItems")}
        self._own_schema = schema

    def errors(self, value: Any, path: _Path) -> Iterator[_Error]:
        """Yield jsonschema's errors, each with its path."""
        if not self._is_valid(value):
            yield from self._own_errors(value, path)
            if isinstance(value, dict):
                for name, node in self._properties.items():
                    if name in value:
                        yield from node.errors(value[name], (*path, name))

    def _own_errors(self, value: Any, path: _Path) -> Iterator[_Error]:
        """Yield the errors of the first of three groups of keywords that has errors.

        The order is that of the costs: the value's own keywords such as ``maxItems``, then the items, then
        ``uniqueItems``, for which jsonschema compares every pair of items.
        """
        # The validators are created here: most are never needed, and creating all of them would delay a cold start.
        errors = _errors_of_jsonschema(self._own_schema, value, path)
        if isinstance(value, list) and self._items:
            errors = _first_nonempty(errors, self._item_errors(value, path))
        if self._unique_items:
            errors = _first_nonempty(errors, _errors_of_jsonschema(self._unique_items, value, path))
        yield from errors

    def _item_errors(self, items: list[Any], path: _Path) -> Iterator[_Error]:
        for index, item in enumerate(items):
            yield from self._items.errors(item, (*path, index))  # type: ignore[union-attr] # the caller tests _items


def _errors_of_jsonschema(schema: Any, value: Any, path: _Path) -> Iterator[_Error]:
    return ((path, error) for error in _Validator(schema).iter_errors(value))


def _first_nonempty(*iterators: Iterator[_Error]) -> Iterator[_Error]:
    """Return the first iterator that is not empty. The iterators after it are not started."""
    for errors in iterators:
        for first in errors:
            return itertools.chain([first], errors)
    return iter(())


def _validate_pattern(validator: Any, pattern: str, instance: Any, _schema: object) -> Iterator[ValidationError]:
    """Validate the keyword ``pattern`` as ECMA-262 defines it. jsonschema accepts a trailing line break."""
    if validator.is_type(instance, "string") and not compile_pattern(pattern).search(instance):
        yield ValidationError(f"does not match {pattern!r}")


_Validator: Final[Any] = extend(Draft202012Validator, {"pattern": _validate_pattern})


def _to_violations(path: _Path, error: Any) -> Iterator[Violation]:
    """Build violations from the broken rule. jsonschema's own message is not used, because it quotes the value."""
    keyword, argument = str(error.validator), error.validator_value
    if keyword == "required":
        missing = (name for name in argument if name not in error.instance)
        yield from (Violation(_pointer((*path, name)), "is required") for name in missing)
    elif keyword == "additionalProperties":
        known = error.schema["properties"]
        for name in (name for name in error.instance if name not in known):
            fields = f"the known fields are {', '.join(known)}"
            if _PRINTABLE_NAME.fullmatch(name):
                yield Violation(_pointer((*path, name)), f"is not a known field; {fields}")
            else:
                yield Violation(_pointer(path), f"has an unknown field; {fields}")
    else:
        yield Violation(_pointer(path), _DETAILS.get(keyword, lambda _: f"breaks the rule {keyword}")(argument))


def _pointer(path: _Path) -> str:
    """Return the RFC 6901 pointer. The names in the path contain no character that needs escaping."""
    return "".join(f"/{name}" for name in path)


def _listed(values: list[Any]) -> str:
    return ", ".join(value if isinstance(value, str) and value else json.dumps(value) for value in values)
