"""Parses the envelope and the event of a request by the documented rules."""

import base64
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from tools.fuzz.model import Case, Settings

_ID: Final = "[A-Za-z0-9_-]{1,64}"
_RULES: Final = {
    "project_id": _ID,
    "instance_id": _ID,
    "db_name": "[a-z][a-z0-9_]{1,47}",
    "job_id": "[A-Za-z0-9-]{1,64}",
    "token": "[\x21-\x7e]{1,65536}",
    "region": "(?=.{1,32}$)[a-z0-9]+(-[a-z0-9]+)*",
}
_NUMBERS: Final = {"expected_checks": (1, 1000), "wait_seconds": (0, 3600)}
_KNOWN: Final = {*_RULES, *_NUMBERS, "proceed_on_warn", "accepted_warnings"}
_REQUIRED: Final = ("project_id", "instance_id", "db_name", "job_id")
_BASE64: Final = re.compile("([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


class Refused(Exception):  # noqa: N818 - the expected outcome of a request, not an error of this program
    """The event or its envelope is invalid. ``pointers`` are required in ``errors``, ``possible`` are allowed."""

    def __init__(self, pointers: Iterable[str] = (), possible: Iterable[str] = ()) -> None:
        self.pointers = frozenset(pointers)
        self.possible = frozenset(possible)


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """The event's JSON value, the mode of its envelope, and the CloudEvent's id."""

    value: Any
    mode: str = "direct"
    id: str = ""


def strict_json(data: bytes) -> Any:
    """Parse JSON. Raise ValueError also for invalid JSON that Python's parser accepts."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(name)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({name for name, _ in pairs}) < len(pairs):
            refuse("duplicate names")
        return dict(pairs)

    try:
        return json.loads(data.decode(), object_pairs_hook=unique, parse_constant=refuse)
    except RecursionError:
        raise ValueError from None


def unwrap(case: Case) -> Unwrapped:
    """Return the event of the request. The event is not validated yet. Raise Refused for an invalid envelope."""
    headers = {name.lower(): value for name, value in case.headers.items()}
    content_type = headers.get("content-type", "").partition(";")[0]
    if content_type.startswith("application/cloudevents-batch"):
        raise Refused([""])
    body = _parse(case.body)
    if "ce-specversion" in headers:
        attributes = {name: headers.get(f"ce-{name}", "") for name in ("specversion", "id", "source", "type")}
        _check_attributes(attributes)
        return Unwrapped(_unwrap_push(body) if _is_push(body) else body, "binary", attributes["id"])
    if content_type == "application/cloudevents+json" or (isinstance(body, dict) and "specversion" in body):
        return _unwrap_structured(body)
    if _is_push(body):
        return Unwrapped(_unwrap_push(body), "push")
    return Unwrapped(body)


def _unwrap_structured(body: Any) -> Unwrapped:
    if not isinstance(body, dict):
        raise Refused([""])
    data = [name for name in ("data", "data_base64") if name in body]
    _check_attributes(body, [] if len(data) == 1 else ["/data"])
    value = body["data"] if data == ["data"] else _decode(body["data_base64"], "/data_base64")
    return Unwrapped(_unwrap_push(value) if _is_push(value) else value, "structured", body["id"])


def _check_attributes(attributes: dict[str, Any], others: Iterable[str] = ()) -> None:
    """Refuse a CloudEvent with invalid attributes. If several are invalid, the function may report any one of them."""
    wrong = [] if attributes.get("specversion") == "1.0" else ["/specversion"]
    names = ("id", "source", "type")
    wrong += [f"/{name}" for name in names if not isinstance(attributes.get(name), str) or not attributes[name]]
    wrong += others
    if wrong:
        raise Refused(wrong if len(wrong) == 1 else (), wrong)


def _is_push(value: Any) -> bool:
    return isinstance(value, dict) and {"message", "subscription"} <= value.keys()


def _unwrap_push(value: dict[str, Any]) -> Any:
    if not isinstance(value["message"], dict):
        raise Refused(["/message"])
    return _decode(value["message"].get("data"), "/message/data")


def _decode(text: Any, pointer: str) -> Any:
    if not isinstance(text, str) or not text or not _BASE64.fullmatch(text):
        raise Refused([pointer])
    return _parse(base64.b64decode(text))


def _parse(data: bytes) -> Any:
    try:
        return strict_json(data)
    except ValueError:
        raise Refused from None


def check_event(value: Any, header_token: str | None, settings: Settings) -> dict[str, Any]:
    """Return the event with its defaults. Raise Refused with a pointer for each violation."""
    if not isinstance(value, dict):
        raise Refused([""])
    event = dict(value)
    event.setdefault("token", header_token or None)
    missing = {f"/{name}" for name in _REQUIRED if name not in event}
    if event["token"] is None and "token" not in value:
        missing.add("/token")
        del event["token"]
    if settings.region_in_url and "region" not in event and not settings.region:
        missing.add("/region")
    wrong = {pointer for name, each in event.items() if name in _KNOWN for pointer in _wrong_pointers(name, each)}
    unknown = event.keys() - _KNOWN
    if missing or wrong or unknown:
        # The pointer of an unknown field contains its name, or is empty if the name could be a secret.
        raise Refused(missing | wrong, {f"/{name}" for name in unknown} | ({""} if unknown else set()))
    event.setdefault("region", settings.region)
    event.setdefault("expected_checks", settings.expected_checks)
    return event


def _wrong_pointers(name: str, value: Any) -> list[str]:
    if name == "proceed_on_warn":
        is_valid = isinstance(value, bool)
    elif name == "accepted_warnings":
        return _wrong_names(value)
    elif name in _NUMBERS:
        minimum, maximum = _NUMBERS[name]
        is_valid = isinstance(value, int | float) and not isinstance(value, bool)
        is_valid = is_valid and value == int(value) and minimum <= value <= maximum
    else:
        is_valid = isinstance(value, str) and re.fullmatch(_RULES[name], value) is not None and "\n" not in value
    return [] if is_valid else [f"/{name}"]


def _wrong_names(value: Any) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= 50:
        return ["/accepted_warnings"]
    items = [
        f"/accepted_warnings/{number}"
        for number, name in enumerate(value)
        if not isinstance(name, str) or not 1 <= len(name) <= 200
    ]
    return items or ([] if len(set(value)) == len(value) else ["/accepted_warnings"])
