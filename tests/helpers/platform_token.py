"""The platform token: its file, its header, and the instances that the tests allow."""

from pathlib import Path
from typing import Final

from helpers.function import EVENT, TOKEN
from testing.fake_ddm import FakeDDM

INSTANCE: Final = f"{EVENT['project_id']}/{EVENT['instance_id']}"
ALLOWED: Final = f"{INSTANCE},other-project/*"
AGENCY_HEADER: Final = "X-CFF-Auth-Token"
AGENCY_VARIABLES: Final = {"DDM_TOKEN_SOURCE": "agency", "DDM_ALLOWED_INSTANCES": ALLOWED}


class TokenFile:
    """The file at the path in DDM_TOKEN_SOURCE."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write(f"{TOKEN}\n".encode())

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of a function that reads the file."""
        return {"DDM_TOKEN_SOURCE": str(self.path), "DDM_ALLOWED_INSTANCES": ALLOWED}

    def write(self, content: bytes) -> None:
        self.path.write_bytes(content)


def sent_tokens(fake_ddm: FakeDDM) -> list[str]:
    """Return the token of each request that DDM received."""
    return [request.token for request in fake_ddm.requests]
