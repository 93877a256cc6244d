"""A fake DDM with faults on real sockets, and the sink that receives the summaries, in one separate process.

The database schema of the event selects the behaviour. The path of the sink is /sink. If the job ID ends with
``-refused``, the sink responds with 503.
"""

import asyncio
import contextlib
import gzip
import json
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from testing.fake_behaviours import BINLOG, PRIMARY_KEYS, PRIMARY_KEYS_FAIL, TIME_ZONE, TIME_ZONE_WARNS
from testing.hostile_bodies import RESULT_BYTES, hostile_results
from testing.server_process import BACKLOG, HOST, server_process

_Writer = asyncio.StreamWriter
_Behaviour = Callable[[_Writer, str], Awaitable[None]]


@contextmanager
def faulty_ddm() -> Iterator[str]:
    """Run the fake DDM while the context lasts, and yield its URL."""
    with server_process(_start) as process:
        yield process.url


async def _start() -> asyncio.Server:
    return await asyncio.start_server(_handle_connection, HOST, backlog=BACKLOG)


async def _handle_connection(reader: asyncio.StreamReader, writer: _Writer) -> None:
    with contextlib.suppress(OSError, EOFError):
        while not writer.is_closing():
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            if path == "/sink":
                await _receive_summary(head, reader, writer)
                continue
            _, _, _, _, _, _, db_name, _, _, job_id = path.split("/")
            await BEHAVIOURS[db_name](writer, job_id)
            await writer.drain()
    writer.close()


async def _receive_summary(head: str, reader: asyncio.StreamReader, writer: _Writer) -> None:
    headers = dict(line.lower().split(": ", 1) for line in head.splitlines()[1:] if ": " in line)
    await reader.readexactly(int(headers["content-length"]))
    refused = headers["ce-subject"].endswith("-refused")
    writer.write(response(b"", "503 Service Unavailable" if refused else "200 OK"))


def response(body: bytes, status: str = "200 OK", **headers: object) -> bytes:
    """Return an HTTP response. An underscore in a header's name becomes a hyphen."""
    lines = {"Content_Length": len(body), "Content_Type": "application/json"} | headers
    text = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status}\r\n{text}\r\n".encode("latin-1") + body


def _checks(*checks: dict[str, str]) -> bytes:
    return json.dumps({"job_id": "%JOB%", "pre_check_results": checks}).encode()


def _send(data: bytes) -> _Behaviour:
    """Send the bytes unchanged."""

    async def send(writer: _Writer, _job_id: str) -> None:
        writer.write(data)

    return send


def _send_result(body: bytes, *, compressed: bool = False) -> _Behaviour:
    """Send a result with the job ID of the request."""

    async def send(writer: _Writer, job_id: str) -> None:
        writer.write(_result_response(body, job_id, compressed))

    return send


@cache
def _result_response(body: bytes, job_id: str, compressed: bool) -> bytes:  # noqa: FBT001 - a key of the cache
    body = body.replace(b"%JOB%", job_id.encode(), 1)
    return response(gzip.compress(body), Content_Encoding="gzip") if compressed else response(body)


def _send_and_close(data: bytes) -> _Behaviour:
    """Send the bytes and close the connection."""

    async def send(writer: _Writer, _job_id: str) -> None:
        writer.write(data)
        await writer.drain()
        writer.close()

    return send


def _reset_after(data: bytes) -> _Behaviour:
    """Send the bytes and reset the connection."""

    async def reset(writer: _Writer, _job_id: str) -> None:
        writer.write(data)
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    return reset


def _send_slowly(data: bytes) -> _Behaviour:
    """Send one byte every 50 ms until the client closes the connection."""

    async def send(writer: _Writer, _job_id: str) -> None:
        for byte in data * 1000:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.05)

    return send


_PASS: Final = _checks(PRIMARY_KEYS, TIME_ZONE)
_ERROR: Final = b'{"error_code":"DBS.200001","error_msg":"Error."}'
_NOT_FOUND: Final = b'{"error_code":"DBS.300400","error_msg":"The job does not exist."}'
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
_CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

BEHAVIOURS: Final[dict[str, _Behaviour]] = {
    "pass": _send_result(_PASS),
    "warn": _send_result(_checks(PRIMARY_KEYS, TIME_ZONE_WARNS, BINLOG)),
    "fail": _send_result(_checks(PRIMARY_KEYS_FAIL, TIME_ZONE_WARNS, BINLOG)),
    "pending": _send_result(_checks()),
    "compressed": _send_result(_PASS, compressed=True),
    "interim": _send(b"HTTP/1.1 103 Early Hints\r\n\r\n" + response(_NOT_FOUND, "400 Bad Request")),
    "unauthorized": _send(response(_ERROR, "401 Unauthorized")),
    "not_found": _send(response(_NOT_FOUND, "400 Bad Request")),
    "rejected": _send(response(_ERROR, "400 Bad Request")),
    "throttled": _send(response(_ERROR, "429 Too Many Requests", Retry_After=7)),
    "broken": _send(response(b"<html>" * 1000, "500 Internal Server Error", Content_Type="text/html")),
    "down": _send(response(_ERROR, "503 Service Unavailable")),
    "redirect": _send(response(b"", "302 Found", Location="http://127.0.0.1:9/")),
    "not_json": _send(response(b"<html></html>")),
    "unread_bytes": _send(response(_NOT_FOUND, "400 Bad Request") + response(_PASS)),
    "closed": _send_and_close(b""),
    "truncated": _send_and_close(_HEAD + b"{"),
    "reset": _reset_after(b""),
    "reset_in_body": _reset_after(_HEAD + b"{"),
    "bad_chunk": _send_and_close(_CHUNKED + b"-1\r\n{}\r\n"),
    "slow_head": _send_slowly(b"HTTP/1.1 200 OK\r\nX-Slow: 1\r\n"),
    "slow_body": _send_slowly(_HEAD),
    "large_head": _send_and_close(b"HTTP/1.1 200 OK\r\n" + b"X-Large: " + b"x" * 60_000 + (b"\r\nX-Large: x" * 3000)),
    "large_headers": _send_and_close(
        b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-Large-%d: %s\r\n" % (n, b"x" * 65_000) for n in range(90)) + b"\r\n{}"
    ),
    "large_body": _send(response(b'"' + b"x" * 8 * RESULT_BYTES + b'"')),
    "gzip_bomb": _send(response(gzip.compress(b'"' + b"x" * 64 * RESULT_BYTES + b'"'), Content_Encoding="gzip")),
    "tiny_chunks": _send_and_close(_CHUNKED + b"1\r\n \r\n" * 100_000 + b"0\r\n\r\n"),
} | {
    f"{name}{suffix}": _send_result(body, compressed=compressed)
    for name, body in hostile_results().items()
    for suffix, compressed in (("", False), ("_gzip", True))
}
