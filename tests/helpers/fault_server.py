"""A peer that breaks rules: it listens on a loopback port and does to each connection what its script says.

A script is a list of actions. Where nothing else is said, it begins when the peer has read a request.
"""

import contextlib
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

LAST_GOOD = b'{"pre_check_results":[{"name":"Primary keys","status":"SUCCESS"}]}'


@dataclass
class Connection:
    """One connection, as an action sees it."""

    sock: Any
    peer: "Peer"
    unread: bytes = b""

    def read_request(self) -> bytes:
        """Read a request's head, remember it and return it; raises EOFError where none comes."""
        while b"\r\n\r\n" not in self.unread:
            received = self.sock.recv(65536)
            if not received:
                raise EOFError
            self.unread += received
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        self.peer.requests.append(head)
        return head


Action = Callable[[Connection], Any]


def head(status: str = "200 OK", **headers: object) -> bytes:
    """Return a status line and headers, with the blank line; an underscore in a name stands for a hyphen."""
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def whole(body: bytes = LAST_GOOD, status: str = "200 OK", **headers: object) -> bytes:
    """Return a whole answer with its length."""
    return head(status, Content_Length=len(body), **headers) + body


def chunk(data: bytes) -> bytes:
    """Return one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def request(connection: Connection) -> None:
    """Read one more request."""
    connection.read_request()


def listen(connection: Connection) -> None:
    """Take in some bytes, whatever they are."""
    connection.sock.recv(65536)


def send(data: bytes) -> Action:
    """Send the bytes."""
    return lambda connection: connection.sock.sendall(data)


def drip(data: bytes) -> Action:
    """Send the bytes one by one, slowly, and then nothing."""

    def send_slowly(connection: Connection) -> None:
        for byte in data:
            connection.sock.sendall(bytes([byte]))
            connection.peer.closing.wait(0.05)
        silence(connection)

    return send_slowly


def endless(data: bytes) -> Action:
    """Send the bytes again and again."""

    def send_on(connection: Connection) -> None:
        while True:
            connection.sock.sendall(data)

    return send_on


def pause(seconds: float) -> Action:
    """Wait."""
    return lambda connection: connection.peer.closing.wait(seconds)


def silence(connection: Connection) -> None:
    """Say nothing until the other side hangs up."""
    while connection.sock.recv(65536):
        pass


def sip(connection: Connection) -> None:
    """Take in what comes, but slowly, until the other side hangs up."""
    while connection.sock.recv(16384):
        connection.peer.closing.wait(0.05)


def reset(connection: Connection) -> None:
    """Reset the connection."""
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sock.close()


def tunnel(connection: Connection) -> None:
    """Take a CONNECT for what it says, as a proxy does, and carry bytes both ways."""
    name, _, port = connection.read_request().split()[1].decode().rpartition(":")
    with socket.create_connection((name, int(port)), timeout=10) as target:
        connection.sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        ends = {connection.sock: target, target: connection.sock}
        while True:
            for source in select.select(list(ends), [], [], 10)[0]:
                data = source.recv(65536)
                if not data:
                    return
                ends[source].sendall(data)


@dataclass
class Peer:
    """Plays the first script with the first connection, and so on, and the last one with all that follow.

    ``early`` scripts begin before a request is read. ``requests`` are the heads that came in.
    """

    scripts: list[list[Action]]
    tls: ssl.SSLContext | None = None
    early: bool = False
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _open: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Begin to listen."""
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Hang up on everybody and wait until every thread has ended."""
        self.closing.set()
        for each in [self.listener, *self._open]:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        self.listener.close()

    @property
    def url(self) -> str:
        """The base URL to give as DDM_ENDPOINT."""
        return f"https://localhost:{self.port}" if self.tls else f"http://127.0.0.1:{self.port}"

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            self._open.append(sock)
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
            self._start(self._play, sock, script)

    def _play(self, sock: socket.socket, script: list[Action]) -> None:
        # The other side may hang up at any time: that is what many a test is about.
        with contextlib.suppress(OSError, EOFError), contextlib.closing(self._secured(sock)) as secured:
            connection = Connection(secured, self)
            if not self.early:
                connection.read_request()
            for action in script:
                action(connection)

    def _secured(self, sock: socket.socket) -> socket.socket:
        if not self.tls:
            return sock
        try:
            secured = self.tls.wrap_socket(sock, server_side=True)
        except BaseException:
            sock.close()
            raise
        self._open.append(secured)
        return secured
