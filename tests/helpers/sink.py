"""A sink for CloudEvents: a real HTTP server on a loopback port."""

import threading
from typing import Any

from helpers.http_stub import HTTPStub, StubRequest, StubResponse


class Sink(HTTPStub):
    """Responds to each CloudEvent with ``status`` and ``body``. If ``status`` is 0, it sends no response."""

    def __init__(self) -> None:
        super().__init__(self._respond)
        self.status = 202
        self.body = b""
        self.closing = threading.Event()

    def server_close(self) -> None:
        """End the handlers that send no response, and stop serving."""
        self.closing.set()
        super().server_close()

    @property
    def url(self) -> str:
        """The URL for ``K_SINK``."""
        return f"{super().url}/inbox"

    @property
    def received(self) -> list[tuple[dict[str, str], Any]]:
        """The headers and the JSON body of each request."""
        return [(request.headers, request.body) for request in self.requests]

    def _respond(self, _: StubRequest) -> StubResponse | None:
        if self.status == 0:
            self.closing.wait(10)
            return None
        return StubResponse(self.status, self.body, (("Location", self.url),))
