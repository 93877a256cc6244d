"""The token for DDM: the caller's, or the platform token for the instances that the operator allows.

Some triggers cannot set a header, and a token in the event would be stored in a queue. For them, the platform can
provide a token: that of a FunctionGraph agency, or one in a mounted file. Every caller then has the rights of this
token, so it is used only for the instances in DDM_ALLOWED_INSTANCES.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from ddm_precheck.checks import Check
from ddm_precheck.event import Precheck
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event
from ddm_precheck.settings import AGENCY, Settings
from ddm_precheck.text import describe_fault, encodable

_REDACTED: Final = "***"
_MIN_REDACTED_LENGTH: Final = 8  # an IAM token has more than 1,000; a token ``e`` would damage every text
_MAX_LENGTH: Final = 65_536
_TOKEN: Final = re.compile(r"[A-Za-z0-9+/=_.~-]+")
_PREFIX: Final = re.compile(r"(Bearer|Token|Basic|X-Auth-Token:?|Authorization:?)\s", re.IGNORECASE)
_NO_TOKEN: Final = {"null", "None", "undefined"}


@dataclass(frozen=True, slots=True)
class Token:
    """An IAM token, the only secret, and where it is from."""

    value: str = field(repr=False)
    source: Literal["event", "header", "agency", "file"]

    def redact(self, text: str) -> str:
        """Return the text with the token replaced by ``***``, and encodable as UTF-8."""
        text = encodable(text)
        return text.replace(self.value, _REDACTED) if len(self.value) >= _MIN_REDACTED_LENGTH else text

    def redact_checks(self, checks: tuple[Check, ...]) -> tuple[Check, ...]:
        return tuple(
            check._replace(
                name=self.redact(check.name),
                note=check.note and self.redact(check.note),
                suggestion=check.suggestion and self.redact(check.suggestion),
                error=check.error and self.redact(check.error),
                error_detail=check.error_detail and self.redact(check.error_detail),
            )
            for check in checks
        )


def take_token(data: object, header: str, settings: Settings) -> tuple[Token | None, tuple[Violation, ...]]:
    """Return the token in the event's JSON value, else the token in the header ``X-Auth-Token``, else None.

    Whitespace around a token is dropped: a secret often ends with a line break. The second item has the violation if
    the value is not a token, or if there is none and the platform has none either.
    """
    event_token = data.get("token") if isinstance(data, dict) else None
    if event_token is not None and not isinstance(event_token, str):
        return None, (Violation("/token", "must be a string"),)
    if value := (event_token or "").strip():
        fault = _fault(value)
        return (None, (Violation("/token", fault),)) if fault else (Token(value, "event"), ())
    if value := header.strip():
        fault = _fault(value)
        in_header = (Violation("/token", f"in the header X-Auth-Token {fault}"),)
        return (None, in_header) if fault else (Token(value, "header"), ())
    if settings.platform_token is None:
        return None, (Violation("/token", "is required, in the event or in the header X-Auth-Token"),)
    return None, ()


def resolve_token(
    token: Token | None, precheck: Precheck, agency_token: Callable[[], object], settings: Settings
) -> Token:
    """Return the caller's token, or the platform token if the caller sent none.

    Raises Problem ``forbidden`` if the platform token may not be used for the instance or the region; ``invalid-event``
    if the agency provides no usable token; ``internal`` if the file has no usable token.
    """
    platform_token = settings.platform_token
    if token or not platform_token:
        return token  # type: ignore[return-value] # take_token requires one of the two
    instances = {f"{precheck.project_id}/{precheck.instance_id}", f"{precheck.project_id}/*"}
    if platform_token.allowed_instances.isdisjoint(instances):
        raise Problem(
            ProblemCode.FORBIDDEN,
            "The platform token may not be used for this instance; send a token, or add the instance to"
            " DDM_ALLOWED_INSTANCES",
        )
    if settings.needs_region and settings.region not in {None, precheck.region}:
        raise Problem(
            ProblemCode.FORBIDDEN,
            "The platform token may only be sent to the region in DDM_REGION; send a token for another region",
        )
    return _agency_token(agency_token()) if platform_token.source == AGENCY else _file_token(platform_token.source)


def _fault(value: str) -> str | None:
    if len(value) > _MAX_LENGTH:
        return f"must have at most {_MAX_LENGTH} characters"
    if _TOKEN.fullmatch(value) and value not in _NO_TOKEN:
        return None
    if _PREFIX.match(value):
        return "has a prefix such as Bearer; send the token alone"
    return describe_fault(value) or "may only have the characters A-Z a-z 0-9 + / = _ . ~ -; send the token alone"


def _agency_token(value: object) -> Token:
    text = value.strip() if isinstance(value, str) else ""
    if text in {"", "null"}:
        raise invalid_event(
            Violation(
                "/token",
                "is required: neither the caller nor the agency sent a token (an HTTP function needs Include Keys, an"
                " event function an agency)",
            )
        )
    if fault := _fault(text):
        raise invalid_event(Violation("/token", f"from the agency {fault}"))
    return Token(text, "agency")


def _file_token(path: str) -> Token:
    """Return the token in the file, read for each request, so that a renewed token is used without a restart."""
    try:
        value = Path(path).read_text("latin-1").strip()
    except OSError as error:
        raise _unusable_file(error.strerror or type(error).__name__) from None
    if fault := _fault(value):
        raise _unusable_file(f"it {fault}")
    return Token(value, "file")


def _unusable_file(reason: str) -> Problem:
    return Problem(
        ProblemCode.INTERNAL,
        "The function has no usable token; see the function log",
        log_detail=f"The file in DDM_TOKEN_SOURCE has no usable token: {reason}",
    )
