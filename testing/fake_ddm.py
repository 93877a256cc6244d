"""A fake DDM: an HTTP server with the request of DDM's API that returns the asynchronous results of a precheck.

The name of the database schema (``db_name``) selects the results, see `testing.fake_behaviours`.
"""

import json
import multiprocessing
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from typing import Any, Final

from testing.fake_behaviours import (
    BEHAVIOURS,
    UNKNOWN_DB_NAME,
    Behaviour,
    FakeResponse,
    ReceivedRequest,
)
from testing.fault_server import Action, Connection
from testing.loopback_server import QuietHandler

_RESULT_PATH: Final = re.compile(
    r"/v3/(?P<project_id>[^/]+)/instances/(?P<instance_id>[^/]+)/databases/(?P<db_name>[^/]+)"
    r"/migration/precheck/(?P<job_id>[^/?]+)"
)
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

    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
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


class _Handler(QuietHandler):
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

    def _result(self) -> FakeResponse | Sequence[Action]:
        match = _RESULT_PATH.fullmatch(self.path)
        # DDM accepts a token or, from the vendor's SDK, a signature.
        token = self.headers.get("X-Auth-Token") or self.headers.get("Authorization")
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
