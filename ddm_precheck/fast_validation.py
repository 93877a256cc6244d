"""The validator: jsonschema's for draft 2020-12, with three keywords of our own.

``pattern`` means what the specification says (ECMA-262): Python's ``$`` also matches before a trailing newline.

``properties`` and ``items`` do less work, and nothing else. jsonschema spends about 30 µs on one of DDM's checks,
nearly all of it on building a validator for each value it descends into. Here a subschema is compiled once into a
predicate that says yes only to what the subschema certainly allows. A value that got a yes is not descended into; all
others go the ordinary way, so every error is jsonschema's own. The predicate need not be complete: where it meets a
keyword, a type or a value it does not know, it does not say yes. The tests hold this validator against the stock one
and the official test suite.
"""

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

_Errors = Iterator[ValidationError]
_Predicate = Callable[[Any], bool]


def _pattern(validator: Any, pattern: str, instance: Any, _schema: object) -> _Errors:
    if validator.is_type(instance, "string") and not _ecma(pattern).search(instance):
        yield ValidationError(f"does not match {pattern!r}")


def _properties(validator: Any, properties: dict[str, Any], instance: Any, _schema: object) -> _Errors:
    if not validator.is_type(instance, "object"):
        return
    for name, subschema in properties.items():
        if name in instance and not _certainly(subschema)(instance[name]):
            yield from validator.descend(instance[name], subschema, path=name, schema_path=name)


def _items(validator: Any, items: Any, instance: Any, schema: dict[str, Any]) -> _Errors:
    if "prefixItems" in schema or not isinstance(items, dict) or not validator.is_type(instance, "array"):
        yield from _STOCK_ITEMS(validator, items, instance, schema)
        return
    certainly = _certainly(items)
    for index, item in enumerate(instance):
        if not certainly(item):
            yield from validator.descend(item, items, path=index)


def _certainly(schema: Any) -> _Predicate:
    """Return the schema's predicate, compiled when the schema is first met."""
    known = _compiled.get(id(schema))
    if known is None:
        # The schema is kept with its predicate: while it lives, nothing else can have its id.
        known = _compiled[id(schema)] = (schema, _compile(schema))
    return known[1]


def _compile(schema: Any) -> _Predicate:
    if not isinstance(schema, dict) or not schema.keys() <= _COMPILERS.keys() | _ANNOTATIONS:
        return _never
    tests = [_COMPILERS[keyword](value) for keyword, value in schema.items() if keyword not in _ANNOTATIONS]
    if len(tests) == 1:
        return tests[0]

    def certainly(value: Any) -> bool:
        # Plain loops, here and below, since they run for each of DDM's checks: all() takes twice the time.
        for test in tests:  # noqa: SIM110
            if not test(value):
                return False
        return True

    return certainly


def _never(_value: object) -> bool:
    return False


def _certain_type(types: str | list[str]) -> _Predicate:
    # Exact classes: a bool is no integer, and 1.0, which is one, takes the ordinary way.
    classes = {_CLASSES.get(name) for name in ([types] if isinstance(types, str) else types)}
    return lambda value: value.__class__ in classes


def _certain_enum(values: list[Any]) -> _Predicate:
    texts = {value for value in values if isinstance(value, str)}
    return lambda value: value.__class__ is str and value in texts


def _certain_pattern(pattern: str) -> _Predicate:
    search = _ecma(pattern).search
    return lambda value: value.__class__ is str and search(value) is not None


def _certain_min_length(least: int) -> _Predicate:
    return lambda value: value.__class__ is str and len(value) >= least


def _certain_max_length(most: int) -> _Predicate:
    return lambda value: value.__class__ is str and len(value) <= most


def _certain_required(names: list[str]) -> _Predicate:
    wanted = set(names)
    return lambda value: value.__class__ is dict and wanted <= value.keys()


def _certain_properties(properties: dict[str, Any]) -> _Predicate:
    tests = [(name, _compile(subschema)) for name, subschema in properties.items()]

    def certainly(value: Any) -> bool:
        if value.__class__ is not dict:
            return False
        for name, test in tests:  # noqa: SIM110
            if name in value and not test(value[name]):
                return False
        return True

    return certainly


@cache
def _ecma(pattern: str) -> re.Pattern[str]:
    """Compile the pattern with ECMA-262's meaning of ``$``: the end, and nothing before it."""
    return re.compile(_ESCAPE_CLASS_OR_DOLLAR.sub(lambda part: r"\Z" if part[0] == "$" else part[0], pattern))


_ESCAPE_CLASS_OR_DOLLAR: Final = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\$", re.DOTALL)
_STOCK_ITEMS: Final = Draft202012Validator.VALIDATORS["items"]
_CLASSES: Final = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "number": float,
    "object": dict,
    "string": str,
}
_COMPILERS: Final[dict[str, Callable[[Any], _Predicate]]] = {
    "type": _certain_type,
    "enum": _certain_enum,
    "pattern": _certain_pattern,
    "minLength": _certain_min_length,
    "maxLength": _certain_max_length,
    "required": _certain_required,
    "properties": _certain_properties,
}
_ANNOTATIONS: Final = frozenset({"title", "description", "examples", "default"})
_compiled: dict[int, tuple[Any, _Predicate]] = {}

PrecheckValidator: Final[Any] = extend(
    Draft202012Validator, {"pattern": _pattern, "properties": _properties, "items": _items}
)
"""The validator class of the function's schemas, used as any of jsonschema's."""
