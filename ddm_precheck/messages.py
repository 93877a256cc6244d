"""What goes into the function and what comes out, independent of the platform."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

MAX_BODY_BYTES = 256 * 1024
_MAX_DRAINED_BYTES = 32 * 1024 * 1024
_CHUNK_SIZE = 64 * 1024


class Stream(Protocol):
    """A readable stream of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return at most `size` bytes; none at the end of the stream."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request over HTTP, or an invocation in the form of one.

    - ``headers``: their names are in lower case.
    - ``body``: at most one byte more than `MAX_BODY_BYTES`; None if the body could not be read to its end.
    - ``agency_token``: returns the token that FunctionGraph provides to the function, if there is one.
    - ``place``: the name of the body in messages.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)
    agency_token: Callable[[], object] = field(default=lambda: None, repr=False)
    place: str = "the request body"

    def header(self, name: str) -> str:
        """Return the value of a header, or an empty string."""
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A response over HTTP. ``summary`` is the summary in or beside the body, as JSON; None if there is none."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    summary: bytes | None = None


def read_body(stream: Stream, content_length: int) -> bytes | None:
    """Read a request body for `Incoming`: return what `Incoming.body` needs.

    The rest of a larger body, up to 32 MiB, is read and discarded. Otherwise a client that is still sending could not
    read the response, and functions-framework would read the rest into memory without a limit.
    """
    body = bytearray()
    size = 0
    try:
        while size < _MAX_DRAINED_BYTES and (chunk := stream.read(_CHUNK_SIZE)):
            size += len(chunk)
            body += chunk[: MAX_BODY_BYTES + 1 - len(body)]
    except Exception:  # noqa: BLE001 - each server has its own exceptions; those of gunicorn have no common base class
        return None
    return bytes(body) if size >= min(content_length, _MAX_DRAINED_BYTES) else None
