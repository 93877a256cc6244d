"""Writes what tools import: the API descriptions in ``schemas/`` and one answer of each kind in ``examples/answers/``.

The descriptions come from the JSON Schemas, the answers from the function itself, asked with the stand-in DDM behind
it. Run it after a change to either; the tests run it with ``--check``, which writes nothing and tells what differs::

    tests/.venv/bin/python tools/generate.py [--check]
"""

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final
from unittest import mock

from functions_framework import create_app

from deploy.fake_ddm import FakeDDM

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from ddm_precheck.problem import CATALOGUE  # noqa: E402 - found by the line above

EVENT: Final = {
    "project_id": "0483b6b16e954cb88930a360d2c4e663",
    "instance_id": "6a7cf4ec1f6b4a3b9b5a7c1d2e3f4a5bin09",
    "db_name": "orders",
    "job_id": "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90",
}
VERDICTS: Final = ("pass", "warn", "fail", "pending")
"""The behaviours of the stand-in that lead to the verdicts of their names."""
PROBLEMS: Final = {
    "unauthorized": "unauthorized",
    "forbidden": "forbidden",
    "not-found": "not_found",
    "rejected": "rejected",
    "throttled": "throttled",
    "upstream-unavailable": "down",
    "upstream-timeout": "slow",
    "upstream-contract": "running",
}
"""The behaviour of the stand-in that leads to the problem."""


def main(arguments: list[str]) -> int:
    """Write the files, or with ``--check`` return 1 where one is not what would be written."""
    answers = dict(_answers())
    files = {f"examples/answers/{name}.json": answer for name, answer in answers.items()}
    files["schemas/openapi-3.0.json"] = openapi_3(answers)
    files["schemas/openapi-2.0.json"] = openapi_2(answers)
    stale = [name for name, document in files.items() if not _is_written(ROOT / name, document)]
    if "--check" in arguments:
        print("\n".join(f"{name} is not what tools/generate.py writes" for name in stale) or "all as written")
        return 1 if stale else 0
    for name in stale:
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(_text(files[name]), "utf-8")
    return 0


def _is_written(path: Path, document: Any) -> bool:
    return path.is_file() and path.read_text("utf-8") == _text(document)


