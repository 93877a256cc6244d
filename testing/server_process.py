"""Runs an asyncio server on a loopback port, in its own process."""

import asyncio
import multiprocessing
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Final

HOST: Final = "127.0.0.1"
BACKLOG: Final = 256

_StartServer = Callable[[], Awaitable[asyncio.Server]]


@dataclass(frozen=True)
class ServerProcess:
    """The URL of the server, and the ID of its process."""

    url: str
    pid: int


@contextmanager
def server_process(start: _StartServer) -> Iterator[ServerProcess]:
    """Run the server that the coroutine function ``start`` starts, while the context lasts.

    ``start`` must be a function of a module, because its name is sent to the new process.
    """
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=_run, args=(start, sender), daemon=True)
    process.start()
    try:
        yield ServerProcess(f"http://{HOST}:{receiver.recv()}", process.pid or 0)
    finally:
        process.terminate()
        process.join()


def _run(start: _StartServer, sender: Connection) -> None:
    async def serve() -> None:
        server = await start()
        sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())
