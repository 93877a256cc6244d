"""A fake DDM: an HTTP server with the two documented requests of DDM's precheck.

``POST …/precheck`` starts a precheck and returns its ID and the synchronous results. ``GET …/precheck/{job_id}``
returns the asynchronous results; the name of the database schema (``db_name``) selects them, see
`testing.fake_behaviours`. The fake DDM needs only Python::

    python -m testing.fake_ddm --port 9999
"""

import argparse
import contextlib
import json
import multiprocessing
import re
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from testing.fake_behaviours import (
    BEHAVIOURS,
    SYNCHRONOUS_CHECKS,
    UNKNOWN_DB_NAME,
    Behaviour,
    FakeResponse,
    ReceivedRequest,
)
from testing.fault_server import Action, Connection

_START_PATH: Final = re.compile(
    r"/v3/(?P<project_id>[^/]+)/instances/(?P<instance_id>[^/]+)/databases/(?P<db_name>[^/]+)/migration/precheck"
)
_RESULT_PATH: Final = re.compile(_START_PATH.pattern + r"/(?P<job_id>[^/?]+)")
_UNKNOWN_PATH: Final = FakeResponse(404, {"error_code": "APIGW.0101", "error_msg": "The API does not exist."})
_NO_TOKEN: Final = FakeResponse(
    401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information."}
)


class FakeDDM(ThreadingHTTPServer):
    """The fake DDM on a loopback port.

    - ``requests``: the requests with a known path and a token, in the order of their arrival.
    - ``connections``: the number of accepted connections.
    - ``behaviours``: a copy of `BEHAVIOURS` that a test may change.
    - ``closing``: what `Connection` needs of its server.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.behaviours: dict[str, Behaviour] = dict(BEHAVIOURS)
        self.requests: list[ReceivedRequest] = []
        self.connections = 0
        self.closing = threading.Event()
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Restore the behaviours and clear the recorded requests."""
        with self._lock:
            self.behaviours = dict(BEHAVIOURS)
            self.requests.clear()
            self._numbers.clear()

    @property
    def url(self) -> str:
        """The base URL, for DDM_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def record(self, ids: dict[str, str], token: str) -> ReceivedRequest:
        """Add a request to ``requests`` and return it with its number."""
        with self._lock:
            key = ids["db_name"], ids["job_id"]
            self._numbers[key] += 1
            request = ReceivedRequest(**ids, token=token, number=self._numbers[key])
            self.requests.append(request)
        return request

    def handle_error(self, *_: object) -> None:
        """Print nothing when a client disconnects."""

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the connection before its thread starts."""
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeDDM

    def do_GET(self) -> None:
        response = self._result()
        if isinstance(response, FakeResponse):
            time.sleep(response.delay)
            self._send(response)
        else:
            self._run(response)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not _START_PATH.fullmatch(self.path):
            self._send(_UNKNOWN_PATH)
        elif not self._token():
            self._send(_NO_TOKEN)
        else:
            self._send(FakeResponse(202, {"job_id": str(uuid.uuid4()), "pre_check_results": SYNCHRONOUS_CHECKS}))

    def _token(self) -> str:
        # DDM accepts a token or, from the vendor's SDK, a signature.
        return self.headers.get("X-Auth-Token") or self.headers.get("Authorization") or ""

    def _result(self) -> FakeResponse | Sequence[Action]:
        match, token = _RESULT_PATH.fullmatch(self.path), self._token()
        if not match:
            return _UNKNOWN_PATH
        if not token:
            return _NO_TOKEN
        request = self.server.record(match.groupdict(), token)
        return self.server.behaviours.get(request.db_name, UNKNOWN_DB_NAME)(request)

    def _run(self, actions: Sequence[Action]) -> None:
        self.close_connection = True
        connection = Connection(self.connection, self.server)  # type: ignore[arg-type] # only `closing` is used
        for action in actions:
            action(connection)

    def _send(self, response: FakeResponse) -> None:
        body = response.body if isinstance(response.body, bytes) else json.dumps(response.body).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Request-Id": uuid.uuid4().hex,
        }
        self.send_response(response.status)
        for name, value in (headers | response.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing for a request: the function logs it."""


@contextmanager
def own_process(server: FakeDDM) -> Iterator[int]:
    """Serve in a separate process, whose CPU time nobody measures, while the context lasts. Yield the process ID."""
    process = multiprocessing.get_context("fork").Process(target=server.serve_forever, daemon=True)
    process.start()
    try:
        yield process.pid or 0
    finally:
        process.terminate()
        process.join()


def main() -> None:
    """Print the URL when the fake DDM listens, and serve until an interrupt."""
    parser = argparse.ArgumentParser(description="A fake DDM: DDM's precheck API on a loopback port.")
    parser.add_argument("--port", type=int, default=0, help="the port (default: a free port)")
    with FakeDDM(parser.parse_args().port) as server:
        sys.stdout.write(f"listening on {server.url}\n")
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
