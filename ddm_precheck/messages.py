"""What goes into the function and what comes out, independent of the platform."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

MAX_BODY_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request over HTTP, or an invocation in the form of one.

    - ``headers``: their names are in lower case.
    - ``body``: one byte more than `MAX_BODY_BYTES` is enough of a larger body; None if it could not be read.
    - ``agency_token``: returns the token that FunctionGraph provides to the function, if there is one.
    - ``place``: the name of the body in messages.
    - ``message_id``: the ID of the message in a queue or topic whose text is the body; None for other requests.
    """

    method: str
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)
    agency_token: Callable[[], object] = field(default=lambda: None, repr=False)
    place: str = "the request body"
    message_id: str | None = None

    def header(self, name: str) -> str:
        return self.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A response over HTTP. ``summary`` is the JSON of the summary, even if the body is empty; None for a problem."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    summary: bytes | None = None
