"""Validates JSON values with the models of an API's client: finds unknown fields, missing fields and wrong types.

Usage: ``python validate_models.py MODULE < values.json``, with a Python that can import the module, such as
``kubernetes.client.models``. stdin is a JSON list of ``{"model": name of a model, "value": …}``; stdout is one line, a
JSON list of errors.
"""

import importlib
import json
import re
import sys
from typing import Any

SCALARS: dict[str, Any] = {
    "str": str,
    "int": int,
    "bool": bool,
    "float": (int, float),
    "object": object,
    "datetime": str,
}
MODULE = importlib.import_module(sys.argv[1])


def validate(type_name: str, value: Any, path: str) -> list[str]:
    """Return the errors of a value."""
    if match := re.fullmatch(r"[Ll]ist\[(.+)\]", type_name):
        items = enumerate(value) if isinstance(value, list) else [(0, None)]
        return [error for number, item in items for error in validate(match[1], item, f"{path}[{number}]")]
    if match := re.fullmatch(r"[Dd]ict[\[(]str, (.+)[\])]", type_name):
        return [error for name, item in value.items() for error in validate(match[1], item, f"{path}.{name}")]
    if type_name in SCALARS:
        return [] if isinstance(value, SCALARS[type_name]) else [f"{path}: {value!r} is not {type_name}"]
    return validate_object(getattr(MODULE, type_name), value, path)


def validate_object(model: Any, value: Any, path: str) -> list[str]:
    """Return the errors of an object: the errors of its fields, and the errors that the model finds."""
    names = {name: field for field, name in model.attribute_map.items()}
    errors = [f"{path}.{name} is unknown" for name in value if name not in names]
    known = {name: item for name, item in value.items() if name in names}
    for name, item in known.items():
        errors += validate(model.openapi_types[names[name]], item, f"{path}.{name}")
    try:
        model(**{names[name]: item for name, item in known.items()})
    except ValueError as error:
        errors.append(f"{path}: {error}")
    return errors


values = json.load(sys.stdin)
print(json.dumps([error for each in values for error in validate(each["model"], each["value"], each["model"])]))
