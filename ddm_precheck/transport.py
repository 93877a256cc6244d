"""One HTTP exchange: limited in time and bytes, without redirects, over pooled connections.

requests' timeout applies to each read, so a slow server can block a request indefinitely. Here one deadline covers the
whole exchange, except the lookup of the host name: connecting, TLS, a proxy's response, head and body.

The exchange is sent through an HTTPAdapter without a Session: a Session would follow redirects to another host with the
token, keep cookies and read ``.netrc``. The hooks use public names of the libraries, except `_new_conn`.
"""

import contextlib
import http.client
import io
import logging
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection, HTTPSConnection

from ddm_precheck.settings import is_loopback

_MAX_POOLS: Final = 32  # one for each host; Huawei Cloud has about as many regions
_MAX_CONNECTIONS: Final = 64  # kept connections to a host: as many as requests at the same time, as deployed
_MAX_WIRE_BYTES: Final = 2 * 1024 * 1024  # head and body: twice the largest body, for the framing of small chunks
_CHUNK_SIZE: Final = 64 * 1024
_MIN_TIMEOUT_SECONDS: Final = 0.001  # 0 would make a socket non-blocking
_TUNNEL_STATUS: Final = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")
# urllib3's warnings quote headers that it cannot parse.
logging.getLogger("urllib3").propagate = False


class TransportError(Exception):
    """There is no complete response. The message gives the reason and quotes no part of the exchange."""


class DeadlineExceededError(TransportError):
    """The deadline expired before the response was complete."""


class OversizedResponseError(TransportError):
    """The response is over the limit for head and body together. Its status is not used."""


