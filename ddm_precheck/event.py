"""Validates the event's JSON value, and parses it to a Precheck and the synchronous checks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ddm_precheck import strict_json
from ddm_precheck.checks import Check, parse_checks
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event
from ddm_precheck.schema import MAX_VIOLATIONS, Schema, pointer
from ddm_precheck.settings import Settings, is_availability_zone

_SCHEMA: Final = Schema("event")
IDS: Final = ("project_id", "instance_id", "db_name", "job_id")
_TYPE_NAMES: Final = {
    list: "a list; send one event in each request",
    str: "a string; send the object itself, not its text",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Precheck:
    """The precheck whose result is requested, and the caller's options. The token is not part of it.

    ``region`` is None only if DDM's endpoint does not depend on a region.
    """

    project_id: str
    instance_id: str
    db_name: str
    job_id: str
    region: str | None = None
    proceed_on_warn: bool = False
    accepted_warnings: frozenset[str] = frozenset()
    expected_checks: int | None = None
    wait_seconds: int = 0

    @property
    def ids(self) -> dict[str, str]:
        return {name: getattr(self, name) for name in IDS}


def parse_event(
    data: object, settings: Settings, token_faults: tuple[Violation, ...] = ()
) -> tuple[Precheck, tuple[Check, ...]]:
    """Validate a JSON value of any type. Return the Precheck and the synchronous checks, of which there may be none.

    The field ``token`` is ignored.

    Raises Problem ``invalid-event`` with at most `MAX_VIOLATIONS` violations, ``token_faults`` included.
    """
    if not isinstance(data, dict):
        raise invalid_event(Violation("", f"must be a JSON object, not {_TYPE_NAMES[type(data)]}"))
    if (name := _field_with_event(data)) is not None:
        place = pointer([name]) or "one of its fields"
        raise Problem(
            ProblemCode.INVALID_EVENT,
            f"the event is inside {place}; send the event itself",
            errors=(Violation(pointer([name]), "holds the event; send the event itself"),),
        )
    fields = _with_defaults(data, settings)
    violations = [*_SCHEMA.violations(fields), *token_faults, *_region_faults(fields, settings)]
    if violations:
        raise invalid_event(*violations[:MAX_VIOLATIONS])
    expected_checks = fields.get("expected_checks")
    precheck = Precheck(
        **{name: fields[name] for name in IDS},
        region=fields.get("region"),
        proceed_on_warn=fields.get("proceed_on_warn", False),
        accepted_warnings=frozenset(fields.get("accepted_warnings", ())),
        expected_checks=None if expected_checks is None else int(expected_checks),  # JSON Schema accepts 2.0
        wait_seconds=int(fields.get("wait_seconds", 0)),
    )
    return precheck, parse_checks(fields.get("pre_check_results", ()), "synchronous")


def _with_defaults(data: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return the fields without the token, with defaults. Null and "", which templates produce, count as missing."""
    defaults = {"region": settings.region, "expected_checks": settings.expected_checks}
    fields = {name: value for name, value in defaults.items() if value is not None}
    fields |= {name: value for name, value in data.items() if name not in _SCHEMA.optional or value not in (None, "")}
    fields.pop("token", None)
    return fields


def _region_faults(fields: Mapping[str, Any], settings: Settings) -> list[Violation]:
    region = fields.get("region")
    if region is None and settings.needs_region:
        return [Violation("/region", "is required, because DDM_REGION is not set")]
    if isinstance(region, str) and is_availability_zone(region):
        return [Violation("/region", "looks like an availability zone; leave out the letter at its end")]
    return []


def _field_with_event(data: Mapping[str, Any]) -> str | None:
    """Return the name of the field with an object, or its JSON text, that has more of the event's IDs than `data`."""
    own = len(data.keys() & IDS)
    for name, value in data.items():
        inner = value
        if isinstance(value, str) and value.lstrip().startswith("{"):
            try:
                inner = strict_json.loads(value.encode(errors="replace"))
            except strict_json.InvalidJSONError:
                continue
        if isinstance(inner, dict) and len(inner.keys() & IDS) > max(own, 1):
            return name
    return None
