"""A stand-in for DDM: a real HTTP server that speaks the documented precheck API.

The name of the schema chooses the behaviour, as `BEHAVIOURS` says; any other name is a schema that does not exist.
It needs nothing but Python::

    python deploy/fake_ddm.py --port 9999
"""

import argparse
import contextlib
import json
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

_PATH: Final = re.compile(
    r"/v3/(?P<project_id>[^/]+)/instances/(?P<instance_id>[^/]+)"
    r"/databases/(?P<db_name>[^/]+)/migration/precheck/(?P<job_id>[^/?]+)"
)


@dataclass(frozen=True)
class ReceivedRequest:
    """One call as it came in: the path's IDs, the token, and which call for this job and schema it is."""

    project_id: str
    instance_id: str
    db_name: str
    job_id: str
    token: str
    number: int


@dataclass(frozen=True)
class FakeResponse:
    """One answer: status, body, further headers, seconds to wait before it. Bytes are sent as they are."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0


def check(name: str, status: str = "SUCCESS", **texts: str) -> dict[str, str]:
    """Return one check with all members that DDM documents; texts that are not given are empty."""
    empty = dict.fromkeys(("note", "handling_suggestion", "error_message", "error_detail_message"), "")
    return {"name": name, "status": status} | empty | texts


PRIMARY_KEYS: Final = check(
    "Primary keys",
    note="Every table of the schema needs a primary key.",
    handling_suggestion="Add a primary key to the tables that have none.",
)
TIME_ZONE: Final = check(
    "DB instance time zone",
    note="All DB instances of the schema need the same time zone.",
    handling_suggestion="Set the same time zone on all DB instances.",
)
BINLOG: Final = check("Binlog retention")
TIME_ZONE_WARNS: Final = TIME_ZONE | {"status": "WARN", "error_message": "Two DB instances differ: UTC, UTC+08:00."}
PRIMARY_KEYS_FAIL: Final = PRIMARY_KEYS | {
    "status": "FAILED",
    "error_message": "2 tables have no primary key.",
    "error_detail_message": "orders.audit, orders.import_log",
}


def results(*checks: dict[str, str]) -> Callable[[ReceivedRequest], FakeResponse]:
    """Return the behaviour that answers with the checks."""
    return lambda call: FakeResponse(200, {"job_id": call.job_id, "pre_check_results": list(checks)})


def error(status: int, code: str, message: str, **headers: str) -> Callable[[ReceivedRequest], FakeResponse]:
    """Return the behaviour that refuses, in DDM's own shape."""
    body = {"error_code": code, "error_msg": message}
    return lambda _: FakeResponse(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def after(
    calls: int, early: Callable[[ReceivedRequest], FakeResponse], late: Callable[[ReceivedRequest], FakeResponse]
) -> Callable[[ReceivedRequest], FakeResponse]:
    """Return the behaviour that is another one after so many calls for the same job."""
    return lambda call: (early if call.number <= calls else late)(call)


def _slow(call: ReceivedRequest) -> FakeResponse:
    reply = results(PRIMARY_KEYS, TIME_ZONE)(call)
    return FakeResponse(reply.status, reply.body, delay=0.3)


_pass = results(PRIMARY_KEYS, TIME_ZONE)
_pending = results()

BEHAVIOURS: Final[dict[str, Callable[[ReceivedRequest], FakeResponse]]] = {
    "orders": results(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS, BINLOG),  # the schema of the README
    "pass": _pass,
    "warn": results(PRIMARY_KEYS, TIME_ZONE_WARNS, BINLOG),
    "fail": results(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS, BINLOG),
    "pending": _pending,
    "pending_twice": after(2, _pending, _pass),
    "partial": results(PRIMARY_KEYS),
    "slow": _slow,
    "many": results(*(check(f"Check {number}") for number in range(1, 1001))),
    "rejected": error(400, "DBS.280001", "Parameter error."),
    "unauthorized": error(401, "APIGW.0307", "Incorrect IAM authentication information: token expired."),
    "forbidden": error(403, "DBS.200011", "You do not have the permission."),
    "not_found": error(400, "DBS.300400", "The job does not exist."),
    "throttled": error(429, "APIGW.0308", "The throttling threshold has been reached.", Retry_After="7"),
    "busy": error(400, "DBS.300002", "The instance is busy."),
    "broken": error(500, "DBS.200001", "Internal server error."),
    "down": error(503, "APIGW.0201", "Backend unavailable."),
    "down_twice": after(2, error(503, "APIGW.0201", "Backend unavailable."), _pass),
    "another_job": lambda _: FakeResponse(200, {"job_id": str(uuid.uuid4()), "pre_check_results": [PRIMARY_KEYS]}),
    "running": results(check("Primary keys", "RUNNING")),
}
"""What the stand-in does, by the name of the schema."""

_unknown = error(400, "DBS.300129", "The schema does not exist.")


class FakeDDM(ThreadingHTTPServer):
    """The stand-in, listening on a loopback port; ``requests`` holds every call, in the order they came in."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.behaviours = dict(BEHAVIOURS)
        self.requests: list[ReceivedRequest] = []
        self.connections = 0
        self._numbers: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def reset(self) -> None:
        """Go back to how it started."""
        with self._lock:
            self.behaviours = dict(BEHAVIOURS)
            self.requests.clear()
            self._numbers.clear()

    @property
    def url(self) -> str:
        """The base URL to give as DDM_ENDPOINT."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def record(self, ids: dict[str, str], token: str) -> ReceivedRequest:
        """Remember a call and say which one for its job it is."""
        with self._lock:
            key = ids["db_name"], ids["job_id"]
            self._numbers[key] += 1
            call = ReceivedRequest(**ids, token=token, number=self._numbers[key])
            self.requests.append(call)
        return call

    def handle_error(self, *_: object) -> None:
        """Say nothing of a caller that has gone."""

    def process_request(self, request: Any, client_address: Any) -> None:
        """Count the connection before a thread takes it."""
        self.connections += 1
        super().process_request(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakeDDM

    def do_GET(self) -> None:
        match = _PATH.fullmatch(self.path)
        # DDM takes a token or, from the vendor's SDK, a signature.
        token = self.headers.get("X-Auth-Token") or self.headers.get("Authorization", "")
        if not match:
            reply = FakeResponse(404, {"error_code": "APIGW.0101", "error_msg": "The API does not exist."})
        elif not token:
            reply = FakeResponse(
                401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information."}
            )
        else:
            call = self.server.record(match.groupdict(), token)
            reply = self.server.behaviours.get(call.db_name, _unknown)(call)
        time.sleep(reply.delay)
        self._send(reply)

    def _send(self, reply: FakeResponse) -> None:
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "X-Request-Id": uuid.uuid4().hex,
        }
        self.send_response(reply.status)
        for name, value in (headers | reply.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: whoever runs the stand-in looks at the function."""


def main() -> None:
    """Serve until interrupted, and say where once it can be called."""
    parser = argparse.ArgumentParser(description="A stand-in for DDM's precheck API on a loopback port.")
    parser.add_argument("--port", type=int, default=0, help="the port, any free one by default")
    with FakeDDM(parser.parse_args().port) as server:
        print(f"listening on {server.url}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


if __name__ == "__main__":
    main()