# The type of a cause, and the message. The first row that has the type of a cause applies.
_MESSAGES: Final = (
    (urllib3.exceptions.ProxyError, "the proxy did not connect to {host}{status}"),
    ((socket.gaierror, UnicodeError), "the host name {host} could not be resolved; check the region"),
    (urllib3.exceptions.SSLError, "no TLS connection to {host}, or its certificate is not trusted"),
    (ConnectionRefusedError, "{host} refused the connection"),
)


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """A complete response. If the body is too large or encoded, ``body_error`` is the reason and ``body`` is empty."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    body_error: str | None = None


class Transport:
    """Sends requests over pooled connections. Proxies come from the environment variables that requests reads.

    ``ca_bundle`` has the trusted certificates; if it is None, those of certifi are trusted.
    """

    def __init__(self, ca_bundle: str | None) -> None:
        self._adapter = _Adapter(pool_connections=_MAX_POOLS, pool_maxsize=_MAX_CONNECTIONS)
        self._verify = ca_bundle or True
        self._proxies = lru_cache(maxsize=_MAX_POOLS)(_proxies)

    def send(  # noqa: PLR0913 - an HTTP request has these parts
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
        *,
        timeout: float,
        max_bytes: int,
    ) -> HTTPResponse:
        """Send the request as it is and return the response.

        ``timeout`` is in seconds and covers the whole exchange. ``max_bytes`` is the limit for the body.

        Raises DeadlineExceededError, OversizedResponseError, or TransportError for any other reason why there is no
        complete response.
        """
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = CaseInsensitiveDict(headers)
        origin = urlsplit(url)
        try:
            with self._adapter.send(
                request,
                timeout=urllib3.Timeout(total=max(timeout, _MIN_TIMEOUT_SECONDS)),  # type: ignore[arg-type] # documented
                verify=self._verify,
                proxies=self._proxies(f"{origin.scheme}://{origin.netloc}"),
            ) as response:
                return _read(response, max_bytes)  # type: ignore[arg-type] # see _Adapter.build_response
        # ValueError: a host name that IDNA cannot encode, or a negative chunk size.
        except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError) as error:
            raise _to_transport_error(error, origin.hostname) from None


def _proxies(origin: str) -> dict[str, str]:
    url = urlsplit(origin)
    if url.scheme == "http" and is_loopback(url.hostname or ""):
        return {}  # without TLS, a proxy would receive the token as plain text
    return get_environ_proxies(origin, no_proxy=None)


def _read(response: urllib3.HTTPResponse, max_bytes: int) -> HTTPResponse:
    status, headers = response.status, response.headers
    if headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}:
        return HTTPResponse(status, headers, body_error="it has a Content-Encoding, although none was requested")
    # One growing buffer: a list of chunks, each below the threshold of `configure_malloc`, would fragment the heap.
    body = bytearray()
    while chunk := response.read(_CHUNK_SIZE):
        body += chunk
        if len(body) > max_bytes:
            return HTTPResponse(status, headers, body_error=f"it is over {max_bytes} bytes")
    return HTTPResponse(status, headers, bytes(body))


def _to_transport_error(error: Exception, host: str | None) -> TransportError:
    """Return the error for the types of the causes, whose messages may quote the exchange."""
    causes = list(_causes(error))
    for cause in causes:
        # urllib3 stores an exception in a variable of its own frame: this cycle would keep the whole stack in memory.
        cause.__traceback__ = None
    # If connecting takes the whole timeout, the causes include ReadTimeoutError and no TimeoutError.
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.ReadTimeoutError) for cause in causes):
        return DeadlineExceededError(f"{host} did not respond in time")
    tunnel = next(filter(None, (_TUNNEL_STATUS.search(str(cause)) for cause in causes)), None)
    status = f": it responded {tunnel[1]}" if tunnel else ""
    for cause_type, message in _MESSAGES:
        if any(isinstance(cause, cause_type) for cause in causes):
            return TransportError(message.format(host=host, status=status))
    return TransportError(f"the connection to {host} was lost")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Return the connection pool of the host or its proxy, with the connection classes of this module."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _SecureConnection if pool.scheme == "https" else _Connection
        return pool

    def build_response(self, _: object, response: Any) -> Any:
        """Return the response of urllib3: nobody needs the cookies and the history of one of requests."""
        return response


class _SocketReader(io.RawIOBase):
    """Reads one response from a socket. The socket's timeout applies to all reads together."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self.has_ended = False  # no more bytes follow, or the response is closed
        self.sock = sock
        self._raw = raw
        self._deadline = monotonic() + (sock.gettimeout() or 0)
        self._remaining_bytes = _MAX_WIRE_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.has_ended:
            return 0
        remaining = self._deadline - monotonic()
        if remaining <= 0:
            raise TimeoutError
        self.sock.settimeout(remaining)
        count = self._raw.readinto(buffer) or 0
        # After a proxy's response, the remaining time applies to the TLS handshake.
        self.sock.settimeout(max(self._deadline - monotonic(), _MIN_TIMEOUT_SECONDS))
        self.has_ended = count == 0
        self._remaining_bytes -= count
        if self._remaining_bytes < 0:
            raise OversizedResponseError(f"it is over {_MAX_WIRE_BYTES // 1024**2} MiB")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _ResponseReader(io.BufferedReader):
    raw: _SocketReader

    def close(self) -> None:
        """Close the reader. If more bytes than the response have arrived, shut the connection down as well.

        The pool does not use a closed connection again. Otherwise the next request on the connection could receive a
        response that belongs to another request.
        """
        if not self.closed:
            sock = self.raw.sock
            self.raw.has_ended = True  # peek() must not read the socket
            if self.peek() or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                with contextlib.suppress(OSError, AttributeError):  # TLS within a proxy's TLS has no shutdown
                    sock.shutdown(socket.SHUT_RDWR)
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _SocketReader(self.fp.detach(), sock)
        self.fp = _ResponseReader(self._reader)

    def begin(self) -> None:
        """Read the head of the final response.

        http.client skips only the interim response 100, and accepts a truncated head as complete. After 101, the
        connection uses another protocol, and there is no final response.
        """
        super().begin()
        while 101 < self.status < 200:
            self.headers = None  # type: ignore[assignment] # http.client reads a head only if headers is None
            super().begin()
        if self._reader.has_ended:
            raise http.client.IncompleteRead(b"")


class _Connection(HTTPConnection):
    response_class = _Response

    def _new_conn(self) -> socket.socket:
        """Connect within the timeout, which urllib3 applies to each address of the host and to the TLS handshake."""
        deadline = monotonic() + (self.timeout or 0)
        addresses = [info[4][:2] for info in socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)]
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):  # pragma: no branch
            share = max((deadline - monotonic()) / left, _MIN_TIMEOUT_SECONDS)
            try:
                sock = socket.create_connection(address, share)  # type: ignore[arg-type] # host and port
                break
            except OSError:
                if left == 1:
                    raise
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(max(deadline - monotonic(), _MIN_TIMEOUT_SECONDS))
        return sock


class _SecureConnection(_Connection, HTTPSConnection):
    @property
    def is_connected(self) -> bool:
        """Whether the connection can be used again: not for TLS within TLS, whose unread bytes are unknown."""
        return super().is_connected and isinstance(self.sock, ssl.SSLSocket)