def _text(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# --- The answers ------------------------------------------------------------------------------------------------------


def _answers() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the body of each answer, what varies replaced."""
    with FakeDDM() as fake_ddm:
        threading.Thread(target=fake_ddm.serve_forever, daemon=True).start()
        for verdict in VERDICTS:
            yield f"summary-{verdict}", _ask(fake_ddm, verdict)
        for code, behaviour in PROBLEMS.items():
            seconds = "0.2" if behaviour == "slow" else "10"
            yield f"problem-{code}", _ask(fake_ddm, behaviour, DDM_TIMEOUT_SECONDS=seconds)
        yield "problem-invalid-event", _ask(fake_ddm, "pass", {"job_id": None})
        yield "problem-event-too-large", _ask(fake_ddm, "pass", {"job_id": "x" * 300_000})
        yield "problem-method-not-allowed", _ask(fake_ddm, "pass", method="GET")
        envelope = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}
        yield "problem-pending", _ask(fake_ddm, "pending", envelope=envelope)
        with _closed_port() as port:
            yield (
                "problem-sink-unavailable",
                _ask(fake_ddm, "pass", envelope=envelope, K_SINK=f"http://127.0.0.1:{port}"),
            )
        with mock.patch("ddm_precheck.ddm.Client.fetch", side_effect=RuntimeError):
            yield "problem-internal", _ask(fake_ddm, "pass")
        fake_ddm.shutdown()


def _ask(
    fake_ddm: FakeDDM,
    behaviour: str,
    members: dict[str, Any] | None = None,
    *,
    envelope: dict[str, Any] | None = None,
    method: str = "POST",
    **variables: str,
) -> dict[str, Any]:
    """Return the body of the function's answer to the event, for a schema that behaves so."""
    fake_ddm.behaviours[EVENT["db_name"]] = fake_ddm.behaviours[behaviour]
    environment = {"DDM_ENDPOINT": fake_ddm.url, "DDM_REGION": "cn-north-4"} | variables
    event = EVENT | {"token": "MIIEXAMPLE"} | (members or {})
    with mock.patch.dict(os.environ, environment), redirect_stdout(StringIO()):
        client = create_app("precheck", str(ROOT / "main.py")).test_client()
        response = client.open("/", method=method, json=envelope | {"data": event} if envelope else event)
    return _settled(response.get_json())


def _settled(body: dict[str, Any]) -> dict[str, Any]:
    """Return the body with what differs from run to run replaced."""
    if "checked_at" in body:
        body["checked_at"] = "2026-11-23T08:00:00Z"
    if body["upstream"] and body["upstream"]["request_id"]:
        body["upstream"]["request_id"] = "19570c722c754223918d85cdc38b6e18"
    return body


@contextmanager
def _closed_port() -> Iterator[int]:
    """Give a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


# --- The descriptions -------------------------------------------------------------------------------------------------


TITLE: Final = "DDM precheck"
SUMMARY: Final = "Get the verdict of a DDM shard precheck"
ABOUT: Final = (
    "Asks Huawei Cloud DDM for the result of the precheck that goes before a schema gets more shards, and returns one "
    "verdict. Branch on can_proceed; while retryable is true, ask again after retry_after_seconds."
)
VERSION: Final = "0.1.0"


def openapi_3(answers: dict[str, Any]) -> dict[str, Any]:
    """Return the description in OpenAPI 3.0.3."""
    responses = {}
    for status, (about, names) in _responses().items():
        schema = {"$ref": f"#/components/schemas/{'Summary' if status == '200' else 'Problem'}"}
        content = {"schema": schema, "examples": {name: {"value": answers[name]} for name in names}}
        media = ["application/json"] if status == "200" else ["application/json", "application/problem+json"]
        headers = {"Retry-After": {"description": _RETRY_AFTER, "schema": {"type": "integer"}}}
        responses[status] = {"description": about, "headers": headers, "content": dict.fromkeys(media, content)}
    operation = {
        "operationId": "precheck",
        "summary": SUMMARY,
        "description": ABOUT,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Event"}, "example": EVENT},
            },
        },
        "responses": responses,
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": TITLE, "version": VERSION, "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "servers": [{"url": "http://localhost:8080", "description": "What ./deploy.sh local serves"}],
        "security": [{"token": []}],
        "paths": {"/": {"post": operation}},
        "components": {
            "securitySchemes": {"token": _TOKEN_HEADER},
            "schemas": _schemas("#/components/schemas/", "nullable"),
        },
    }


def openapi_2(answers: dict[str, Any]) -> dict[str, Any]:
    """Return the description in OpenAPI 2.0 with Power Platform's extensions."""
    responses = {}
    for status, (about, names) in _responses().items():
        responses[status] = {
            "description": about,
            "schema": {"$ref": f"#/definitions/{'Summary' if status == '200' else 'Problem'}"},
            "headers": {"Retry-After": {"description": _RETRY_AFTER, "type": "integer"}},
            # One example a type is all that 2.0 has room for.
            "examples": {"application/json": answers[names[0]]},
            "x-examples": {name: answers[name] for name in names},
        }
    schemas = _schemas("#/definitions/", "x-nullable")
    for schema in schemas.values():
        for name, member in schema.get("properties", {}).items():
            member["x-ms-summary"] = member.get("title") or name.replace("_", " ").capitalize()
            member["x-ms-visibility"] = "important" if name in schema["required"] else "advanced"
    operation = {
        "operationId": "precheck",
        "summary": SUMMARY,
        "description": ABOUT,
        "x-ms-visibility": "important",
        "consumes": ["application/json"],
        "produces": ["application/json"],
        "parameters": [
            {
                "name": "event",
                "in": "body",
                "required": True,
                "description": "The event",
                "schema": {"$ref": "#/definitions/Event"},
                "x-ms-summary": "Event",
                "x-ms-visibility": "important",
            }
        ],
        "responses": responses,
    }
    return {
        "swagger": "2.0",
        "info": {"title": TITLE, "version": VERSION, "description": ABOUT, "license": {"name": "Apache-2.0"}},
        "host": "localhost:8080",
        "basePath": "/",
        "schemes": ["http", "https"],
        "securityDefinitions": {"token": _TOKEN_HEADER},
        "security": [{"token": []}],
        "paths": {"/": {"post": operation}},
        "definitions": schemas,
    }


def _responses() -> dict[str, tuple[str, list[str]]]:
    """Return, by status, what it means and the names of its example answers."""
    summaries = [f"summary-{verdict}" for verdict in VERDICTS]
    found = {"200": ("There is a verdict", summaries)}
    for code, kind in sorted(CATALOGUE.items(), key=lambda item: item[1].status):
        title, names = found.get(str(kind.status), ("", []))
        found[str(kind.status)] = ("; ".join(filter(None, [title, kind.title])), [*names, f"problem-{code}"])
    return found


def _schemas(home: str, nullable: str) -> dict[str, Any]:
    """Return the schemas of the interface, as OpenAPI words them."""
    schemas = {}
    for name in ("event", "summary", "problem"):
        schema = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8"))
        inner = {each.capitalize(): part for each, part in schema.pop("$defs", {}).items()}
        schemas |= {each: _worded(part, home, nullable) for each, part in ({name.capitalize(): schema} | inner).items()}
    return schemas


def _worded(schema: Any, home: str, nullable: str) -> Any:
    """Word a schema of draft 2020-12 as OpenAPI does, which knows no null, no const and no list of examples."""
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return {"$ref": home + schema["$ref"].rpartition("/")[2].capitalize()}
    worded = {name: value for name, value in schema.items() if name not in _NOT_IN_OPENAPI}
    if isinstance(schema.get("type"), list):
        worded["type"] = next(name for name in schema["type"] if name != "null")
        worded[nullable] = True
    if "const" in schema:
        worded |= {"type": "boolean", "enum": [schema["const"]]}
    if "enum" in schema:
        worded["type"] = "string"
    examples = [example for example in schema.get("examples", []) if example is not None]
    if examples:
        worded["example"] = examples[0]
    if "properties" in schema:
        worded["properties"] = {name: _worded(each, home, nullable) for name, each in schema["properties"].items()}
    if "items" in schema:
        worded["items"] = _worded(schema["items"], home, nullable)
    return worded


_NOT_IN_OPENAPI: Final = {"$schema", "$id", "const", "examples"}
_RETRY_AFTER: Final = "Seconds after which to ask again, where that can change the answer"
_TOKEN_HEADER: Final = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Auth-Token",
    "description": "An IAM token of Huawei Cloud. An event may carry one of its own instead, which then counts.",
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
