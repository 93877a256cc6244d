"""The OpenAPI descriptions of the function, built from its JSON Schemas, its problem codes and its sample responses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ddm_precheck.problem import ProblemCode
from tools.sample_responses import EVENT, VERDICTS

_SCHEMAS: Final = Path(__file__).resolve().parent.parent / "schemas"
_REFERENCE: Final = "#/components/schemas/"
_HOST: Final = "localhost:8080"
_DESCRIPTION: Final = (
    "Gets the result of a shard precheck from Huawei Cloud DDM and returns one verdict. Branch on can_proceed. "
    "While retryable is true, send the event again after retry_after_seconds."
)
_REPLACE_HOST: Final = f" Replace the host {_HOST}, where ./deploy.sh local serves, with the host of your function."
_OPERATION: Final = {
    "operationId": "precheck",
    "summary": "Get the verdict of a DDM shard precheck",
    "description": _DESCRIPTION,
}
_RETRY_AFTER: Final = "After how many seconds to send the event again. Only present if a retry can change the outcome."
_TOKEN_HEADER: Final = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Auth-Token",
    "description": "IAM token of Huawei Cloud. If the event has a token as well, the token of the event is used.",
}
_JSON: Final = "application/json"
_PROBLEM_JSON: Final = "application/problem+json"

_COPIED_KEYWORDS: Final = frozenset(
    {"title", "description", "default", "required", "additionalProperties", "pattern"}
    | {"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"}
)
"""Keywords that mean the same in OpenAPI 2.0, in OpenAPI 3.0 and in JSON Schema draft 2020-12."""

_JSON_TYPES: Final = {str: "string", bool: "boolean", int: "integer"}


def openapi_3(version: str, samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description in OpenAPI 3.0.3. ``samples`` are sample responses by name."""
    responses = {}
    for status, (title, names) in _samples_by_status().items():
        content = {
            "schema": {"$ref": _REFERENCE + ("Summary" if status == "200" else "Problem")},
            "examples": {name: {"value": samples[name]} for name in names},
        }
        responses[status] = {
            "description": title,
            "headers": {"Retry-After": {"description": _RETRY_AFTER, "schema": {"type": "integer"}}},
            "content": dict.fromkeys([_JSON] if status == "200" else [_JSON, _PROBLEM_JSON], content),
        }
    event = {"schema": {"$ref": f"{_REFERENCE}Event"}, "example": EVENT}
    request_body = {"required": True, "content": {_JSON: event}}
    return {
        "openapi": "3.0.3",
        "info": _info(version),
        "servers": [
            {"url": f"http://{_HOST}", "description": "The function that ./deploy.sh local serves: replace it"}
        ],
        "security": [{"token": []}],
        "paths": {"/": {"post": _OPERATION | {"requestBody": request_body, "responses": responses}}},
        "components": {"securitySchemes": {"token": _TOKEN_HEADER}, "schemas": _schemas()},
    }


def openapi_2(version: str, samples: Mapping[str, Any]) -> dict[str, Any]:
    """Return the description in OpenAPI 2.0, with the extensions of Power Platform connectors."""
    responses = {}
    for status, (title, names) in _samples_by_status().items():
        responses[status] = {
            "description": title,
            "schema": {"$ref": _REFERENCE + ("Summary" if status == "200" else "Problem")},
            "headers": {"Retry-After": {"description": _RETRY_AFTER, "type": "integer"}},
            "examples": {_JSON: samples[names[0]]},  # one for each media type
        }
    important = {"x-ms-visibility": "important"}
    event = {"name": "event", "in": "body", "required": True, "schema": {"$ref": f"{_REFERENCE}Event"}}
    event |= {"description": "The event", "x-ms-summary": "Event"} | important
    operation = {"consumes": [_JSON], "produces": [_JSON], "parameters": [event], "responses": responses}
    schemas = _schemas()
    for schema in schemas.values():
        for name, part in schema["properties"].items():
            part["x-ms-summary"] = part.get("title") or name.replace("_", " ").capitalize()
            part["x-ms-visibility"] = "important" if name in schema["required"] else "advanced"
    description = {
        "swagger": "2.0",
        "info": _info(version),
        "host": _HOST,
        "basePath": "/",
        "schemes": ["http", "https"],
        "securityDefinitions": {"token": _TOKEN_HEADER},
        "security": [{"token": []}],
        "paths": {"/": {"post": _OPERATION | important | operation}},
        "definitions": schemas,
    }
    text = json.dumps(description).replace(_REFERENCE, "#/definitions/").replace('"nullable"', '"x-nullable"')
    converted: dict[str, Any] = json.loads(text)
    return converted


def _info(version: str) -> dict[str, Any]:
    return {
        "title": "DDM precheck",
        "version": version,
        "description": _DESCRIPTION + _REPLACE_HOST,
        "license": {"name": "Apache-2.0"},
    }


def _samples_by_status() -> dict[str, tuple[str, list[str]]]:
    """Return the description and the names of the samples, by HTTP status."""
    by_status = {"200": ("There is a verdict", [f"summary-{verdict}" for verdict in VERDICTS])}
    for code in sorted(ProblemCode, key=lambda code: code.status):
        title, names = by_status.get(str(code.status), ("", []))
        titles = f"{title}; {code.title}" if title else code.title
        by_status[str(code.status)] = titles, [*names, f"problem-{code.value}"]
    return by_status


def _schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the interface and their definitions as OpenAPI schemas, by name."""
    schemas = {}
    for name in ("event", "summary", "problem"):
        schema = json.loads((_SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
        for each, part in ({name: schema} | schema.pop("$defs", {})).items():
            schemas[each.capitalize()] = _convert(part)
    return schemas


def _convert(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema as an OpenAPI 3.0 schema, which has no type "null", no ``const`` and no ``examples``.

    Raises ValueError for a keyword without a known equivalent.
    """
    if "$ref" in schema:
        return {"$ref": _REFERENCE + str(schema["$ref"]).rpartition("/")[2].capitalize()}
    converted: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "type":
            types = [value] if isinstance(value, str) else value
            converted |= {"type": next(name for name in types if name != "null")}
            converted |= {"nullable": True} if "null" in types else {}
        elif keyword in {"enum", "const"}:
            values = value if keyword == "enum" else [value]
            converted |= {"type": _JSON_TYPES[type(values[0])], "enum": values}
        elif keyword == "examples":
            examples = [example for example in value if example is not None]
            converted |= {"example": examples[0]} if examples else {}
        elif keyword == "properties":
            converted[keyword] = {name: _convert(part) for name, part in value.items()}
        elif keyword == "items":
            converted[keyword] = _convert(value)
        elif keyword in _COPIED_KEYWORDS:
            converted[keyword] = value
        elif keyword not in {"$schema", "$id"}:
            raise ValueError(f"OpenAPI has no keyword for {keyword}")
    return converted
