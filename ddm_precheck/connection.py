"""The hooks into requests, urllib3 and http.client that bound one HTTP exchange.

Each row: the guarantee | what the library lacks | the hook | its test in tests/test_network.py or tests/test_faults.py.

- time for the whole exchange | the timeout applies to each read | `_DeadlineReader` | test_fault, "drip…"
- time for connecting and TLS | each address, then TLS, gets all of it | `_new_conn` | test_silence_while_connecting
- a head of at most 64 KiB and 99 headers | 100 lines of 64 KiB each are read | `begin`, `_HeadReader` | test_head_over_its_bound
- at most 2 MiB + 64 KiB on the wire | a chunk of size -1 is read to the end | `_DeadlineReader`
  | test_fault, "negative chunk size"
- interim responses (1xx) are skipped | only 100 is skipped | `begin` | test_success_in_the_end, "interim responses"
- a truncated head is refused | the end of the connection ends a head | `begin` | test_fault, "truncated head"
- unread bytes close the connection | they are dropped, or read as the next response | `_ResponseReader.close`,
  `is_connected` | test_kept_connection, test_unread_bytes_in_a_tls_record
- the pool makes such connections, also to a proxy | it has classes of its own | `get_connection_with_tls_context` | all

Every hook is a public name except `_new_conn`, which urllib3 has had since its first version.
"""

import contextlib
import http.client
import io
import socket
import ssl
from time import monotonic
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_WIRE_BYTES: Final = MAX_HEAD_BYTES + 2 * 1024 * 1024
_MIN_TIMEOUT_SECONDS: Final = 0.001  # 0 would make a socket non-blocking


class ResponseTooLargeError(http.client.HTTPException):
    """The head or the wire bytes of a response are over their bound."""


class DeadlineAdapter(HTTPAdapter):
    """An HTTPAdapter whose exchanges keep the guarantees of this module."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the connection pool of the host or its proxy, with the connection classes of this module."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _SecureConnection if pool.scheme == "https" else _Connection
        return pool


class _DeadlineReader(io.RawIOBase):
    """Reads a socket; all reads together may take the time that the socket's timeout gives to one.

    ``ended`` is true once the peer has closed its side.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self.ended = False
        self.sock = sock
        self._raw = raw
        self._deadline = monotonic() + (sock.gettimeout() or 0)
        self._remaining_bytes = _MAX_WIRE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.ended:
            return 0
        remaining = self._deadline - monotonic()
        if remaining <= 0:
            raise TimeoutError
        self.sock.settimeout(remaining)
        count = self._raw.readinto(buffer) or 0
        # What follows a proxy's response, such as the TLS handshake, gets the rest of the time as well.
        self.sock.settimeout(max(self._deadline - monotonic(), _MIN_TIMEOUT_SECONDS))
        self.ended = count == 0
        self._remaining_bytes -= count
        if self._remaining_bytes < 0:
            raise ResponseTooLargeError
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _ResponseReader(io.BufferedReader):
    """Buffers the bytes of one response."""

    raw: _DeadlineReader

    def close(self) -> None:
        """End the reading; shut the connection down where more than the response has arrived.

        The pool then finds the connection closed. Unread bytes would be read as the response to the next request, or
        they are dropped here and the peer is one response ahead.
        """
        if not self.closed:
            sock = self.raw.sock
            self.raw.ended = True  # look at the buffer only
            if self.peek() or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                with contextlib.suppress(OSError, AttributeError):  # TLS within a proxy's TLS has no shutdown
                    sock.shutdown(socket.SHUT_RDWR)
        super().close()


class _HeadReader:
    """Reads the lines of a head, with a bound for all of them together."""

    def __init__(self, reader: io.BufferedReader) -> None:
        self._reader = reader
        self._remaining_bytes = MAX_HEAD_BYTES

    def close(self) -> None:
        self._reader.close()

    def readline(self, limit: int = -1) -> bytes:
        line = self._reader.readline(limit)
        self._remaining_bytes -= len(line)
        if self._remaining_bytes < 0:
            raise ResponseTooLargeError
        return line


class _Response(http.client.HTTPResponse):
    """A response that is read within a deadline and within bounds."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._raw_reader = _DeadlineReader(self.fp.detach(), sock)
        self.fp = _ResponseReader(self._raw_reader)

    def begin(self) -> None:
        """Read the head of the final response.

        Interim responses (1xx) are skipped; otherwise the next request on the connection would read this request's
        final response. After 101, the connection speaks another protocol, and there is no final response.
        """
        reader = self.fp
        self.fp = _HeadReader(reader)  # type: ignore[assignment] # http.client only calls readline
        try:
            super().begin()
            while 101 < self.status < 200:
                self.headers = None  # type: ignore[assignment] # how http.client knows that a head is to be read
                super().begin()
        except http.client.HTTPException as error:
            if type(error) is http.client.HTTPException:  # over 100 headers: the only error without a class of its own
                raise ResponseTooLargeError from None
            raise
        finally:
            self.fp = reader
        if self._raw_reader.ended:
            raise http.client.IncompleteRead(b"")


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect, and leave the rest of the timeout to the TLS handshake.

        urllib3 gives the whole timeout to each address of the host, and again to what follows.
        """
        timeout = self.timeout or 0
        deadline = monotonic() + timeout
        try:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            addresses = []  # urllib3 fails in the same way below, with an exception of its own
        self.timeout = timeout / (len(addresses) or 1)
        sock = super()._new_conn()
        sock.settimeout(max(deadline - monotonic(), _MIN_TIMEOUT_SECONDS))
        return sock


class _SecureConnection(_Connection, HTTPSConnection):
    @property
    def is_connected(self) -> bool:
        """Whether the connection can be used again.

        TLS within a proxy's TLS cannot tell whether it has unread bytes, so such a connection is never used again.
        """
        return super().is_connected and isinstance(self.sock, ssl.SSLSocket)
