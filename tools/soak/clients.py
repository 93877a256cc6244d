"""Sends the requests from many clients at the same time and checks each response."""

import asyncio
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Final

from tools.soak.cases import Case, Outcome

_COMMON_FIELDS: Final = ["verdict", "can_proceed", "retryable", "retry_after_seconds", "message"]
_CONTENT_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_RESPONSE_SECONDS: Final = 120
_REQUESTS_PER_CONNECTION: Final = 20
_MAX_FAILURES: Final = 20


@dataclass(slots=True)
class Statistics:
    """The responses by group and outcome, the first failures, and the number of requests that were sent again."""

    outcomes: Counter[tuple[str, Outcome]] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    resent: int = 0

    def add(self, case: Case, outcome: Outcome) -> None:
        """Count a response. If its outcome is not expected, record a failure."""
        self.outcomes[case.group, outcome] += 1
        if outcome not in case.outcomes:
            self.fail(case, f"{outcome[0]} {outcome[1]}")

    def fail(self, case: Case, reason: str) -> None:
        """Record a failure. Only the first 20 failures are kept."""
        if len(self.failures) < _MAX_FAILURES:
            self.failures.append(f"{case.group} / {case.name}: {reason}")


async def send_all(port: int, cases: Sequence[Case], clients: int, statistics: Statistics) -> None:
    """Send each request once, from ``clients`` concurrent clients."""
    queue = iter(cases)
    await asyncio.gather(*(_Client(port, statistics).run(queue) for _ in range(clients)))


class _Client:
    def __init__(self, port: int, statistics: Statistics) -> None:
        self._port = port
        self._statistics = statistics
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def run(self, queue: Iterator[Case]) -> None:
        """Send requests until the queue is empty. After every 20 requests, open a new connection."""
        for number, case in enumerate(queue):
            try:
                await asyncio.wait_for(self._send(case), _RESPONSE_SECONDS)
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                self._statistics.fail(case, repr(error))
                self._close()
            if case.cut is not None or number % _REQUESTS_PER_CONNECTION == 0:
                self._close()
        self._close()

    async def _send(self, case: Case) -> None:
        """Send a request. If the server has closed the idle connection, send the request on a new connection."""
        if self._streams:
            try:
                await self._exchange(case, *self._streams)
            except (ConnectionError, asyncio.IncompleteReadError):
                self._statistics.resent += 1
                self._close()
            else:
                return
        self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        await self._exchange(case, *self._streams)

    async def _exchange(self, case: Case, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": len(case.body)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | case.headers).items())
        writer.write(f"{case.method} / HTTP/1.1\r\n{lines}\r\n".encode() + case.body[: case.cut])
        await writer.drain()
        if case.cut is not None:
            self._statistics.outcomes[case.group, (0, "connection closed by the client")] += 1
            return
        if case.reading_delay:
            writer.transport.pause_reading()  # type: ignore[attr-defined] # of the transport of a socket
            await asyncio.sleep(case.reading_delay)
            writer.transport.resume_reading()  # type: ignore[attr-defined]
        self._statistics.add(case, await _read_outcome(reader))

    def _close(self) -> None:
        if self._streams:
            writer = self._streams[1]
            # Reset the connection, because a connection that is closed normally keeps its port in TIME_WAIT.
            with suppress(OSError):  # closed already
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            self._streams = None


async def _read_outcome(reader: asyncio.StreamReader) -> Outcome:
    """Read a response and return its outcome.

    Raises ValueError if the response is not well-formed.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = _CONTENT_LENGTH.search(head)
    content = await reader.readexactly(int(length[1])) if length else b""
    if not content:
        return status, ""
    return status, _outcome(status, json.loads(content))


def _outcome(status: int, body: dict[str, Any]) -> str:
    body = body.get("data", body)  # a CloudEvent
    if list(body)[:5] != _COMMON_FIELDS:
        raise ValueError("the common fields are missing")
    if status == 200:
        return str(body["verdict"])
    if body["status"] != status:
        raise ValueError(f"the HTTP status {status} differs from the status in the body")
    return str(body["code"])
