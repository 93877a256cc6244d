"""The OpenAPI descriptions of the function, built from its JSON Schemas, its problem codes and its sample responses."""

import json
from pathlib import Path
from typing import Any, Final

from ddm_precheck.problem import ProblemCode
from tools.sample_responses import EVENT, SUMMARIES

_SCHEMAS: Final = Path(__file__).resolve().parent.parent / "schemas"
_TITLE: Final = "DDM precheck"
_SUMMARY: Final = "Get the verdict of a DDM shard precheck"
_DESCRIPTION: Final = (
    "Gets the result of a shard precheck from Huawei Cloud DDM and returns one verdict. Branch on can_proceed. "
    "While retryable is true, send the event again after retry_after_seconds."
)
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
    {"title", "description", "default", "format", "required", "additionalProperties", "uniqueItems", "pattern"}
    | {"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"}
)
"""Keywords that mean the same in OpenAPI 2.0, in OpenAPI 3.0 and in JSON Schema draft 2020-12."""

_JSON_TYPES: Final = {str: "string", bool: "boolean", int: "integer"}


class Description:
    """The description of one version of the function, in both formats."""

    def __init__(self, version: str, samples: dict[str, Any]) -> None:
        """Describe the version with these sample responses, by name."""
        self._info = {
            "title": _TITLE,
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        }
        self._operation = {"operationId": "precheck", "summary": _SUMMARY, "description": _DESCRIPTION}
        self._samples = samples

    def openapi_3(self) -> dict[str, Any]:
        """Return the description in OpenAPI 3.0.3."""
        reference = "#/components/schemas/"
        media_type = {"schema": {"$ref": f"{reference}Event"}, "example": EVENT}
        operation = self._operation | {
            "requestBody": {"required": True, "content": {_JSON: media_type}},
            "responses": self._responses_3(reference),
        }
        return {
            "openapi": "3.0.3",
            "info": self._info,
            "servers": [{"url": "http://localhost:8080", "description": "The function that ./deploy.sh local serves"}],
            "security": [{"token": []}],
            "paths": {"/": {"post": operation}},
            "components": {
                "securitySchemes": {"token": _TOKEN_HEADER},
                "schemas": _convert_schemas(reference, "nullable"),
            },
        }

    def openapi_2(self) -> dict[str, Any]:
        """Return the description in OpenAPI 2.0, with the extensions of Power Platform connectors."""
        reference = "#/definitions/"
        body = {
            "name": "event",
            "in": "body",
            "required": True,
            "description": "The event",
            "schema": {"$ref": f"{reference}Event"},
            "x-ms-summary": "Event",
            "x-ms-visibility": "important",
        }
        operation = self._operation | {
            "x-ms-visibility": "important",
            "consumes": [_JSON],
            "produces": [_JSON],
            "parameters": [body],
            "responses": self._responses_2(reference),
        }
        return {
            "swagger": "2.0",
            "info": self._info,
            "host": "localhost:8080",
            "basePath": "/",
            "schemes": ["http", "https"],
            "securityDefinitions": {"token": _TOKEN_HEADER},
            "security": [{"token": []}],
            "paths": {"/": {"post": operation}},
            "definitions": _with_labels(_convert_schemas(reference, "x-nullable")),
        }

    def _responses_3(self, reference: str) -> dict[str, Any]:
        responses = {}
        for status, (title, names) in _samples_by_status().items():
            content = {
                "schema": {"$ref": reference + _schema_name(status)},
                "examples": {name: {"value": self._samples[name]} for name in names},
            }
            responses[status] = {
                "description": title,
                "headers": {"Retry-After": {"description": _RETRY_AFTER, "schema": {"type": "integer"}}},
                "content": dict.fromkeys([_JSON] if status == "200" else [_JSON, _PROBLEM_JSON], content),
            }
        return responses

    def _responses_2(self, reference: str) -> dict[str, Any]:
        responses = {}
        for status, (title, names) in _samples_by_status().items():
            responses[status] = {
                "description": title,
                "schema": {"$ref": reference + _schema_name(status)},
                "headers": {"Retry-After": {"description": _RETRY_AFTER, "type": "integer"}},
                # OpenAPI 2.0 allows one example for each media type.
                "examples": {_JSON: self._samples[names[0]]},
                "x-examples": {name: self._samples[name] for name in names},
            }
        return responses


def _samples_by_status() -> dict[str, tuple[str, list[str]]]:
    """Return the description and the names of the samples, by HTTP status."""
    by_status = {"200": ("There is a verdict", [f"summary-{name}" for name in SUMMARIES])}
    for code in sorted(ProblemCode, key=lambda code: code.status):
        title, names = by_status.get(str(code.status), ("", []))
        name = f"problem-{code.value}"
        by_status[str(code.status)] = (f"{title}; {code.title}" if title else code.title, [*names, name])
    return by_status


def _schema_name(status: str) -> str:
    return "Summary" if status == "200" else "Problem"


def _convert_schemas(reference: str, nullable: str) -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the interface and their definitions as OpenAPI schemas, by name."""
    schemas = {}
    for name in ("event", "summary", "problem"):
        schema = json.loads((_SCHEMAS / f"{name}.schema.json").read_text("utf-8"))
        definitions = schema.pop("$defs", {})
        for each, part in {name: schema, **definitions}.items():
            schemas[each.capitalize()] = _convert(part, reference, nullable)
    return schemas


def _convert(schema: dict[str, Any], reference: str, nullable: str) -> dict[str, Any]:
    """Return a JSON Schema as an OpenAPI schema, which has no type "null", no ``const`` and no ``examples``.

    Raises ValueError for a keyword without a known equivalent.
    """
    if "$ref" in schema:
        return {"$ref": reference + str(schema["$ref"]).rpartition("/")[2].capitalize()}
    converted: dict[str, Any] = {}
    for keyword, value in schema.items():
        if keyword == "type":
            types = [value] if isinstance(value, str) else value
            converted |= {"type": next(name for name in types if name != "null")}
            converted |= {nullable: True} if "null" in types else {}
        elif keyword in {"enum", "const"}:
            values = value if keyword == "enum" else [value]
            converted |= {"type": _JSON_TYPES[type(values[0])], "enum": values}
        elif keyword == "examples":
            examples = [example for example in value if example is not None]
            converted |= {"example": examples[0]} if examples else {}
        elif keyword == "properties":
            converted[keyword] = {name: _convert(part, reference, nullable) for name, part in value.items()}
        elif keyword == "items":
            converted[keyword] = _convert(value, reference, nullable)
        elif keyword in _COPIED_KEYWORDS:
            converted[keyword] = value
        elif keyword not in {"$schema", "$id"}:
            raise ValueError(f"OpenAPI has no keyword for {keyword}")
    return converted


def _with_labels(schemas: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add the label and the visibility to each field, for Power Platform."""
    for schema in schemas.values():
        for name, part in schema.get("properties", {}).items():
            part["x-ms-summary"] = part.get("title") or name.replace("_", " ").capitalize()
            part["x-ms-visibility"] = "important" if name in schema["required"] else "advanced"
    return schemas
