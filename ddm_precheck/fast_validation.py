"""Compiles a JSON Schema to a predicate that validates faster than jsonschema.

jsonschema takes about 30 µs to validate one of DDM's checks, most of it to create a validator for each nested value.
The predicate takes 0.4 µs: it is one expression of Python, which calls no function for most keywords.

The predicate never returns True for an invalid value. It may return False for a valid value, if the JSON Schema or the
value contains something that the predicate does not support. So True is final; after False, jsonschema decides. The
tests compare the predicate with jsonschema, for the official test suite and for generated JSON Schemas.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ddm_precheck.patterns import compile_pattern

Predicate = Callable[[Any], bool]

_ANNOTATIONS: Final = {"$schema", "$id", "title", "description", "examples", "default"}

# Exact classes: a bool is no integer. For other valid values, such as the integer 1.0, jsonschema decides.
_CLASSES: Final = {
    "array": "list",
    "boolean": "bool",
    "integer": "int",
    "number": "float",
    "object": "dict",
    "string": "str",
}


def compile_schema(schema: Any) -> Predicate:
    """Return a JSON Schema's predicate (draft 2020-12). If the JSON Schema is unsupported, it is always False."""
    compiler = _Compiler()
    source = f"lambda value: {compiler.expression(schema, 'value')}"
    predicate: Predicate = eval(source, compiler.constants)  # noqa: S307 - the JSON Schemas are part of the project
    return predicate


def is_supported(schema: Any) -> bool:
    """Return whether the JSON Schema has supported keywords only, each with an argument of the keyword's type.

    Subschemas are not examined.
    """
    return isinstance(schema, dict) and all(
        keyword in _ANNOTATIONS or (keyword in _KEYWORDS and type(argument) in _KEYWORDS[keyword].argument_classes)
        for keyword, argument in schema.items()
    )


def is_fully_supported(schema: Any) -> bool:
    """Return whether the JSON Schema and all its subschemas are supported, with known types only."""
    if not is_supported(schema):
        return False
    subschemas = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    are_known = all(name in _CLASSES or name == "null" for name in _as_list(schema.get("type", [])))
    return are_known and all(is_fully_supported(subschema) for subschema in subschemas)


class _Compiler:
    """Builds the expression of one predicate, and collects the constants in the expression."""

    def __init__(self) -> None:
        self.constants: dict[str, Any] = {"are_unique": _are_unique}
        self._numbers = itertools.count()

    def expression(self, schema: Any, value: str) -> str:
        """Return the expression that validates the variable ``value``."""
        if not is_supported(schema):
            return "False"
        conditions = [
            condition
            for name, keyword in _KEYWORDS.items()
            if name in schema
            for condition in keyword.conditions(self, schema, value)
        ]
        # Several keywords test the class of the value. Each condition is necessary only once.
        return " and ".join(dict.fromkeys(conditions)) or "True"

    def constant(self, value: Any) -> str:
        """Return the name of a constant with this value."""
        name = f"constant_{next(self._numbers)}"
        self.constants[name] = value
        return name

    def variable(self) -> str:
        """Return the name of a new variable."""
        return f"value_{next(self._numbers)}"


def _are_unique(items: list[Any]) -> bool:
    try:
        return len(set(items)) == len(items)
    except TypeError:  # a list or an object cannot be in a set
        return False


def _as_list(types: str | list[str]) -> list[str]:
    return [types] if isinstance(types, str) else types


def _has_class(value: str, name: str) -> str:
    return f"{value}.__class__ is {name}"


def _type(_: _Compiler, schema: Any, value: str) -> Iterator[str]:
    names = _as_list(schema["type"])
    allowed = [f"{value} is None"] if "null" in names else []
    allowed += [_has_class(value, _CLASSES[name]) for name in names if name in _CLASSES]
    yield allowed[0] if len(allowed) == 1 else f"({' or '.join(allowed or ['False'])})"


def _enum(compiler: _Compiler, schema: Any, value: str) -> Iterator[str]:
    strings = compiler.constant({item for item in schema["enum"] if isinstance(item, str)})
    is_listed = f"{_has_class(value, 'str')} and {value} in {strings}"
    yield f"({value} is None or {is_listed})" if None in schema["enum"] else f"({is_listed})"


def _min_length(_: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "str")
    yield f"len({value}) >= {schema['minLength']}"


def _max_length(_: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "str")
    yield f"len({value}) <= {schema['maxLength']}"


def _pattern(compiler: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "str")
    yield f"{compiler.constant(compile_pattern(schema['pattern']).search)}({value}) is not None"


def _minimum(compiler: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "int")
    yield f"{value} >= {compiler.constant(schema['minimum'])}"


def _maximum(compiler: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "int")
    yield f"{value} <= {compiler.constant(schema['maximum'])}"


def _min_items(_: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "list")
    yield f"len({value}) >= {schema['minItems']}"


def _max_items(_: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield f"({value} is None or {_has_class(value, 'list')} and len({value}) <= {schema['maxItems']})"


def _items(compiler: _Compiler, schema: Any, value: str) -> Iterator[str]:
    is_valid = compiler.constant(compile_schema(schema["items"]))
    yield f"({value} is None or {_has_class(value, 'list')} and all(map({is_valid}, {value})))"


def _unique_items(_: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "list")
    if schema["uniqueItems"]:
        yield f"are_unique({value})"


def _required(_: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "dict")
    yield from (f"{name!r} in {value}" for name in schema["required"])


def _properties(compiler: _Compiler, schema: Any, value: str) -> Iterator[str]:
    yield _has_class(value, "dict")
    for name, subschema in schema["properties"].items():
        field = compiler.variable()
        # The first condition of the expression assigns the variable.
        assignment = f"({field} := {value}[{name!r}])"
        is_valid = compiler.expression(subschema, field).replace(field, assignment, 1)
        yield is_valid if name in schema.get("required", ()) else f"({name!r} not in {value} or {is_valid})"


def _additional_properties(compiler: _Compiler, schema: Any, value: str) -> Iterator[str]:
    if schema["additionalProperties"] is not False:
        yield "False"
    yield _has_class(value, "dict")
    yield f"{value}.keys() <= {compiler.constant(schema.get('properties', {}).keys())}"


class _Keyword(NamedTuple):
    """The classes of the arguments that are supported, and the function that yields the conditions of the keyword."""

    argument_classes: tuple[type, ...]
    conditions: Callable[[_Compiler, Any, str], Iterator[str]]


# The conditions have this order: types and sizes first, keywords that take more time last.
_KEYWORDS: Final = {
    "type": _Keyword((str, list), _type),
    "enum": _Keyword((list,), _enum),
    "minLength": _Keyword((int,), _min_length),
    "maxLength": _Keyword((int,), _max_length),
    "minimum": _Keyword((int, float), _minimum),
    "maximum": _Keyword((int, float), _maximum),
    "minItems": _Keyword((int,), _min_items),
    "maxItems": _Keyword((int,), _max_items),
    "pattern": _Keyword((str,), _pattern),
    "items": _Keyword((dict, bool), _items),
    "uniqueItems": _Keyword((bool,), _unique_items),
    "required": _Keyword((list,), _required),
    "properties": _Keyword((dict,), _properties),
    "additionalProperties": _Keyword((dict, bool), _additional_properties),
}
