"""What the HTTP function needs beyond functions-framework and gunicorn: limits on a request, and the end of a worker.

Neither package documents the names that this module uses. ``requirements.txt`` and ``constraints.txt`` pin the versions
that have these names, and a test fails if a new version does not have them.
"""

import signal
from typing import IO, Final

from ddm_precheck.messages import MAX_BODY_BYTES

_MAX_DRAINED_BYTES: Final = 32 * 1024 * 1024
_CHUNK_SIZE: Final = 64 * 1024


def limit_request_line() -> None:
    """Make gunicorn reject a request line of over 4 KiB (status 414). Call this function before the server starts.

    functions-framework turns gunicorn's limit off, so that clients could fill the memory with request lines. It does so
    after the function is loaded; therefore gunicorn's option itself has to ignore the new value.
    """
    from gunicorn.config import LimitRequestLine  # noqa: PLC0415 - the event function has no gunicorn

    LimitRequestLine.validator = staticmethod(lambda _: LimitRequestLine.default)


def read_body(stream: IO[bytes]) -> bytes | None:
    """Read a request body: return what `Incoming.body` needs.

    The rest of a larger body, up to 32 MiB, is read and discarded. Otherwise a client that is still sending could not
    read the response, and functions-framework would read the rest into memory without a limit.
    """
    body = bytearray()
    size = 0
    try:
        while size < _MAX_DRAINED_BYTES and (chunk := stream.read(_CHUNK_SIZE)):
            size += len(chunk)
            body += chunk[: MAX_BODY_BYTES + 1 - len(body)]
    except Exception:  # noqa: BLE001 - the exceptions of gunicorn have no common base class
        return None
    return bytes(body)


def is_stopping() -> bool:
    """Return whether gunicorn's worker has received SIGTERM; False without gunicorn.

    functions-framework has no hook for the end of a worker. gunicorn's signal handler is a method of the worker object
    and sets the attribute ``alive`` of the worker to false.
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(worker, "alive", True) is False
