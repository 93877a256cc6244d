"""The base of the HTTP servers in the tests and the tools."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self

# At the end of a context, the server stops after its current poll. The default of 0.5 seconds makes many tests slow.
_POLL_SECONDS: Final = 0.02


class LoopbackServer(ThreadingHTTPServer):
    """An HTTP server on a free loopback port. It serves in its own thread until its context ends."""

    request_queue_size = 256

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Self:
        """Start serving."""
        threading.Thread(target=self.serve_forever, args=(_POLL_SECONDS,), daemon=True).start()
        return self

    def server_close(self) -> None:
        """Stop serving. The end of the context calls this method."""
        self.shutdown()
        super().server_close()


class QuietHandler(BaseHTTPRequestHandler):
    """A handler that writes no log."""

    def log_message(self, *_: object) -> None:
        """Write no log."""
