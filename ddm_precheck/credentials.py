"""The token for DDM: the caller's own, or the platform's for the instances that the operator allows.

Some triggers cannot set a header, and a token in the event would lie in a queue. For them the function has a token of
its platform: that of a FunctionGraph agency, or one in a file that the platform mounts. Whoever may call the function
then borrows the rights of that token, so it is used only for the instances in DDM_ALLOWED_INSTANCES. Whether a
caller's own token is good enough, only DDM decides.
"""

import os
import re
import stat
from dataclasses import replace
from typing import Final

from werkzeug.datastructures import Headers

from ddm_precheck.event import Event
from ddm_precheck.problem import Problem, ProblemCode, Violation, invalid_event
from ddm_precheck.settings import AGENCY, Settings

_FILE: Final = "file"
_AGENCY_HEADER: Final = "X-CFF-Auth-Token"
"""Where FunctionGraph puts the agency's token ("Include Keys", ``enable_auth_in_header``)."""

_MAX_TOKEN_BYTES: Final = 64 * 1024
_TOKEN: Final = re.compile(r"[!-~]{1,65536}")


def with_token(event: Event, headers: Headers, settings: Settings) -> Event:
    """Return the event with its own token, or else with the platform's.

    Raises Problem ``forbidden`` where the platform's token may not be used for the instance or the region;
    ``invalid-event`` where the agency sends no usable token; ``internal`` where the file has none.
    """
    if event.token_from:
        return event
    if not _is_allowed(event, settings.allowed_instances):
        raise Problem(
            ProblemCode.FORBIDDEN,
            "The platform's token may not be used for this instance; send a token, or add the instance to"
            " DDM_ALLOWED_INSTANCES",
        )
    if not _is_in_region(event, settings):
        raise Problem(
            ProblemCode.FORBIDDEN,
            "The platform's token may not be sent to another region than that in DDM_REGION; send a token",
        )
    source = str(settings.token_source)
    if source == AGENCY:
        return replace(event, token=_agency_token(headers), token_from=AGENCY)
    return replace(event, token=_file_token(source), token_from=_FILE)


def _is_allowed(event: Event, allowed_instances: frozenset[str]) -> bool:
    return not allowed_instances.isdisjoint({f"{event.project_id}/{event.instance_id}", f"{event.project_id}/*"})


def _is_in_region(event: Event, settings: Settings) -> bool:
    """Return whether DDM's host is that of the operator's region, where the event's region could choose another one."""
    return not settings.needs_region or settings.region in {None, event.region}


def _agency_token(headers: Headers) -> str:
    token = headers.get(_AGENCY_HEADER, "")
    if token in {"", "null"}:
        raise invalid_event(
            Violation("/token", "is required: neither the caller nor the agency sent one (turn on Include Keys)")
        )
    if not _TOKEN.fullmatch(token):
        raise invalid_event(Violation("/token", "from the agency must be printable ASCII without spaces"))
    return token


def _file_token(path: str) -> str:
    """Read the token, anew for each request, so that a renewed token is used without a restart."""
    try:
        data = _read_file(path)
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


def _read_file(path: str) -> bytes:
    """Return the file's content, cut where it is too long for a token and a newline."""
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _unusable_file("it is a pipe or a device")
        return file.read(_MAX_TOKEN_BYTES + 2)


def _open_without_waiting(path: str, flags: int) -> int:
    """Open the file; a plain open of a pipe would wait until a process opens the other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _unusable_file(reason: str) -> Problem:
    return Problem(
        ProblemCode.INTERNAL,
        "The function has no usable token; its log has the reason",
        log_detail=f"The file in DDM_TOKEN_SOURCE has no usable token: {reason}",
    )
