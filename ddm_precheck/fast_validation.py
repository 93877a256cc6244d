"""Compiles a JSON Schema to a predicate that validates faster than jsonschema.

jsonschema takes about 30 µs to validate one of DDM's checks, most of it to create a validator for each nested value.
The predicate takes about 1 µs. The predicate never returns True for an invalid value. It may return False for a valid
value, if the JSON Schema or the value contains something that the predicate does not support. So True is final; after
False, jsonschema decides. The tests compare the predicate with jsonschema, with the official test suite and with
generated JSON Schemas.
"""

import re
from collections.abc import Callable
from functools import cache
from typing import Any, Final

Predicate = Callable[[Any], bool]

_CLASSES: Final = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "number": float,
    "object": dict,
    "string": str,
}
_ESCAPE_CLASS_OR_DOLLAR: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)


def compile_schema(schema: Any) -> Predicate:
    """Return the predicate of a JSON Schema (draft 2020-12). If it is not supported, the predicate is always False."""
    if not is_supported(schema):
        return _unsupported
    predicates = [compiler(schema[keyword]) for keyword, compiler in _COMPILERS.items() if keyword in schema]
    if "additionalProperties" in schema:
        predicates.append(_additional_properties(schema["additionalProperties"], schema.get("properties", {})))
    if len(predicates) == 1:
        return predicates[0]

    def is_valid(value: Any) -> bool:
        # A plain loop, here and below: it runs for each of DDM's checks, and all() takes twice the time.
        for predicate in predicates:  # noqa: SIM110
            if not predicate(value):
                return False
        return True

    return is_valid


def is_supported(schema: Any) -> bool:
    """Return whether the JSON Schema is an object with supported keywords only. Subschemas are not examined."""
    return isinstance(schema, dict) and schema.keys() <= _SUPPORTED


def is_fully_supported(schema: Any) -> bool:
    """Return whether the schema and all its subschemas have only supported keywords and known types."""
    if not is_supported(schema):
        return False
    types = schema.get("type", [])
    subschemas = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    are_known = all(name in _CLASSES for name in ([types] if isinstance(types, str) else types))
    return are_known and all(is_fully_supported(subschema) for subschema in subschemas)


@cache
def compile_pattern(pattern: str) -> re.Pattern[str]:
    """Compile a pattern with ECMA-262's meaning of ``$``. Python's ``$`` also matches before a trailing line break."""
    return re.compile(_ESCAPE_CLASS_OR_DOLLAR.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern))


def _unsupported(_value: object) -> bool:
    return False


def _type(types: str | list[str]) -> Predicate:
    classes = _classes(types)
    return lambda value: value.__class__ in classes


def _classes(types: str | list[str]) -> frozenset[type | None]:
    """Return the exact classes of the types: a bool is no integer, and jsonschema decides about 1.0."""
    return frozenset(_CLASSES.get(name) for name in ([types] if isinstance(types, str) else types))


def _has_type_only(schema: Any) -> bool:
    return isinstance(schema, dict) and "type" in schema and schema.keys() <= _ANNOTATIONS | {"type"}


def _enum(values: list[Any]) -> Predicate:
    strings = {value for value in values if isinstance(value, str)}
    has_null = None in values
    return lambda value: (value.__class__ is str and value in strings) or (value is None and has_null)


def _pattern(pattern: str) -> Predicate:
    search = compile_pattern(pattern).search
    return lambda value: value.__class__ is str and search(value) is not None


def _min_length(minimum: int) -> Predicate:
    return lambda value: value.__class__ is str and len(value) >= minimum


def _max_length(maximum: int) -> Predicate:
    return lambda value: value.__class__ is str and len(value) <= maximum


def _minimum(minimum: float) -> Predicate:
    return lambda value: value.__class__ is int and value >= minimum


def _maximum(maximum: float) -> Predicate:
    return lambda value: value.__class__ is int and value <= maximum


def _min_items(minimum: int) -> Predicate:
    return lambda value: value.__class__ is list and len(value) >= minimum


def _max_items(maximum: int) -> Predicate:
    return lambda value: value is None or (value.__class__ is list and len(value) <= maximum)


def _unique_items(unique: bool) -> Predicate:  # noqa: FBT001 - the value of the keyword
    def is_valid(value: Any) -> bool:
        try:
            return value.__class__ is list and (not unique or len(set(value)) == len(value))
        except TypeError:  # a list or an object cannot be in a set
            return False

    return is_valid


def _items(schema: Any) -> Predicate:
    predicate = compile_schema(schema)

    def is_valid(value: Any) -> bool:
        if value is None:
            return True
        if value.__class__ is not list:
            return False
        for item in value:  # noqa: SIM110
            if not predicate(item):
                return False
        return True

    return is_valid


def _required(names: list[str]) -> Predicate:
    required = set(names)
    return lambda value: value.__class__ is dict and required <= value.keys()


def _properties(properties: dict[str, Any]) -> Predicate:
    # Most properties have a type and no other rule. To test it here saves a call for each of them.
    classes = {name: _classes(schema["type"]) for name, schema in properties.items() if _has_type_only(schema)}
    typed = list(classes.items())
    predicates = [(name, compile_schema(schema)) for name, schema in properties.items() if name not in classes]

    def is_valid(value: Any) -> bool:
        if value.__class__ is not dict:
            return False
        for name, allowed in typed:
            if name in value and value[name].__class__ not in allowed:
                return False
        for name, predicate in predicates:  # noqa: SIM110
            if name in value and not predicate(value[name]):
                return False
        return True

    return is_valid


def _additional_properties(schema: Any, properties: dict[str, Any]) -> Predicate:
    if schema is not False:
        return _unsupported
    return lambda value: value.__class__ is dict and value.keys() <= properties.keys()


# The predicates run in this order: types and sizes first, keywords that take more time last.
_COMPILERS: Final[dict[str, Callable[[Any], Predicate]]] = {
    "type": _type,
    "enum": _enum,
    "minLength": _min_length,
    "maxLength": _max_length,
    "minimum": _minimum,
    "maximum": _maximum,
    "minItems": _min_items,
    "maxItems": _max_items,
    "pattern": _pattern,
    "items": _items,
    "uniqueItems": _unique_items,
    "required": _required,
    "properties": _properties,
}
_ANNOTATIONS: Final = {"$schema", "$id", "title", "description", "examples", "default"}
_SUPPORTED: Final = frozenset(_COMPILERS.keys() | _ANNOTATIONS | {"additionalProperties"})
