"""One HTTP exchange: bounded in time and in bytes, never redirected, connections kept for the next one.

requests bounds each read, not the whole, so a peer that sends a byte now and then holds it for ever. Here the bound
sits where the bytes come in: each read of the socket may take what is left of the whole time. That holds for the
status line, the headers, the body and a proxy's answer alike. What it cannot bound is the resolver: looking a name up
takes as long as the system's resolver is set to try.
"""

import http.client
import io
import logging
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from ddm_precheck.settings import is_loopback

_HOSTS_KEPT: Final = 32
"""Pools kept, one a host: Huawei Cloud has about as many regions."""

_PIECE_BYTES: Final = 64 * 1024
_GZIP_ONLY: Final = 31  # zlib's number for it
_CODINGS: Final = {"": False, "identity": False, "gzip": True, "x-gzip": True}

# urllib3 warns of headers that it cannot read, and quotes them; where LOG_EXECUTION_ID is set, its warnings have a way
# out. What a peer sends must not get into the log that way: it may hold the token.
logging.getLogger("urllib3").propagate = False


class TransportError(Exception):
    """There was no whole answer; the message says why and quotes nothing of the request."""


class OutOfTimeError(TransportError):
    """The time was over before the answer was."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer. ``body`` is decoded; it is None where it was over the limit or could not be decoded."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None


class Transport:
    """Sends requests over one pooled session.

    Proxies and certificate authorities come from the environment, as requests reads it; ``.netrc`` is not read, since
    nothing here prepares a request through the session.
    """

    def __init__(self, connections: int) -> None:
        """Keep up to ``connections`` connections a host."""
        self._session = _Session()
        self._session.headers.clear()
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = _Adapter(pool_connections=_HOSTS_KEPT, pool_maxsize=connections)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        self._environment = lru_cache(maxsize=_HOSTS_KEPT)(self._read_environment)

    def send(  # noqa: PLR0913 - an HTTP request has these parts
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None, *, seconds: float, most: int
    ) -> Reply:
        """Exchange the request for a reply of at most ``most`` decoded bytes within ``seconds``.

        The URL and the headers have to be safe already: they are sent as they are.

        Raises OutOfTimeError, or TransportError for any other reason why no whole answer came.
        """
        request = requests.PreparedRequest()
        request.method, request.url, request.body = method, url, body
        request.headers = requests.structures.CaseInsensitiveDict(headers)
        origin = urlsplit(url)
        environment = self._environment(f"{origin.scheme}://{origin.netloc}")
        timeout = urllib3.Timeout(total=max(seconds, 0.001))
        try:
            response = self._session.send(request, timeout=timeout, allow_redirects=False, **environment)
            with response:
                return Reply(response.status_code, response.headers, _body(response.raw, most))
        except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException) as error:
            raise _translated(error, origin.hostname) from None

    def _read_environment(self, origin: str) -> dict[str, Any]:
        environment = dict(self._session.merge_environment_settings(origin, {}, True, None, None))  # noqa: FBT003
        url = urlsplit(origin)
        if url.scheme == "http" and is_loopback(url.hostname or ""):
            # Plain HTTP carries the token only because it stays on this machine.
            environment["proxies"] = {}
        return environment


def _body(raw: urllib3.HTTPResponse, most: int) -> bytes | None:
    """Read the body piece by piece, and undo gzip here, where nothing is lenient.

    urllib3's decoder takes a stream that was cut short for a whole one, and minutes for one of many empty members.
    """
    coding = raw.headers.get("Content-Encoding", "").strip().lower()
    if coding not in _CODINGS:
        return None
    unzip = zlib.decompressobj(wbits=_GZIP_ONLY) if _CODINGS[coding] else None
    body = bytearray()
    try:
        while piece := raw.read(_PIECE_BYTES, decode_content=False):
            body += unzip.decompress(piece, most + 1 - len(body)) if unzip else piece
            if len(body) > most or (unzip and unzip.unused_data):
                return None
    except zlib.error:
        return None
    return bytes(body) if unzip is None or unzip.eof else None


def _translated(error: Exception, host: str | None) -> TransportError:
    """Name the reason by the kind of error; the error itself may quote the request or the answer."""
    causes = list(_causes(error))
    # urllib3's has no TimeoutError beneath it where connecting left no time for reading.
    if any(isinstance(cause, TimeoutError | urllib3.exceptions.ReadTimeoutError) for cause in causes):
        return OutOfTimeError(f"{host} did not answer in time")
    for kind, reason in _REASONS:
        if any(isinstance(cause, kind) for cause in causes):
            return TransportError(reason.format(host=host))
    return TransportError(f"the connection to {host} was lost")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and, one after the other, what it wraps."""
    while error:
        yield error
        error = error.__cause__ or error.__context__


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - the base class names it
        """Know no redirect: following one, or only reading its body for `Response.next`, is never wanted here."""
        return


