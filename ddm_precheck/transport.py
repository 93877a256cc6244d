"""One HTTP exchange: limited in time and bytes, without redirects, over pooled connections.

requests' timeout applies to each read, so a slow server can block a request indefinitely. Here one deadline covers the
whole exchange: connecting, TLS, a proxy's response, head and body. The deadline does not cover the lookup of the host
name: the configuration of the system's resolver limits its time.

The exchange is sent through an HTTPAdapter without a Session: a Session would follow redirects to another host with the
token, keep cookies and read ``.netrc``.
"""

import http.client
import logging
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.structures import CaseInsensitiveDict
from requests.utils import get_environ_proxies

from ddm_precheck.connection import MAX_HEAD_BYTES, MAX_WIRE_BYTES, DeadlineAdapter, ResponseTooLargeError
from ddm_precheck.urls import is_loopback

_MAX_POOLS: Final = 32
"""The maximum number of connection pools, one for each host. Huawei Cloud has about as many regions."""

_CHUNK_SIZE: Final = 64 * 1024
_GZIP: Final = 31  # zlib's number for the gzip format and no other
_WBITS: Final = {"": None, "identity": None, "gzip": _GZIP, "x-gzip": _GZIP}
# urllib3's warnings quote headers that it cannot parse, and a header can contain the token. If LOG_EXECUTION_ID is set,
# the root logger writes such warnings to the log.
logging.getLogger("urllib3").propagate = False


class TransportError(Exception):
    """There is no complete response. The message gives the reason and quotes no part of the exchange."""


class DeadlineExceededError(TransportError):
    """The deadline expired before the response was complete."""


class OversizedResponseError(TransportError):
    """The response is over the limits that apply to every response. Its status is not used."""


_SIZE_LIMITS: Final = f"head: {MAX_HEAD_BYTES // 1024} KiB and 99 headers; in total: {MAX_WIRE_BYTES // 1024**2} MiB"
# Columns: types of causes, the error, its message. The first row that has the type of a cause applies. If connecting
# takes the whole timeout, the causes include ReadTimeoutError and no TimeoutError.
_ERRORS: Final = (
    ((TimeoutError, urllib3.exceptions.ReadTimeoutError), DeadlineExceededError, "{host} did not respond in time"),
    (
        (ResponseTooLargeError,),
        OversizedResponseError,
        f"the response is over the size limits ({_SIZE_LIMITS})",
    ),
    (
        (urllib3.exceptions.NameResolutionError, urllib3.exceptions.LocationParseError),
        TransportError,
        "the host name {host} could not be resolved; check the region",
    ),
    ((urllib3.exceptions.ProxyError,), TransportError, "the proxy did not connect to {host}"),
    ((urllib3.exceptions.SSLError,), TransportError, "no TLS connection to {host}, or its certificate is not trusted"),
    ((ConnectionRefusedError,), TransportError, "{host} refused the connection"),
)


@dataclass(frozen=True, slots=True)
class HTTPResponse:
    """A complete response with its decoded body.

    If the body is over the limit or cannot be decoded, ``body_error`` is the reason and ``body`` is empty.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes = b""
    body_error: str | None = None


class _BodyError(Exception):
    """The body is over the limit or cannot be decoded. The message gives the reason and quotes no part of the body."""


class Transport:
    """Sends requests over pooled connections. Proxies come from the environment variables that requests reads."""

    def __init__(self, connections: int, ca_bundle: str | None) -> None:
        """Keep up to ``connections`` connections for each host. If ``ca_bundle`` is None, use certifi's CA bundle."""
        self._adapter = DeadlineAdapter(pool_connections=_MAX_POOLS, pool_maxsize=connections)
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
        """Send the request and return the response. The limit ``max_bytes`` applies to the decoded body.

        ``timeout`` is in seconds and covers the whole exchange. The URL and the headers are sent as they are.

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
                stream=True,
                timeout=urllib3.Timeout(total=max(timeout, 0.001)),  # type: ignore[arg-type] # requests documents it
                verify=self._verify,
                proxies=self._proxies(f"{origin.scheme}://{origin.netloc}"),
            ) as response:
                try:
                    return HTTPResponse(response.status_code, response.headers, _read_body(response.raw, max_bytes))
                except _BodyError as error:
                    return HTTPResponse(response.status_code, response.headers, body_error=str(error))
        # http.client raises ValueError for a chunk size below -1.
        except (OSError, urllib3.exceptions.HTTPError, http.client.HTTPException, ValueError) as error:
            raise _to_transport_error(error, origin.hostname) from None


def _proxies(origin: str) -> dict[str, str]:
    url = urlsplit(origin)
    if url.scheme == "http" and is_loopback(url.hostname or ""):
        return {}  # without TLS, a proxy would receive the token as plain text
    return get_environ_proxies(origin, no_proxy=None)


def _read_body(raw: urllib3.HTTPResponse, max_bytes: int) -> bytes:
    """Read the body in chunks and decode gzip.

    urllib3's decoder accepts a truncated stream, and it takes minutes for a stream of many empty members (RFC 1952).
    """
    coding = raw.headers.get("Content-Encoding", "").strip().lower()
    if coding not in _WBITS:
        raise _BodyError("the Content-Encoding is neither gzip nor identity")
    wbits = _WBITS[coding]
    decoder = zlib.decompressobj(wbits) if wbits else None
    # One growing buffer: a list of chunks, each below the threshold of `configure_malloc`, would fragment the heap.
    body = bytearray()
    try:
        while chunk := raw.read(_CHUNK_SIZE, decode_content=False):
            body += decoder.decompress(chunk, max_bytes + 1 - len(body)) if decoder else chunk
            if len(body) > max_bytes:
                raise _BodyError(f"the body is over {max_bytes} bytes")
            if decoder and decoder.unused_data:
                raise _BodyError("more data follows the gzip data")
    except zlib.error:
        raise _BodyError("the gzip data is invalid") from None
    if decoder and not decoder.eof:
        raise _BodyError("the gzip data is incomplete")
    return bytes(body)


def _to_transport_error(error: Exception, host: str | None) -> TransportError:
    """Return the error for the types of the causes. Their messages are not used: they may quote the exchange."""
    causes = list(_causes(error))
    for cause in causes:
        # urllib3 stores an exception in a variable of its own frame: this cycle would keep the whole stack in memory.
        cause.__traceback__ = None
    for types, error_class, message in _ERRORS:
        if any(isinstance(cause, types) for cause in causes):
            return error_class(message.format(host=host))
    return TransportError(f"the connection to {host} was lost")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error, its cause, the cause of that cause, and so on."""
    while error:
        yield error
        error = error.__cause__ or error.__context__
