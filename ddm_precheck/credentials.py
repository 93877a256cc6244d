"""The token for DDM: the caller's token, or the platform's token for the instances that the operator allows.

Some triggers cannot set a header, and a token in the event would be stored in a queue. For such triggers, the platform
can provide a token: the token of a FunctionGraph agency, or a token in a file that the platform mounts. Every caller of
the function then has the rights of the platform's token, so this token is used only for the instances in
DDM_ALLOWED_INSTANCES. The caller's own token is not restricted: DDM decides whether it is sufficient.
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
"""The header in which FunctionGraph sends the agency's token ("Include Keys", ``enable_auth_in_header``)."""

_MAX_TOKEN_BYTES: Final = 64 * 1024
_TOKEN: Final = re.compile(r"[!-~]{1,65536}")


def with_token(event: Event, headers: Headers, settings: Settings) -> Event:
    """Return the event with the caller's token. If the caller sent no token, use the platform's token.

    Raises Problem ``forbidden`` if the platform's token may not be used for the instance or the region;
    ``invalid-event`` if the agency sends no usable token; ``internal`` if the file contains no usable token.
    """
    platform_token = settings.platform_token
    if event.token_from or platform_token is None:
        return event
    if not _is_allowed(event, platform_token.allowed_instances):
        raise Problem(
            ProblemCode.FORBIDDEN,
            "The platform's token may not be used for this instance; send a token, or add the instance to"
            " DDM_ALLOWED_INSTANCES",
        )
    if not _is_in_region(event, settings):
        raise Problem(
            ProblemCode.FORBIDDEN,
            "The platform's token may only be sent to the region in DDM_REGION; send a token for another region",
        )
    if platform_token.source == AGENCY:
        return replace(event, token=_agency_token(headers), token_from=AGENCY)
    return replace(event, token=_file_token(platform_token.source), token_from=_FILE)


def _is_allowed(event: Event, allowed_instances: frozenset[str]) -> bool:
    return not allowed_instances.isdisjoint({f"{event.project_id}/{event.instance_id}", f"{event.project_id}/*"})


def _is_in_region(event: Event, settings: Settings) -> bool:
    """Return False if the event's region selects another host than the region in DDM_REGION."""
    return not settings.needs_region or settings.region in {None, event.region}


def _agency_token(headers: Headers) -> str:
    token = headers.get(_AGENCY_HEADER, "")
    if token in {"", "null"}:
        raise invalid_event(
            Violation("/token", "is required: neither the caller nor the agency sent a token (turn on Include Keys)")
        )
    if not _TOKEN.fullmatch(token):
        raise invalid_event(Violation("/token", "from the agency must be printable ASCII without spaces"))
    return token


def _file_token(path: str) -> str:
    """Return the token in the file, read for each request, so that a renewed token is used without a restart."""
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
    """Return the file's content, or as many bytes as are needed to find that the token is too long."""
    with open(path, "rb", opener=_open_without_waiting) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise _unusable_file("it is a pipe or a device")
        return file.read(_MAX_TOKEN_BYTES + 2)


def _open_without_waiting(path: str, flags: int) -> int:
    """Open the file. Without O_NONBLOCK, opening a pipe would wait until a process opens the other end."""
    return os.open(path, flags | os.O_NONBLOCK)


def _unusable_file(reason: str) -> Problem:
    return Problem(
        ProblemCode.INTERNAL,
        "The function has no usable token; its log has the reason",
        log_detail=f"The file in DDM_TOKEN_SOURCE has no usable token: {reason}",
    )