class _Adapter(HTTPAdapter):
    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
        """Let the pool make connections that keep the deadline, whether they go to a proxy or not."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        pool.ConnectionCls = _SecureConnection if pool.scheme == "https" else _Connection
        return pool


class _BoundedReader(io.RawIOBase):
    """Reads a socket, and gives all reads together the time that the socket's timeout gives to one.

    ``ended`` tells whether the peer has hung up.
    """

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self.ended = False
        self._raw = raw
        self._sock = sock
        self._end = monotonic() + (sock.gettimeout() or 0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._end - monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count = self._raw.readinto(buffer)
        # What comes after a proxy's answer, such as the TLS handshake, gets what is left as well.
        self._sock.settimeout(max(self._end - monotonic(), 0.001))
        self.ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedAnswer(http.client.HTTPResponse):
    """Reads an answer in bounded time, and takes less on trust than its base class does."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _BoundedReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read the head; one that the end of the connection cut short is none."""
        super().begin()
        if self._reader.ended:
            raise http.client.IncompleteRead(b"")

    def _read_status(self) -> tuple[str, int, str]:
        """Read the status line of the answer itself, past interim ones (1xx).

        Taken for the answer, an interim one would leave the true one on the connection, for the next request to find.
        """
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc] # private, so it has no types
            if not 102 <= status <= 199:  # http.client itself skips 100; 101 ends the talk
                return version, status, reason
            http.client.parse_headers(self.fp)

    def _read_next_chunk_size(self) -> int:
        """Read the size of a chunk; a negative one would be read as "all there is", whatever the limit."""
        size: int = super()._read_next_chunk_size()  # type: ignore[misc] # the same
        if size < 0:
            raise ValueError
        return size


class _Connection(HTTPConnection):
    response_class = _BoundedAnswer

    def _new_conn(self) -> socket.socket:
        """Connect and shake hands within the one timeout; urllib3 gives it whole to each address, then to the rest."""
        seconds = self.timeout or 0
        end = monotonic() + seconds
        try:
            addresses = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            addresses = []  # the same error comes again below, and is told there in urllib3's words
        self.timeout = seconds / (len(addresses) or 1)
        sock = super()._new_conn()
        sock.settimeout(max(end - monotonic(), 0.001))
        return sock


class _SecureConnection(_Connection, HTTPSConnection):
    @property
    def is_connected(self) -> bool:
        """Whether the connection can be used again: it lives, and nothing waits on it that would be the next answer.

        urllib3 looks at the socket alone, where what TLS has decrypted already does not show. A TLS connection inside
        of a proxy's TLS cannot tell what it has, so it is not used again.
        """
        return super().is_connected and isinstance(self.sock, ssl.SSLSocket) and not self.sock.pending()


_REASONS: Final = (
    (urllib3.exceptions.NameResolutionError, "the host name {host} could not be resolved; check the region"),
    (urllib3.exceptions.LocationParseError, "the host name {host} could not be resolved; check the region"),
    (urllib3.exceptions.ProxyError, "the proxy in front of {host} did not connect"),
    (urllib3.exceptions.SSLError, "the TLS connection to {host} could not be made, or its certificate is not trusted"),
    (ConnectionRefusedError, "{host} refused the connection"),
)
