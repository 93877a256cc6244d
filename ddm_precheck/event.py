"""Validates the event's JSON value and parses it to an Event."""

from dataclasses import dataclass, field
from typing import Any, Final, Literal

from ddm_precheck.problem import Violation, invalid_event
from ddm_precheck.redaction import contains_token
from ddm_precheck.schema import MAX_VIOLATIONS, Schema
from ddm_precheck.settings import Settings

_SCHEMA: Final = Schema("event")
_TYPE_NAMES: Final = {
    list: "a list",
    str: "a string (send the object itself, not its text)",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}


@dataclass(frozen=True, slots=True)
class Event:
    """The precheck whose result is requested, and the caller's options.

    - ``token``: the IAM token, the only secret; empty if the caller sent no token and `credentials` has not added one.
    - ``token_from``: where the token is from; None if ``token`` is empty.
    - ``region``: None only if DDM's endpoint does not depend on a region.
    - ``expected_checks``: the number of different checks in a complete list; None if this number is unknown.
    - ``wait_seconds``: the maximum number of seconds to wait for a verdict other than PENDING.
    """

    project_id: str
    instance_id: str
    db_name: str
    job_id: str
    token: str = field(default="", repr=False)
    token_from: Literal["event", "header", "agency", "file"] | None = None
    region: str | None = None
    proceed_on_warn: bool = False
    accepted_warnings: frozenset[str] = frozenset()
    expected_checks: int | None = None
    wait_seconds: int = 0

    @property
    def ids(self) -> dict[str, str]:
        """The four IDs in the path of DDM's URL, by field name."""
        return {
            "project_id": self.project_id,
            "instance_id": self.instance_id,
            "db_name": self.db_name,
            "job_id": self.job_id,
        }


def parse_event(data: object, header_token: str | None, settings: Settings) -> Event:
    """Validate a JSON value of any type and return the Event. If the event has no token, use ``header_token``.

    Raises Problem ``invalid-event`` with at most `MAX_VIOLATIONS` violations. The problem quotes no value of the event.
    """
    if not isinstance(data, dict):
        raise invalid_event(Violation("", f"must be a JSON object, not {_TYPE_NAMES[type(data)]}"))
    fields = _with_defaults(data, header_token, settings)
    violations = [*_SCHEMA.violations(fields), *_missing(fields, settings)][:MAX_VIOLATIONS]
    if violations:
        raise invalid_event(*(_without_token(violation, header_token, fields.get("token")) for violation in violations))
    token_from = "event" if "token" in data else "header" if "token" in fields else None
    event = Event(
        **fields
        | {
            "token_from": token_from,
            "accepted_warnings": frozenset(fields.get("accepted_warnings", ())),
            # JSON Schema accepts 2.0 as an integer.
            "expected_checks": None if fields.get("expected_checks") is None else int(fields["expected_checks"]),
            "wait_seconds": int(fields.get("wait_seconds", 0)),
        }
    )
    for token in filter(None, [event.token, header_token]):
        refuse_token_in_ids(event, token)
    return event


def refuse_token_in_ids(event: Event, token: str) -> None:
    """Raise Problem ``invalid-event`` if the token is part of an ID or the region: responses and logs contain these.

    A token of fewer than 8 characters is accepted, because it is not redacted anywhere.
    """
    if any(contains_token(text, token) for text in [*event.ids.values(), event.region or ""]):
        raise invalid_event(Violation("/token", "must not be part of an ID or of the region"))


def _with_defaults(data: dict[str, Any], header_token: str | None, settings: Settings) -> dict[str, Any]:
    """Return the event's fields, with defaults for the missing fields."""
    defaults = {"token": header_token, "region": settings.region, "expected_checks": settings.expected_checks}
    return {name: value for name, value in defaults.items() if value} | data


def _missing(fields: dict[str, Any], settings: Settings) -> list[Violation]:
    """Return the violations of the rules that depend on the settings."""
    missing = []
    if "token" not in fields and not settings.platform_token:
        missing.append(Violation("/token", "is required, in the event or in the header X-Auth-Token"))
    if settings.needs_region and "region" not in fields:
        missing.append(Violation("/region", "is required, because DDM_REGION is not set"))
    return missing


def _without_token(violation: Violation, *tokens: object) -> Violation:
    """Return the violation. If its pointer contains a token, return a violation with the pointer of the whole event."""
    if any(isinstance(token, str) and contains_token(violation.pointer, token) for token in tokens):
        return Violation("", "has a field whose name contains the token")
    return violation
