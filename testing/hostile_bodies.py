"""Hostile JSON: a small text that takes much time or memory to parse or to validate."""

import json
from collections.abc import Callable
from typing import Any, Final

EVENT_BYTES: Final = 256 * 1024
RESULT_BYTES: Final = 1024 * 1024

_TOKEN: Final = "MIISOAKTOKEN+/=0123456789"

EVENT: Final[dict[str, Any]] = {
    "project_id": "0483b6b16e954cb88930a360d2c4e663",
    "instance_id": "6a7cf4ec1f6b4a3b9b5a7c1d2e3f4a5bin09",
    "db_name": "pass",
    "job_id": "b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90",
    "token": _TOKEN,
    "expected_checks": 2,
}


def _fill(pattern: str, size: int) -> str:
    """Return a JSON list with the maximum number of copies of the pattern for this size."""
    return f"[{','.join([pattern] * (size // (len(pattern) + 1) - 1))}]"


def _numbered(pattern: str, size: int) -> str:
    """Return a JSON list of different items: the pattern with a number instead of ``%d``."""
    return f"[{','.join(pattern % number for number in range(size // (len(pattern) + 6)))}]"


_FILLERS: Final[dict[str, Callable[[int], str]]] = {
    "nested_lists": lambda size: _fill("[" * 900 + "]" * 900, size),
    "empty_lists": lambda size: _fill("[]", size),
    "small_objects": lambda size: _fill('{"a":0}', size),
    "numbers": lambda size: _fill("0", size),
    "distinct_strings": lambda size: _numbered('"%d"', size),
    "distinct_objects": lambda size: _numbered('{"a":%d}', size),
    "many_fields": lambda size: "{" + _numbered('"a%d":0', size)[1:-1] + "}",
    "escapes": lambda size: '"' + "\\u0041" * (size // 6 - 1) + '"',
    "long_string": lambda size: '"' + "x" * (size - 2) + '"',
    "too_deep": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "long_number": lambda size: "1" * size,
}


def hostile_events() -> dict[str, bytes]:
    """Return invalid events, just below the size limit, by name."""
    bodies = {}
    for name, fill in _FILLERS.items():
        for field in ("job_id", "accepted_warnings", "unknown"):
            event = json.dumps({key: value for key, value in EVENT.items() if key != field})
            filler = fill(EVENT_BYTES - len(event) - 64)
            bodies[f"{field}_{name}"] = f'{event[:-1]},"{field}":{filler}}}'.encode()
        bodies[f"list_{name}"] = fill(EVENT_BYTES - 64).encode()
    return bodies


def hostile_results() -> dict[str, bytes]:
    """Return results of DDM, just below the size limit, by name. ``%JOB%`` is the placeholder for the job ID.

    A result is valid only if its name begins with ``valid``.
    """
    size = RESULT_BYTES - 256
    good = '{"name":"Primary keys","status":"SUCCESS"}'
    bodies = {}
    for name, fill in _FILLERS.items():
        bodies[f"note_{name}"] = f'[{{"name":"a","status":"FAILED","note":[{fill(size)}]}}]'
        if name not in {"too_deep", "long_number"}:
            bodies[f"valid_unknown_{name}"] = f'[{good},{{"name":"b","status":"WARN"}}],"unknown":{fill(size)}'
    text = "x" * 900
    fields = ("note", "handling_suggestion", "error_message", "error_detail_message")
    checks = [{"name": f"Check {number}", "status": "FAILED"} for number in range(1000)]
    bodies |= {
        "valid_long_texts": json.dumps([check | {"error_message": text} for check in checks]),
        "valid_tiny_failed": json.dumps([{"name": str(number), "status": "FAILED"} for number in range(1000)]),
        "invalid_statuses": json.dumps([{"name": text[:500], "status": "RUNNING"}] * 1000),
        "invalid_texts": json.dumps([check | dict.fromkeys(fields, 0) for check in checks]),
        "too_many_checks": _fill('{"name":"a","status":"FAILED"}', size),
        "no_checks": _fill("{}", size),
        "null_checks": _fill("null", size),
    }
    head, tail = '{"job_id":"%JOB%","pre_check_results":', "}"
    return {name: f"{head}{body}{tail}".encode() for name, body in bodies.items()}
