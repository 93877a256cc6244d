"""The clients of the benchmark. Each client sends its requests one after the other on one connection."""

import asyncio
import json
import multiprocessing
import os
import re
import time
from collections.abc import Callable, Iterable
from http.client import HTTPConnection
from typing import Any, Final

from tools.sample_responses import EVENT

_CONTENT_LENGTH: Final = re.compile(rb"(?i)content-length: (\d+)")


def event(db_name: str) -> bytes:
    """Return an event for a database schema of the prepared DDM."""
    return json.dumps(EVENT | {"db_name": db_name, "expected_checks": 2, "token": "MIIEXAMPLE"}).encode()


def send_sequentially(port: int, body: bytes, count: int) -> None:
    """Send ``count`` requests on one connection.

    Raises RuntimeError for a status other than 200.
    """
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    for _ in range(count):
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise RuntimeError(f"status {response.status}: {content!r}")
    connection.close()


def latencies(port: int, body: bytes, clients: int, requests_each: int, cores: Iterable[int]) -> list[float]:
    """Return the seconds of each request, with ``clients`` concurrent clients.

    The first request of each client is not measured, because the server starts a thread for this request.
    """
    return _in_own_process(_time_requests, port, body, clients, requests_each, set(cores))


def throughput(port: int, body: bytes, clients: int, seconds: float, cores: Iterable[int]) -> float:
    """Return the responses per second, with ``clients`` concurrent clients."""
    return sum(_in_own_process(_count_responses, port, body, clients, seconds, set(cores))) / seconds


def _in_own_process(work: Callable[..., list[float]], *arguments: Any) -> list[float]:
    with multiprocessing.Pool(1) as pool:
        return pool.apply(work, arguments)


def _time_requests(port: int, body: bytes, clients: int, requests_each: int, cores: set[int]) -> list[float]:
    os.sched_setaffinity(0, cores)

    async def client() -> list[float]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        seconds = [await _exchange(reader, writer, body) for _ in range(requests_each + 1)]
        writer.close()
        return seconds[1:]

    async def all_clients() -> list[float]:
        return [seconds for each in await asyncio.gather(*(client() for _ in range(clients))) for seconds in each]

    return asyncio.run(all_clients())


def _count_responses(port: int, body: bytes, clients: int, seconds: float, cores: set[int]) -> list[float]:
    os.sched_setaffinity(0, cores)

    async def client(start: float) -> float:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while (now := time.monotonic()) < start + seconds:
            await _exchange(reader, writer, body)
            count += now >= start
        writer.close()
        return count

    async def all_clients() -> list[float]:
        start = time.monotonic() + seconds / 4  # the first requests start threads and open connections
        return await asyncio.gather(*(client(start) for _ in range(clients)))

    return asyncio.run(all_clients())


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: bytes) -> float:
    """Send one request and return the seconds until the end of its response."""
    head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    start = time.perf_counter()
    writer.write(head.encode() + body)
    response = await reader.readuntil(b"\r\n\r\n")
    length = _CONTENT_LENGTH.search(response)
    if not response.startswith(b"HTTP/1.1 200 ") or not length:
        raise RuntimeError(f"unexpected response: {response!r}")
    await reader.readexactly(int(length[1]))
    return time.perf_counter() - start
