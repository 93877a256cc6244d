"""Sends the requests from many clients at the same time and checks each response."""

import asyncio
import json
import re
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import Final

from tools.soak.cases import Case, Outcome

_COMMON_FIELDS: Final = ["verdict", "can_proceed", "retryable", "retry_after_seconds", "message"]
_CONTENT_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: (\d+)")
_RESPONSE_SECONDS: Final = 120
_REQUESTS_PER_CONNECTION: Final = 20


@dataclass(slots=True)
class Client:
    """One connection at a time to the function. ``outcomes`` and ``failures`` are shared with the other clients."""

    port: int
    outcomes: Counter[tuple[str, Outcome]]
    failures: list[str]
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, init=False)

    async def run(self, queue: Iterator[Case]) -> None:
        """Send requests until the queue is empty. After every 20 requests, open a new connection."""
        for number, case in enumerate(queue, 1):
            try:
                outcome = await asyncio.wait_for(self._send(case), _RESPONSE_SECONDS)
                if outcome not in case.outcomes and case.cut is None:
                    self.failures.append(f"{case.group} / {case.name}: {outcome}")
                self.outcomes[case.group, outcome] += 1
            except (OSError, EOFError, ValueError, TimeoutError) as error:
                self.failures.append(f"{case.group} / {case.name}: {error!r}")
                self._close()
            if case.cut is not None or number % _REQUESTS_PER_CONNECTION == 0:
                self._close()
        self._close()

    async def _send(self, case: Case) -> Outcome:
        """Send a request. If the server has closed the idle connection, send it again on a new one."""
        if self._streams:
            try:
                return await _exchange(case, *self._streams)
            except (ConnectionError, asyncio.IncompleteReadError):
                self._close()
        self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        return await _exchange(case, *self._streams)

    def _close(self) -> None:
        if self._streams:
            writer = self._streams[1]
            # Reset the connection: a connection that is closed normally keeps its port in TIME_WAIT.
            with suppress(OSError):  # closed already
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            self._streams = None


async def _exchange(case: Case, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Outcome:
    """Return the outcome of a request. Raises ValueError for a response that is not well-formed."""
    headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": len(case.body)}
    lines = "".join(f"{name}: {value}\r\n" for name, value in (headers | case.headers).items())
    writer.write(f"{case.method} / HTTP/1.1\r\n{lines}\r\n".encode() + case.body[: case.cut])
    await writer.drain()
    if case.cut is not None:
        return 0, "closed by the client"
    if case.reading_delay:
        writer.transport.pause_reading()  # type: ignore[attr-defined] # of the transport of a socket
        await asyncio.sleep(case.reading_delay)
        writer.transport.resume_reading()  # type: ignore[attr-defined]
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    length = _CONTENT_LENGTH.search(head)
    content = await reader.readexactly(int(length[1])) if length else b""
    if not content:
        return status, ""
    body = json.loads(content)
    if list(body)[:5] != _COMMON_FIELDS or body.get("status", status) != status:
        raise ValueError("the common fields are missing, or the status in the body differs")
    return status, body["verdict"] if status == 200 else body["code"]
