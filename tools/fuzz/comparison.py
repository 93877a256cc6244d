"""The differences between the expected outcome of a case and the function's response."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from tools.fuzz.events import OTHER_TOKEN, TOKEN
from tools.fuzz.model import Case, Expected

_COMMON_FIELDS: Final = ["verdict", "can_proceed", "retryable", "retry_after_seconds", "message"]
_SUMMARY_FIELDS: Final = [
    *_COMMON_FIELDS,
    *("project_id", "instance_id", "db_name", "job_id", "region", "expected_checks", "counts", "report"),
    *("issues", "checks", "checked_at", "upstream"),
]
_PROBLEM_FIELDS: Final = [*_COMMON_FIELDS, "type", "title", "status", "detail", "code", "errors", "upstream"]
_MAX_REPORT_BYTES: Final = 2000
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True, slots=True)
class Response:
    """The function's response, and the lines that it logged."""

    status: int
    headers: Mapping[str, str]
    text: str
    log: list[str]


def differences(
    case: Case, expected: Expected, response: Response, requests: list[tuple[str, str | None]]
) -> Iterator[str]:
    """Describe each difference. ``requests`` has the path and the token of each request that DDM received."""
    yield from _compare("status", expected.status, response.status)
    yield from _compare("requests to DDM", [(expected.url, expected.token)] * expected.attempts, requests)
    # The function redacts only the token that it sends to DDM. DDM's response may contain the other token.
    secrets = [TOKEN, OTHER_TOKEN] if not expected.attempts else [expected.token or ""]
    output = f"{response.text}{response.headers}{response.log}"
    if any(len(secret) >= 8 and secret in output for secret in secrets):
        yield "the token is in the response or in the log"
    if expected.status != response.status:
        return
    if expected.status == 204:
        yield from _compare("body", "", response.text)
        return
    body = json.loads(response.text)
    if expected.mode == "structured":
        yield from _compare_attributes(expected, body)
        body = body["data"]
    elif expected.mode == "binary":
        headers = {name.lower(): unquote(value) for name, value in response.headers.items()}
        names = [name for name in headers if name.startswith("ce-")]
        yield from _compare_attributes(expected, {name.removeprefix("ce-"): headers[name] for name in names})
    yield from _compare_body(expected, body)
    yield from _compare_headers(case, body, response)
    yield from _compare_log(body, response)


def _compare(what: str, expected: object, actual: object) -> Iterator[str]:
    if expected != actual:
        yield f"{what} is {actual!r:.300} instead of {expected!r:.300}"


def _compare_attributes(expected: Expected, attributes: Mapping[str, Any]) -> Iterator[str]:
    for name, value in expected.attributes.items():
        yield from _compare(f"attribute {name}", value, attributes.get(name))
    if not _TIME.fullmatch(attributes.get("time", "")):
        yield "the attribute time is not a timestamp"


def _compare_body(expected: Expected, body: dict[str, Any]) -> Iterator[str]:
    fields = _SUMMARY_FIELDS if expected.status == 200 else _PROBLEM_FIELDS
    yield from _compare("fields", sorted(fields), sorted(body))
    yield from _compare("first fields", _COMMON_FIELDS, list(body)[:5])
    for name, value in expected.fields.items():
        yield from _compare(name, value, body.get(name))
    if not body["message"] or len(body["message"].splitlines()) != 1:
        yield f"the message is not one line: {body['message']!r:.300}"
    if expected.status == 200:
        yield from _compare_summary(body)
    else:
        yield from _compare("detail", body["message"], body["detail"])
        pointers = {error["pointer"] for error in body["errors"]}
        missing = expected.pointers - pointers
        others = pointers - expected.pointers - expected.possible
        if missing or others or (expected.possible and not pointers):
            yield f"pointers are {pointers}; required: {set(expected.pointers)}, possible: {set(expected.possible)}"


def _compare_summary(body: dict[str, Any]) -> Iterator[str]:
    """Validate the values that the oracle does not know exactly: the time, the report and the note in the message."""
    if not _TIME.fullmatch(body["checked_at"]):
        yield f"checked_at is not a timestamp: {body['checked_at']!r}"
    needs_note = body["expected_checks"] is None and body["verdict"] in {"PASS", "WARN"}
    if needs_note != ("incomplete" in body["message"]):
        yield f"the message contradicts expected_checks: {body['message']!r:.300}"
    report = body["report"]
    lines = report.split("\n")
    if len(report.encode()) > _MAX_REPORT_BYTES or len(report.splitlines()) != len(lines):
        yield f"the report has {len(report.encode())} bytes and {len(report.splitlines())} lines"
    listed = [line for line in lines if line.startswith("- ")]
    rest = len(body["issues"]) - len(listed)
    if rest and lines[-1] != f"… and {rest} more":
        yield f"the report lists {len(listed)} of {len(body['issues'])} issues and ends with {lines[-1]!r:.100}"
    accepted = sum("accepted" in line for line in listed)
    if accepted > body["counts"]["accepted"] or (not rest and accepted < body["counts"]["accepted"]):
        yield f"the report marks {accepted} of {body['counts']['accepted']} accepted warnings"


def _compare_headers(case: Case, body: dict[str, Any], response: Response) -> Iterator[str]:
    seconds = body["retry_after_seconds"]
    yield from _compare("Retry-After", None if seconds is None else str(seconds), response.headers.get("Retry-After"))
    if response.status >= 400:
        is_accepted = case.headers.get("Accept") == "application/problem+json"
        content_type = "application/problem+json" if is_accepted else "application/json"
        yield from _compare("Content-Type", content_type, response.headers.get("Content-Type"))


def _compare_log(body: dict[str, Any], response: Response) -> Iterator[str]:
    if len(response.log) != 1:
        yield f"{len(response.log)} lines were logged"
        return
    entry = json.loads(response.log[0])
    for name, value in {"verdict": body["verdict"], "code": body.get("code"), "http_status": response.status}.items():
        yield from _compare(f"logged {name}", value, entry.get(name))
