"""Validates against the JSON Schemas in ``schemas/``, and returns violations as data.

A predicate made of closures, which takes about 1 µs for each of DDM's checks, accepts what is valid. Only what it does
not accept is given to jsonschema, which explains the violations. The predicate never accepts an invalid value; it may
reject a valid one, such as 2.0 for an integer. Most instances never import jsonschema, a third of a cold start.
"""

import difflib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Final

from ddm_precheck.problem import Violation
from ddm_precheck.text import describe_fault, encodable, one_line

MAX_VIOLATIONS: Final = 20

Predicate = Callable[[Any], bool]

_FOLDER: Final = Path(__file__).parent.parent / "schemas"
_MAX_NAME_LENGTH: Final = 128
"""A longer name of a field could be an IAM token, so it is not shown."""

_ANNOTATIONS: Final = {"$schema", "$id", "title", "description", "examples", "default"}
_CLASSES: Final = {"array": list, "boolean": bool, "integer": int, "null": type(None), "object": dict, "string": str}
_TYPES: Final = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "null": "null",
    "object": "an object",
    "string": "a string",
}
_UNQUOTED: Final = {"boolean": "true or false without quotes", "integer": "a number without quotes"}
_CHARACTERS: Final = {
    r"^[A-Za-z0-9_-]+$": "may only have the characters A-Z a-z 0-9 _ -",
    r"^[A-Za-z0-9-]+$": "may only have the characters A-Z a-z 0-9 -",
    r"^[a-z][a-z0-9_]*$": "must start with a letter and may only have the characters a-z 0-9 _",
    r"^[a-z0-9]+(-[a-z0-9]+)*$": "must be a region such as cn-north-4",
}
_LIMITS: Final = {
    "minLength": "must have at least {} characters",
    "maxLength": "must have at most {} characters",
    "minimum": "must be at least {}",
    "maximum": "must be at most {}",
    "maxItems": "must have at most {} items",
}


class Schema:
    def __init__(self, name: str) -> None:
        self._schema = json.loads((_FOLDER / f"{name}.schema.json").read_text("utf-8"))
        self.optional = self._schema["properties"].keys() - set(self._schema["required"])
        self._is_valid = predicate(self._schema)

    @cached_property
    def _validator(self) -> Any:
        return _validator_class()(self._schema)

    def violations(self, value: object) -> tuple[Violation, ...]:
        """Return the first violations, at most `MAX_VIOLATIONS` and one for each pointer; none if the value is valid.

        A list with too many items is the last violation, because validating its items would take seconds.
        """
        if self._is_valid(value):
            return ()
        violations: dict[str, Violation] = {}
        try:
            for error in self._validator.iter_errors(value):
                for violation in itertools.islice(_to_violations(error), MAX_VIOLATIONS):
                    violations.setdefault(violation.pointer, violation)
                if error.validator == "maxItems" or len(violations) >= MAX_VIOLATIONS:
                    break
        except RecursionError:  # jsonschema's message quotes the value, which may be nested too deeply
            return (Violation("", "is nested too deeply"),)
        return tuple(violations.values())[:MAX_VIOLATIONS]


def pointer(path: Iterable[str | int]) -> str:
    """Return the RFC 6901 pointer on one line; the pointer of the parent if the last name is too long to be shown."""
    names = [one_line(encodable(str(name))) for name in path]
    escaped = (name.replace("~", "~0").replace("/", "~1") for name in names if len(name) <= _MAX_NAME_LENGTH)
    return "".join(f"/{name}" for name in escaped)


def predicate(schema: Any) -> Predicate:
    """Return the predicate of a JSON Schema (draft 2020-12). For an unsupported one, it is always False."""
    if not isinstance(schema, dict) or schema.keys() - _ANNOTATIONS - _KEYWORDS.keys():
        return _never
    # The order is that of the table, not that of the schema: keywords that take more time are last.
    tests = [keyword(schema[name], schema) for name, keyword in _KEYWORDS.items() if name in schema]

    def is_valid(value: Any) -> bool:
        for test in tests:  # noqa: SIM110 - all() with a generator takes twice the time
            if not test(value):
                return False
        return True

    return tests[0] if len(tests) == 1 else is_valid


def _never(_: Any) -> bool:
    return False


def _compile(pattern: str) -> re.Pattern[str]:
    """Compile a pattern with ECMA-262's meaning of a ``$`` at its end: Python's also matches before a line break."""
    return re.compile(pattern[:-1] + r"\Z" if re.search(r"(?<!\\)\$$", pattern) else pattern)


def _type(names: Any, _: Any) -> Predicate:
    names = [names] if isinstance(names, str) else names
    if not set(names) <= _CLASSES.keys():
        return _never
    classes = {_CLASSES[name] for name in names}
    if len(classes) == 1:  # the most frequent test
        (only,) = classes
        return lambda value: value.__class__ is only
    return lambda value: value.__class__ in classes


