"""A fake DDM with prepared responses, in its own process, so that its CPU time is not measured."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

from testing.fake_behaviours import BINLOG, PRIMARY_KEYS, TIME_ZONE
from testing.server_process import BACKLOG, HOST, ServerProcess, server_process
from tools.sample_responses import EVENT

SLOW_SECONDS: Final = 0.25


@contextmanager
def prepared_ddm() -> Iterator[ServerProcess]:
    """Run the fake DDM while the context lasts.

    The database schema selects the response. For ``checks_20``, the response has 20 checks. For ``slow_20``, it has 20
    checks and is sent after `SLOW_SECONDS`.
    """
    with server_process(_start) as process:
        yield process


async def _start() -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(_PreparedDDM, HOST, backlog=BACKLOG)


class _PreparedDDM(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Respond to the request in ``data``. A request is small enough to arrive in one TCP segment."""
        kind, _, size = data.split(b"/", 7)[6].partition(b"_")
        delay = SLOW_SECONDS if kind == b"slow" else 0
        asyncio.get_running_loop().call_later(delay, self._transport.write, _response(int(size)))


@cache
def _response(size: int) -> bytes:
    checks = [{**(PRIMARY_KEYS, TIME_ZONE, BINLOG)[number % 3], "name": f"Check {number}"} for number in range(size)]
    body = json.dumps({"job_id": EVENT["job_id"], "pre_check_results": checks}).encode()
    headers = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nX-Request-Id: 1"
    return f"HTTP/1.1 200 OK\r\n{headers}\r\n\r\n".encode() + body
