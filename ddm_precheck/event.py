"""The event's document to an Event."""

from dataclasses import dataclass, field
from typing import Any, Final

from ddm_precheck.problem import Problem
from ddm_precheck.redaction import holds_secret
from ddm_precheck.schema import MOST_VIOLATIONS, Schema, Violation
from ddm_precheck.settings import Settings

_SCHEMA: Final = Schema("event")


@dataclass(frozen=True, slots=True)
class Event:
    """What is asked for. ``token`` is the one secret; ``region`` is None only where none is needed."""

    project_id: str
    instance_id: str
    db_name: str
    job_id: str
    token: str = field(repr=False)
    region: str | None = None
    proceed_on_warn: bool = False
    expected_checks: int = 1

    @property
    def ids(self) -> dict[str, str]:
        """The four IDs of DDM's path, by name."""
        return {
            "project_id": self.project_id,
            "instance_id": self.instance_id,
            "db_name": self.db_name,
            "job_id": self.job_id,
        }


def parse(document: object, header_token: str | None, settings: Settings) -> Event:
    """Make an Event of any JSON value; ``header_token`` stands in where the event has no token of its own.

    Raises Problem ``invalid-event`` with a pointer for each rule that is broken; no value of the event is quoted.
    """
    if not isinstance(document, dict):
        raise _invalid(Violation("", f"must be a JSON object, not {_KINDS[type(document)]}"))
    defaults = {"token": header_token, "region": settings.region}
    members: dict[str, Any] = {name: value for name, value in defaults.items() if value} | document
    violations = [*_SCHEMA.violations(members), *_missing(members, settings)][:MOST_VIOLATIONS]
    if violations:
        raise _invalid(*(_unquoted(violation, header_token, members.get("token")) for violation in violations))
    # JSON Schema takes 2.0 for an integer.
    event = Event(**(members | {"expected_checks": int(members.get("expected_checks", 1))}))
    # A token that is part of an ID would be told on with it.
    told = [name for name, value in event.ids.items() if holds_secret(value, event.token)]
    if told or (event.region and holds_secret(event.region, event.token)):
        raise _invalid(Violation("/token", "must not be part of an ID or of the region"))
    return event


def _missing(members: dict[str, Any], settings: Settings) -> list[Violation]:
    """Return what is missing by rules that need more than the document."""
    missing = []
    if "token" not in members:
        missing.append(Violation("/token", "is required, here or as the header X-Auth-Token"))
    if settings.needs_region and "region" not in members:
        missing.append(Violation("/region", "is required, since the function has no DDM_REGION"))
    return missing


def _unquoted(violation: Violation, *tokens: object) -> Violation:
    """Return the violation; where its pointer would name a member that holds a token, it points at the event."""
    quoted = any(isinstance(token, str) and holds_secret(violation.pointer, token) for token in tokens)
    return Violation("", "has a member with the token in its name") if quoted else violation


def _invalid(*violations: Violation) -> Problem:
    first = violations[0]
    more = f" (and {len(violations) - 1} more, see errors)" if len(violations) > 1 else ""
    return Problem("invalid-event", f"{first.pointer or 'the event'} {first.detail}{more}", errors=violations)


_KINDS: Final = {
    list: "a list",
    str: "a string (send the object itself, not its text)",
    int: "a number",
    float: "a number",
    bool: "a boolean",
    type(None): "null",
}