def _enum(values: list[Any], _: Any) -> Predicate:
    listed = {value for value in values if value is None or isinstance(value, str)}
    return lambda value: (value is None or value.__class__ is str) and value in listed


def _pattern(pattern: str, _: Any) -> Predicate:
    search = _compile(pattern).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _items(subschema: Any, _: Any) -> Predicate:
    is_valid = predicate(subschema)
    return lambda value: not isinstance(value, list) or all(map(is_valid, value))


def _properties(subschemas: dict[str, Any], _: Any) -> Predicate:
    predicates = [(name, predicate(subschema)) for name, subschema in subschemas.items()]

    def is_valid(value: Any) -> bool:
        if isinstance(value, dict):
            for name, test in predicates:
                if (part := value.get(name, _ABSENT)) is not _ABSENT and not test(part):
                    return False
        return True

    return is_valid


def _required(names: list[str], _: Any) -> Predicate:
    required = frozenset(names)
    return lambda value: not isinstance(value, dict) or required <= value.keys()


def _additional_properties(allowed: Any, schema: Any) -> Predicate:
    known = frozenset(schema.get("properties", {}))
    return lambda value: not isinstance(value, dict) or (allowed is False and value.keys() <= known)


_ABSENT: Final = object()
_NUMBERS: Final = (int, float)  # exact classes: a bool is not a number
_KEYWORDS: Final[dict[str, Callable[[Any, Any], Predicate]]] = {
    "type": _type,
    "enum": _enum,
    "minLength": lambda limit, _: lambda value: not isinstance(value, str) or len(value) >= limit,
    "maxLength": lambda limit, _: lambda value: not isinstance(value, str) or len(value) <= limit,
    "minimum": lambda limit, _: lambda value: value.__class__ not in _NUMBERS or value >= limit,
    "maximum": lambda limit, _: lambda value: value.__class__ not in _NUMBERS or value <= limit,
    "maxItems": lambda limit, _: lambda value: not isinstance(value, list) or len(value) <= limit,
    "pattern": _pattern,
    "required": _required,
    "additionalProperties": _additional_properties,
    "properties": _properties,
    "items": _items,
}
"""For each keyword, a function of its argument and the JSON Schema that returns the predicate."""


@cache
def _validator_class() -> Any:
    from jsonschema import Draft202012Validator, ValidationError  # noqa: PLC0415 - see the module's docstring
    from jsonschema.validators import extend  # noqa: PLC0415

    def validate_pattern(validator: Any, pattern: str, instance: Any, _schema: object) -> Iterator[Any]:
        if validator.is_type(instance, "string") and not _compile(pattern).search(instance):
            yield ValidationError(f"does not match {pattern!r}")

    return extend(Draft202012Validator, {"pattern": validate_pattern})


def _to_violations(error: Any) -> Iterator[Violation]:
    """Build violations from the violated rule. jsonschema's own message is not used, because it quotes the value."""
    keyword, argument, path = str(error.validator), error.validator_value, tuple(error.absolute_path)
    if keyword == "required":
        missing = (name for name in argument if name not in error.instance)
        yield from (Violation(pointer((*path, name)), "is required") for name in missing)
    elif keyword == "additionalProperties":
        known = error.schema["properties"]
        unknown = (name for name in error.instance if name not in known)
        yield from (_unknown_field(path, name, known) for name in unknown)
    else:
        yield Violation(pointer(path), _detail(keyword, argument, error.instance))


def _unknown_field(path: tuple[str | int, ...], name: str, known: Iterable[str]) -> Violation:
    if len(name) > _MAX_NAME_LENGTH:
        return Violation(pointer(path), f"has an unknown field; the known fields are {', '.join(known)}")
    similar = difflib.get_close_matches(name.lower(), known)
    hint = f"did you mean {similar[0]}?" if similar else f"the known fields are {', '.join(known)}"
    return Violation(pointer((*path, name)), f"is not a known field; {hint}")


def _detail(keyword: str, argument: Any, value: Any) -> str:
    match keyword:
        case "type":
            return _type_detail([argument] if isinstance(argument, str) else argument, value)
        case "enum":
            return f"must be one of {', '.join(item or json.dumps(item) for item in argument)}"
        case "pattern" if argument == r"\S":
            return "must not be blank"
        case "pattern":
            return describe_fault(value) or _CHARACTERS[argument]
        case "minLength" if not value:
            return "is empty"
    return _LIMITS[keyword].format(argument)


def _type_detail(names: list[str], value: Any) -> str:
    if value is None and len(names) == 1:
        return f"is null; it must be {_TYPES[names[0]]}"
    if isinstance(value, str) and names[0] in _UNQUOTED:
        return f"must be {_UNQUOTED[names[0]]}"
    if isinstance(value, int | float) and names == ["string"]:
        return "must be a string, in double quotes"
    return f"must be {' or '.join(_TYPES[name] for name in names)}"
