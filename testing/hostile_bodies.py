"""Events, results and responses of DDM that take much time or memory to parse, to validate or to receive."""

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from testing import EVENT, TOKEN
from testing.fake_behaviours import FakeResponse
from testing.fake_ddm import FakeDDM
from testing.fault_server import (
    CHUNKED_HEAD,
    PASS_BODY,
    Action,
    chunk,
    complete_response,
    response_head,
    send,
    send_endlessly,
)

EVENT_BYTES: Final = 256 * 1024
MAX_BYTES: Final = 1024 * 1024
"""The largest body of a response of DDM that the function reads."""


def _fill(pattern: str, size: int) -> str:
    """Return a JSON list with as many copies of the pattern as fit."""
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
    "long_numbers": lambda size: _fill("9" * 4000, size),
}
_UNPARSABLE: Final[dict[str, Callable[[int], str]]] = {
    "too_deep": lambda size: "[" * (size // 2) + "]" * (size // 2),
    "long_number": lambda size: "1" * size,
}


def hostile_events() -> dict[str, bytes]:
    """Return invalid events, just below the size limit, by name."""
    bodies = {}
    for name, fill in (_FILLERS | _UNPARSABLE).items():
        for field in ("job_id", "accepted_warnings", "pre_check_results", "unknown"):
            event = json.dumps({key: value for key, value in (EVENT | {"token": TOKEN}).items() if key != field})
            filler = fill(EVENT_BYTES - len(event) - 64)
            bodies[f"{field}_{name}"] = f'{event[:-1]},"{field}":{filler}}}'.encode()
        bodies[f"list_{name}"] = fill(EVENT_BYTES - 64).encode()
    return bodies


def checks_body(number: int, **fields: Any) -> bytes:
    """Return the JSON of a result with this number of checks that have these fields."""
    checks = [{"name": f"Check {index}", **fields} for index in range(number)]
    return _HEAD + json.dumps(checks, ensure_ascii=False, separators=(",", ":")).encode() + b"}"


def _filled(start: bytes, unit: bytes, end: bytes) -> bytes:
    """Return a body of nearly `MAX_BYTES` bytes: the start, as many units as possible, and the end."""
    number = (MAX_BYTES - len(start) - len(end)) // len(unit)
    return (start + unit * number).removesuffix(b",") + end


def _failed(unit: bytes) -> bytes:
    """Return a result with one failed check, whose error message repeats the unit."""
    return _filled(_HEAD + b'[{"name":"a","status":"FAILED","error_message":"', unit, b'"}]}')


def _results(template: str, fillers: dict[str, Callable[[int], str]], name: str) -> dict[str, bytes]:
    size = MAX_BYTES - 256
    return {f"{name}_{each}": _HEAD + (template % fill(size)).encode() + b"}" for each, fill in fillers.items()}


_HEAD: Final = f'{{"job_id":"{EVENT["job_id"]}","pre_check_results":'.encode()
_PASS: Final = _HEAD + b'[{"name":"a","status":"SUCCESS"}]'
_ERROR: Final = b'{"error_code":"DBS.280001","error_msg":"Parameter error.","unknown":['

VALID_RESULTS: Final[dict[str, bytes]] = {
    **_results('[{"name":"a","status":"SUCCESS"}],"unknown":%s', _FILLERS, "unknown"),
    "1,000 texts of 1 KiB": checks_body(1000, status="FAILED", note="a" * 950),
    "1,000 texts with an emoji": checks_body(1000, status="FAILED", note="a" * 950 + "😀"),
    "one text with an emoji": checks_body(1, status="FAILED", note="a" * (MAX_BYTES - 200) + "😀"),
    "whitespace": _filled(_PASS, b" ", b"}"),
    "escapes": _failed(b"\\u0041"),
    "escaped line breaks": _failed(b"\\n"),
    "lone surrogates": _failed(b"\\ud800"),
    "invisible characters": _failed("\u200b a".encode()),
    "long fraction": _filled(_PASS + b',"unknown":0.', b"9", b"}"),
}
"""Bodies of 200 responses with a verdict, by name."""

INVALID_RESULTS: Final[dict[str, bytes]] = {
    **_results('[{"name":"a","status":"FAILED","note":[%s]}]', _FILLERS | _UNPARSABLE, "note"),
    "4 wrong fields in 1,000 checks": checks_body(1000, status="BAD", note=1, error_message={}, handling_suggestion=[]),
    "1,000 missing statuses": checks_body(1000, note="a" * 950),
    "too many checks": _filled(_HEAD + b"[", b'{"name":"a","status":"FAILED"},', b"]}"),
    "null checks": _filled(_HEAD + b"[", b"null,", b"]}"),
    "only whitespace": b" " * MAX_BYTES,
    "name of whitespace": _filled(_HEAD + b'[{"status":"FAILED","name":"', b" ", b'"}]}'),
    "unclosed lists": b"[" * MAX_BYTES,
    "unclosed text": _filled(b'{"a":"', b"\\\\", b""),
}
"""Bodies of 200 responses without a verdict, by name."""

RESULTS: Final = VALID_RESULTS | INVALID_RESULTS

ERRORS: Final[dict[str, bytes]] = {
    "error with nested lists": _filled(_ERROR, b"[" * 900 + b"]" * 900 + b",", b"]}"),
    "error with small objects": _filled(_ERROR, b'{"a":0},', b"]}"),
    "error with a long message": _filled(b'{"error_msg":"', b"a ", b'"}'),
    "error with invisible characters": _filled(b'{"error_msg":"', "\u200b ".encode(), b'"}'),
}
"""Bodies of 400 responses, by name."""

_LINE_OF_60_KB: Final = b"X-Header: " + b"a" * 60_000 + b"\r\n"

SCRIPTS: Final[dict[str, Sequence[Action]]] = {
    "98 headers of 65 KB": [send(b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"a" * 65_000 + b"\r\n") * 98)],
    "16,000 headers": [send(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 16_000 + b"\r\n")],
    "endless 100 Continue": [send_endlessly(response_head("100 Continue") * 100)],
    "endless 102 with large headers": [send_endlessly(b"HTTP/1.1 102 Processing\r\n" + _LINE_OF_60_KB + b"\r\n")],
    "endless trailers": [send(CHUNKED_HEAD + chunk(PASS_BODY) + b"0\r\n"), send_endlessly(b"X-Trailer: a\r\n" * 1000)],
    "endless large trailers": [send(CHUNKED_HEAD + chunk(PASS_BODY) + b"0\r\n"), send_endlessly(_LINE_OF_60_KB)],
    "chunk of size -1": [send(CHUNKED_HEAD + b"-1\r\n"), send_endlessly(bytes(65536))],
    "endless body": [send(response_head()), send_endlessly(b" " * 65536)],
    "endless chunks of a byte": [send(CHUNKED_HEAD), send_endlessly(b"1\r\n \r\n" * 10_000)],
    "body of 8 MiB": [send(complete_response(b'"' + b"x" * 8 * MAX_BYTES + b'"'))],
}
"""Responses that break rules of HTTP or exceed limits, by name. None of them has a verdict."""


def add_behaviours(fake_ddm: FakeDDM) -> dict[str, str]:
    """Add a behaviour for each body in `RESULTS` and `ERRORS`. Return the database schema that selects it, by name."""
    db_names = {}
    for number, (name, body) in enumerate((RESULTS | ERRORS).items()):
        response = FakeResponse(400 if name in ERRORS else 200, body)
        db_names[name] = f"hostile_{number}"
        fake_ddm.behaviours[db_names[name]] = lambda _, response=response: response  # type: ignore[misc]
    return db_names
