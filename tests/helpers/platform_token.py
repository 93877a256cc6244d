"""The platform's token: its file, its header, and the instances that the tests allow."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from helpers.envelopes import ATTRIBUTES, STRUCTURED_HEADERS, binary_headers, push_body
from helpers.function import EVENT
from testing.fake_ddm import FakeDDM

FOREIGN_PROJECT: Final = "f" * 32
INSTANCE: Final = f"{EVENT['project_id']}/{EVENT['instance_id']}"
ALLOWED: Final = f"{INSTANCE},other-project/*"
AGENCY_HEADER: Final = "X-CFF-Auth-Token"
ENVELOPES: Final[dict[str, Callable[[Any], tuple[Any, dict[str, str]]]]] = {
    "structured": lambda event: (ATTRIBUTES | {"data": event}, STRUCTURED_HEADERS),
    "binary": lambda event: (event, binary_headers()),
    "Pub/Sub": lambda event: (push_body(event), {}),
    "Eventarc": lambda event: (ATTRIBUTES | {"data": push_body(event)}, STRUCTURED_HEADERS),
}
"""Kind of envelope: builds the body and the headers of an event delivery."""


class TokenFile:
    """The file at the path in DDM_TOKEN_SOURCE."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of a function that reads the file."""
        return {"DDM_TOKEN_SOURCE": str(self.path), "DDM_ALLOWED_INSTANCES": ALLOWED}

    def remove(self) -> None:
        """Remove the file or the empty directory."""
        if self.path.is_dir():
            self.path.rmdir()
        self.path.unlink(missing_ok=True)

    def write(self, content: bytes) -> None:
        """Create the file with this content."""
        self.remove()
        self.path.write_bytes(content)


AGENCY_VARIABLES: Final = {"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": ALLOWED}


def sent_tokens(fake_ddm: FakeDDM) -> list[str]:
    """Return the token of each request that DDM received."""
    return [request.token for request in fake_ddm.requests]
