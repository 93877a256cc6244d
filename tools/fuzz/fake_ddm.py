"""The fake DDM of the fuzzer: sends the response of the current case, and records the requests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

from tools.fuzz.model import DDMResponse

_WITHOUT_BODY: Final = (204, 304)


class FakeDDM(ThreadingHTTPServer):
    """Listens on a loopback port. ``requests`` has the path and the token of each request since the last reset."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.response = DDMResponse(500, b"")
        self.requests: list[tuple[str, str | None]] = []

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def reset(self, response: DDMResponse) -> None:
        """Clear the recorded requests, and set the response to further requests."""
        self.requests.clear()
        self.response = response

    def handle_error(self, *_: object) -> None:
        """Ignore a client that has closed its connection."""


@contextmanager
def serve_fake_ddm() -> Iterator[FakeDDM]:
    """Run a fake DDM while the context lasts."""
    with FakeDDM() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeDDM

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("X-Auth-Token")))
        response = self.server.response
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        if response.status not in _WITHOUT_BODY:
            self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if response.status not in _WITHOUT_BODY:
            self.wfile.write(response.body)

    def log_message(self, *_: object) -> None:
        pass
