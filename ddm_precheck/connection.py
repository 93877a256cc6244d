"""The hooks into requests, urllib3 and http.client that limit the time and the bytes of one HTTP exchange.

The hooks use only public names of the libraries, except `_new_conn`, which urllib3 has had since its first version. The
tests are in tests/test_connection_faults.py unless the row names another module.

+---------------------------+--------------------------------+-------------------------+-------------------------------+
| guarantee                 | library without the hook       | hook                    | test                          |
+===========================+================================+=========================+===============================+
| one deadline for the      | requests' timeout applies to   | `_DeadlineReader`       | test_fault: "slow ..."        |
| whole exchange            | each read                      |                         |                               |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
| the deadline includes     | each address, and then TLS,    | `_new_conn`             | test_connections.py:          |
| connecting and TLS        | gets the whole timeout         |                         | test_timeout_while_connecting |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
| the head has at most      | 100 lines of 64 KiB each are   | `begin`, `_HeadReader`  | test_size_of_the_head,        |
| 64 KiB and 99 headers     | accepted                       |                         | test_number_of_headers        |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
| the response has at most  | a chunk of size -1 is read to  | `_DeadlineReader`       | test_fault: "negative chunk   |
| 2 MiB of HTTP data        | the end of the connection      |                         | size, endless"                |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
| interim responses (1xx)   | only 100 is skipped            | `begin`                 | test_connections.py: "interim |
| are skipped               |                                |                         | responses"                    |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
| a truncated head is       | is accepted as a complete head | `begin`                 | test_fault: "closes in the    |
| refused                   |                                |                         | headers"                      |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
| a connection with unread  | the bytes are dropped, or read | `_ResponseReader.close`,| test_stale_responses.py       |
| bytes is closed           | as the next response           | `is_connected`          |                               |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
| all connections have the  | pools create connections of    | `get_connection_with_   | test_proxy.py, test_tls.py    |
| hooks, also to a proxy    | their own classes              | tls_context`            |                               |
+---------------------------+--------------------------------+-------------------------+-------------------------------+
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
# Twice the size of the largest body that is accepted: the framing of small chunks takes bytes as well.
MAX_WIRE_BYTES: Final = 2 * 1024 * 1024
_MIN_TIMEOUT_SECONDS: Final = 0.001  # 0 would make a socket non-blocking


class ResponseTooLargeError(http.client.HTTPException):
    """The head of a response, or its total number of bytes, is over the limit."""


class DeadlineAdapter(HTTPAdapter):
    """An HTTPAdapter that gives the guarantees of this module for each exchange."""

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the connection pool of the host or its proxy, with the connection classes of this module."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _SecureConnection if pool.scheme == "https" else _Connection
        return pool


class _DeadlineReader(io.RawIOBase):
    """Reads a socket. The socket's timeout applies to all reads together.

    ``ended`` is true once no more bytes follow: the server has closed its side of the connection, or the response is
    closed.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self.ended = False
        self.sock = sock
        self._raw = raw
        self._deadline = monotonic() + (sock.gettimeout() or 0)
        self._remaining_bytes = MAX_WIRE_BYTES

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
        # After a proxy's response, the remaining time applies to the TLS handshake.
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
        """Close the reader. If more bytes than the response have arrived, shut the connection down as well.

        The pool does not use a closed connection again. Otherwise the next request on the connection could receive a
        response that belongs to another request.
        """
        if not self.closed:
            sock = self.raw.sock
            self.raw.ended = True  # peek() must not read the socket
            if self.peek() or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                with contextlib.suppress(OSError, AttributeError):  # TLS within a proxy's TLS has no shutdown
                    sock.shutdown(socket.SHUT_RDWR)
        super().close()


class _HeadReader:
    """Reads the lines of a head. The limit applies to all lines together."""

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
    """A response that is read within a deadline and within the limits of this module."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._raw_reader = _DeadlineReader(self.fp.detach(), sock)
        self.fp = _ResponseReader(self._raw_reader)

    def begin(self) -> None:
        """Read the head of the final response.

        Interim responses (1xx) are skipped; otherwise the next request on the connection would read this request's
        final response. After 101, the connection uses another protocol, and there is no final response.
        """
        reader = self.fp
        self.fp = _HeadReader(reader)  # type: ignore[assignment] # http.client only calls readline
        try:
            super().begin()
            while 101 < self.status < 200:
                self.headers = None  # type: ignore[assignment] # http.client reads a head only if headers is None
                super().begin()
        except http.client.HTTPException as error:
            if type(error) is http.client.HTTPException:  # over 99 headers: the only error without a class of its own
                raise ResponseTooLargeError from None
            raise
        finally:
            self.fp = reader
        if self._raw_reader.ended:
            raise http.client.IncompleteRead(b"")


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect, and set the socket's timeout for the TLS handshake to the remaining time.

        urllib3 applies the whole timeout to each address of the host, and again to the TLS handshake.
        """
        timeout = self.timeout or 0
        deadline = monotonic() + timeout
        try:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            addresses = []  # below, urllib3 fails for the same reason and raises its own exception
        self.timeout = timeout / (len(addresses) or 1)
        sock = super()._new_conn()
        sock.settimeout(max(deadline - monotonic(), _MIN_TIMEOUT_SECONDS))
        return sock


class _SecureConnection(_Connection, HTTPSConnection):
    @property
    def is_connected(self) -> bool:
        """Whether the connection can be used again.

        For TLS within a proxy's TLS, the number of unread bytes is unknown, so such a connection is never used again.
        """
        return super().is_connected and isinstance(self.sock, ssl.SSLSocket)
