"""A server that breaks the rules of TCP, TLS or HTTP: it runs a script of actions on each loopback connection.

A script starts after the server has read the request's head. If ``before_request`` is true, it starts immediately.
"""

import contextlib
import selectors
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Self

PASS_BODY: Final = (
    b'{"job_id":"b2a0c4de-7f51-4f0c-9a3e-2f6d1c8b5e90",'
    b'"pre_check_results":[{"name":"Primary keys","status":"SUCCESS"}]}'
)
"""A result for the job of `helpers.function.EVENT`, with the verdict PASS."""


@dataclass
class Connection:
    """One connection, the argument of each action."""

    sock: socket.socket
    server: "FaultServer"
    unread: bytes = b""

    def read_request(self) -> bytes:
        """Read the head of a request, record it and return it. Raises EOFError if the client sends no request."""
        while b"\r\n\r\n" not in self.unread:
            received = self.sock.recv(65536)
            if not received:
                raise EOFError
            self.unread += received
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        self.server.requests.append(head)
        return head


Action = Callable[[Connection], Any]


def response_head(status: str = "200 OK", **headers: object) -> bytes:
    """Return a status line, headers and the empty line. An underscore in a header's name becomes a hyphen."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def complete_response(body: bytes = PASS_BODY, status: str = "200 OK", **headers: object) -> bytes:
    """Return a complete response with its Content-Length."""
    return response_head(status, Content_Length=len(body), **headers) + body


CHUNKED_HEAD: Final = response_head(Transfer_Encoding="chunked")


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def read_request(connection: Connection) -> None:
    """Read the head of one more request."""
    connection.read_request()


def receive_bytes(connection: Connection) -> None:
    """Receive some bytes and discard them."""
    connection.sock.recv(65536)


def send(data: bytes) -> Action:
    """Send the bytes."""
    return lambda connection: connection.sock.sendall(data)


def send_slowly(data: bytes) -> Action:
    """Send the bytes one by one, 50 ms apart, and then wait until the client closes."""

    def action(connection: Connection) -> None:
        for byte in data:
            connection.sock.sendall(bytes([byte]))
            connection.server.closing.wait(0.05)
        wait_for_close(connection)

    return action


def send_endlessly(data: bytes) -> Action:
    """Send the bytes again and again until the client closes."""

    def action(connection: Connection) -> None:
        while True:
            connection.sock.sendall(data)

    return action


def pause(seconds: float) -> Action:
    """Wait for this time, or until the server closes."""
    return lambda connection: connection.server.closing.wait(seconds)


def wait_for_close(connection: Connection) -> None:
    """Send nothing, and discard received bytes, until the client closes."""
    while connection.sock.recv(65536):
        pass


def receive_slowly(connection: Connection) -> None:
    """Receive 16 KiB every 50 ms until the client closes."""
    while connection.sock.recv(16384):
        connection.server.closing.wait(0.05)


def reset(connection: Connection) -> None:
    """Reset the connection."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sock.close()


def tunnel(connection: Connection) -> None:
    """Accept a CONNECT request as a proxy does, and forward bytes in both directions."""
    name, _, port = connection.read_request().split()[1].decode().rpartition(":")
    with socket.create_connection((name, int(port)), timeout=10) as target:
        connection.sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with selectors.DefaultSelector() as selector:  # select.select() accepts only the first 1024 descriptors
            selector.register(connection.sock, selectors.EVENT_READ, target)
            selector.register(target, selectors.EVENT_READ, connection.sock)
            while True:
                for key, _ in selector.select(10):
                    data = key.fileobj.recv(65536)  # type: ignore[union-attr] # a socket
                    if not data:
                        return
                    key.data.sendall(data)


@dataclass
class FaultServer:
    """Runs one script on each connection, in their order, and the last script on all further connections.

    ``requests`` contains the head of each request, ``connections`` the number of connections.
    """

    scripts: list[list[Action]]
    tls: ssl.SSLContext | None = None
    before_request: bool = False
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _open_sockets: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start to listen."""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self.listener.getsockname()[1]
        self._start_thread(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Close all connections and wait until each thread has ended."""
        self.closing.set()
        for sock in [self.listener, *self._open_sockets]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self.listener.close()

    @property
    def url(self) -> str:
        """The base URL."""
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    def _start_thread(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self._open_sockets.append(sock)
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            self._start_thread(self._run_script, sock, script)

    def _run_script(self, sock: socket.socket, script: list[Action]) -> None:
        with (
            contextlib.suppress(OSError, EOFError),  # the client may close at any time: many tests check this
            self.tls.wrap_socket(sock, server_side=True) if self.tls else sock as connected,
        ):
            self._open_sockets.append(connected)
            connection = Connection(connected, self)
            if not self.before_request:
                connection.read_request()
            for action in script:
                action(connection)
