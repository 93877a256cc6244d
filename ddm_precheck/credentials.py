"""The token for DDM: the caller's own, or the platform's for the instances that the operator allows.

Some triggers cannot set a header, and a token in the event would lie in a queue. For them the function has a token of
its platform: that of a FunctionGraph agency, or one in a file that the platform mounts. Whoever may call the function
then borrows the rights of that token, so it is used only for the instances in DDM_ALLOWED_INSTANCES. Whether a
caller's own token is good enough, only DDM decides.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

from werkzeug.datastructures import Headers

from ddm_precheck.event import Event, refuse_token_in_ids
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event
from ddm_precheck.settings import AGENCY, Settings

_FILE: Final = "file"
_AGENCY_HEADER: Final = "X-CFF-Auth-Token"
"""Where FunctionGraph puts the agency's token ("Include Keys", ``enable_auth_in_header``)."""

_MAX_TOKEN_BYTES: Final = 64 * 1024
_TOKEN: Final = re.compile(r"[!-~]{1,65536}")


def with_token(event: Event, headers: Headers, settings: Settings) -> Event:
    """Return the event with its own token, or else with the platform's.

    Raises Problem ``forbidden`` where the platform's token may not be used for the instance; ``invalid-event`` where
    the agency sends no usable token; ``internal`` where the file has none.
    """
    if event.token_from:
        return event
    if not _is_allowed(event, settings.allowed_instances):
        raise Problem(
            ProblemCode.FORBIDDEN,
            "The platform's token may not be used for this instance; send a token, or add the instance to"
            " DDM_ALLOWED_INSTANCES",
        )
    source = str(settings.token_source)
    if source == AGENCY:
        event = replace(event, token=_agency_token(headers), token_from=AGENCY)
    else:
        event = replace(event, token=_file_token(Path(source)), token_from=_FILE)
    refuse_token_in_ids(event, event.token)
    return event


def _is_allowed(event: Event, allowed_instances: frozenset[str]) -> bool:
    return not allowed_instances.isdisjoint({f"{event.project_id}/{event.instance_id}", f"{event.project_id}/*"})


def _agency_token(headers: Headers) -> str:
    token = headers.get(_AGENCY_HEADER, "")
    if token in {"", "null"}:
        raise invalid_event(
            Violation("/token", "is required: neither the caller nor the agency sent one (turn on Include Keys)")
        )
    if not _TOKEN.fullmatch(token):
        raise invalid_event(Violation("/token", "from the agency must be printable ASCII without spaces"))
    return token


def _file_token(path: Path) -> str:
    """Read the token, anew for each request, so that a renewed token is used without a restart."""
    try:
        if not path.is_file():  # a pipe would block, and a device might never end
            raise _unusable_file("there is no such file" if not path.exists() else "it is not a file")
        with path.open("rb") as file:
            data = file.read(_MAX_TOKEN_BYTES + 2)
    except OSError as error:
        raise _unusable_file(error.strerror or type(error).__name__) from None
    token = data.removesuffix(b"\n").decode("latin-1")
    if not token:
        raise _unusable_file("it is empty")
    if len(token) > _MAX_TOKEN_BYTES:
        raise _unusable_file(f"it has over {_MAX_TOKEN_BYTES} bytes")
    if not _TOKEN.fullmatch(token):
        raise _unusable_file("its content is not printable ASCII without spaces")
    return token


def _unusable_file(reason: str) -> Problem:
    return Problem(
        ProblemCode.INTERNAL,
        "The function has no usable token; its log has the reason",
        log_detail=f"The file in DDM_TOKEN_SOURCE has no usable token: {reason}",
    )
