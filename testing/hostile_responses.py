"""Small responses of DDM that need much time or memory, including the results of ``testing.hostile_bodies``."""

import gzip
import json
from functools import cache
from typing import Any, Final

from helpers.function import EVENT

from testing.fake_behaviours import FakeResponse
from testing.fake_ddm import FakeDDM
from testing.fault_server import (
    CHUNKED_HEAD,
    GZIP_HEADERS,
    PASS_BODY,
    Action,
    chunk,
    complete_response,
    gzip_of_zeros,
    response_head,
    send,
    send_endlessly,
)
from testing.hostile_bodies import hostile_results

MAX_BYTES: Final = 1024 * 1024
_HEAD: Final = f'{{"job_id":"{EVENT["job_id"]}",'.encode()
_PASS: Final = _HEAD + b'"pre_check_results":[{"name":"a","status":"SUCCESS"}]'


def checks_body(number: int, **fields: Any) -> bytes:
    """Return the JSON of a result with this number of checks that have these fields."""
    checks = [{"name": f"Check {index}", **fields} for index in range(number)]
    return (
        _HEAD + b'"pre_check_results":' + json.dumps(checks, ensure_ascii=False, separators=(",", ":")).encode() + b"}"
    )


def _filled(start: bytes, unit: bytes, end: bytes) -> bytes:
    """Return a body of nearly `MAX_BYTES` bytes: the start, as many units as possible, and the end."""
    number = (MAX_BYTES - len(start) - len(end)) // len(unit)
    return (start + unit * number).removesuffix(b",") + end


def _failed_text(unit: bytes) -> bytes:
    """Return a result with one failed check, whose error message repeats the unit."""
    return _filled(_HEAD + b'"pre_check_results":[{"name":"a","status":"FAILED","error_message":"', unit, b'"}]}')


_NESTED: Final = b"[" * 900 + b"]" * 900 + b","
_ERROR: Final = b'{"error_code":"DBS.280001","error_msg":"Parameter error.","unknown":['

RESULTS: Final[dict[str, bytes]] = {
    **{name: body.replace(b"%JOB%", EVENT["job_id"].encode(), 1) for name, body in hostile_results().items()},
    "nested lists and an escape": _filled(_PASS + b',"unknown":[', _NESTED, b'],"other":"\\u00e9"}'),
    "1,000 texts with an emoji": checks_body(1000, status="FAILED", note="a" * 950 + "😀"),
    "1,000 texts of 1 KiB": checks_body(1000, status="FAILED", note="a" * 950),
    "one text with an emoji": checks_body(1, status="FAILED", note="a" * (MAX_BYTES - 200) + "😀"),
    "4 wrong fields in 1,000 checks": checks_body(1000, status="BAD", note=1, error_message={}, handling_suggestion=[]),
    "1,000 missing statuses": checks_body(1000, note="a" * 950),
    "white space": _filled(_PASS, b" ", b"}"),
    "only white space": b" " * MAX_BYTES,
    "name of white space": _filled(_HEAD + b'"pre_check_results":[{"status":"FAILED","name":"', b" ", b'"}]}'),
    "escapes": _failed_text(b"\\u0041"),
    "escaped line breaks": _failed_text(b"\\n"),
    "lone surrogates": _failed_text(b"\\ud800"),
    "invisible characters": _failed_text("\u200b a".encode()),
    "long numbers": _filled(_PASS + b',"unknown":[', b"9" * 4000 + b",", b"]}"),
    "long fraction": _filled(_PASS + b',"unknown":0.', b"9", b"}"),
    "unclosed lists": b"[" * MAX_BYTES,
    "unclosed text": _filled(b'{"a":"', b"\\\\", b""),
}
"""Bodies of 200 responses, by name."""

ERRORS: Final[dict[str, bytes]] = {
    "error with nested lists": _filled(_ERROR, _NESTED, b"]}"),
    "error with small objects": _filled(_ERROR, b'{"a":0},', b"]}"),
    "error with a long message": _filled(b'{"error_msg":"', b"a ", b'"}'),
    "error with invisible characters": _filled(b'{"error_msg":"', "\u200b ".encode(), b'"}'),
}
"""Bodies of 400 responses, by name."""

_LINE_OF_60_KB: Final = b"X-Header: " + b"a" * 60_000 + b"\r\n"

SCRIPTS: Final[dict[str, list[Action]]] = {
    "98 headers of 65 KB": [send(b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"a" * 65_000 + b"\r\n") * 98)],
    "endless 100 Continue": [send_endlessly(response_head("100 Continue") * 100)],
    "endless 102 with large headers": [send_endlessly(b"HTTP/1.1 102 Processing\r\n" + _LINE_OF_60_KB + b"\r\n")],
    "endless trailers": [send(CHUNKED_HEAD + chunk(PASS_BODY) + b"0\r\n"), send_endlessly(b"X-Trailer: a\r\n" * 1000)],
    "endless large trailers": [send(CHUNKED_HEAD + chunk(PASS_BODY) + b"0\r\n"), send_endlessly(_LINE_OF_60_KB)],
    "chunk of size -1": [send(CHUNKED_HEAD + b"-1\r\n"), send_endlessly(bytes(65536))],
    "chunk of size -5": [send(CHUNKED_HEAD + b"-5\r\n"), send_endlessly(bytes(65536))],
    "endless body": [send(response_head()), send_endlessly(b" " * 65536)],
    "endless chunks of a byte": [send(CHUNKED_HEAD), send_endlessly(b"1\r\n \r\n" * 10_000)],
    "gzip of 200 MiB": [send(complete_response(gzip_of_zeros(200), **GZIP_HEADERS))],
    "16,000 headers": [send(b"HTTP/1.1 200 OK\r\n" + b"a:\r\n" * 16_000 + b"\r\n")],
}
"""Responses that break rules of HTTP or exceed limits, by name."""


def add_behaviours(fake_ddm: FakeDDM) -> dict[str, str]:
    """Add a behaviour to the fake DDM for each body in `RESULTS` and `ERRORS`, half of them compressed.

    Return the database schema that selects each body, by the name of the body.
    """
    responses = _responses()
    db_names = {name: f"hostile_{number}" for number, name in enumerate(responses)}
    for name, response in responses.items():
        fake_ddm.behaviours[db_names[name]] = lambda _, response=response: response  # type: ignore[misc]
    return db_names


@cache
def _responses() -> dict[str, FakeResponse]:
    responses = {}
    for number, (name, body) in enumerate((RESULTS | ERRORS).items()):
        status = 400 if name in ERRORS else 200
        if number % 2:
            responses[name] = FakeResponse(status, body)
        else:
            responses[name] = FakeResponse(status, gzip.compress(body), {"Content-Encoding": "gzip"})
    return responses
