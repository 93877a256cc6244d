"""The behaviours of the fake DDM: its responses, by the name of the database schema."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from testing.fault_server import Action


@dataclass(frozen=True)
class ReceivedRequest:
    """A request: the IDs in its path, its token, and its number among the requests for this job and database schema."""

    project_id: str
    instance_id: str
    db_name: str
    job_id: str
    token: str
    number: int


@dataclass(frozen=True)
class FakeResponse:
    """A response, sent after `delay` seconds. A body of bytes is sent unchanged, any other body as JSON."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0


Behaviour: TypeAlias = Callable[[ReceivedRequest], FakeResponse | Sequence[Action]]
"""Returns the response, or what happens on the socket instead, after which the connection is closed."""


def check(name: str, status: str = "SUCCESS", **texts: str) -> dict[str, str]:
    """Return a check with all documented fields. Fields that are not passed are empty strings."""
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
BINLOG_WARNS: Final = BINLOG | {"status": "WARN", "error_message": "One DB instance keeps the binlog for 6 hours."}
PRIMARY_KEYS_FAIL: Final = PRIMARY_KEYS | {
    "status": "FAILED",
    "error_message": "2 tables have no primary key.",
    "error_detail_message": "orders.audit, orders.import_log",
}
SYNCHRONOUS_CHECKS: Final = (check("Instance status"), check("Table name length"))
"""The results in DDM's response to the request that starts a precheck."""

EIGHT_CHECKS: Final = (
    PRIMARY_KEYS,
    TIME_ZONE,
    BINLOG,
    *map(check, ("Account permissions", "Character set", "Disk space", "Foreign keys", "Triggers")),
)


def results(*checks: dict[str, str], delay: float = 0) -> Callable[[ReceivedRequest], FakeResponse]:
    """Return the behaviour that responds with these checks."""
    return lambda request: FakeResponse(200, {"job_id": request.job_id, "pre_check_results": list(checks)}, delay=delay)


def error(status: int, code: str, message: str, **headers: str) -> Callable[[ReceivedRequest], FakeResponse]:
    """Return the behaviour that responds with an error of DDM. An underscore in a header's name becomes a hyphen."""
    body = {"error_code": code, "error_msg": message}
    return lambda _: FakeResponse(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


def fault(*actions: Action) -> Behaviour:
    """Return the behaviour that runs these actions on the socket."""
    return lambda _: actions


def after(count: int, early: Behaviour, late: Behaviour) -> Behaviour:
    """Return the behaviour that is `early` for the first `count` requests for a job, then `late`."""
    return lambda request: (early if request.number <= count else late)(request)


_pass = results(PRIMARY_KEYS, TIME_ZONE)
_pending = results()

BEHAVIOURS: Final[dict[str, Behaviour]] = {
    "orders": results(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS, BINLOG),  # the database schema of the README
    "pass": _pass,
    "warn": results(PRIMARY_KEYS, TIME_ZONE_WARNS, BINLOG),
    "two_warnings": results(PRIMARY_KEYS, TIME_ZONE_WARNS, BINLOG_WARNS),
    "fail": results(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS, BINLOG),
    "pending": _pending,
    "pending_twice": after(2, _pending, _pass),
    "slow": results(PRIMARY_KEYS, TIME_ZONE, delay=0.3),
    "many": results(*(check(f"Check {number}") for number in range(1, 1001))),
    "rejected": error(400, "DBS.280001", "Parameter error."),
    "unauthorized": error(401, "APIGW.0307", "Incorrect IAM authentication information: token expired."),
    "forbidden": error(403, "DBS.200011", "You do not have the permission."),
    "not_found": error(400, "DBS.300400", "The job does not exist."),
    "throttled": error(429, "APIGW.0308", "The throttling threshold has been reached.", Retry_After="7"),
    "busy": error(400, "DBS.300002", "The instance is busy."),
    "broken": error(500, "DBS.200001", "Internal server error."),
    "down": error(503, "APIGW.0201", "Backend unavailable."),
    "running": results(check("Primary keys", "RUNNING")),
}
"""The behaviour of the fake DDM, by the name of the database schema."""

UNKNOWN_DB_NAME: Final = error(400, "DBS.300129", "The schema does not exist.")
"""The behaviour for any other name of a database schema."""
