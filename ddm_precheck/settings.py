"""What the environment says, read once at the start."""

import ipaddress
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

_REGION_PATTERN: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_REGION_LENGTH: Final = 32
_REGION_FIELD: Final = "{region}"
_MOST_SECONDS: Final = 3600


class SettingError(ValueError):
    """A variable has a value that the function cannot work with; the message names it and never quotes the value."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The function's settings.

    ``endpoint`` is DDM's base URL without a closing slash, where ``{region}`` stands for the region; ``region`` is
    the one of events that name none; ``timeout`` is in seconds; ``sink`` is the URL that summaries of delivered
    events go to; ``threads`` is how many invocations the server lets this instance run at once.
    """

    endpoint: str
    region: str | None
    timeout: float
    sink: str | None
    threads: int

    @property
    def needs_region(self) -> bool:
        """Whether the endpoint cannot be told without a region."""
        return _REGION_FIELD in self.endpoint

    def endpoint_in(self, region: str | None) -> str:
        """Return DDM's base URL in the region, which may be None only where none is needed."""
        return self.endpoint.replace(_REGION_FIELD, region) if region else self.endpoint


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings; an empty variable counts as one that is not set, but for THREADS: the server reads it, too.

    Raises SettingError for a value that is wrong.
    """
    return Settings(
        endpoint=_endpoint(environment.get("DDM_ENDPOINT") or "https://ddm.{region}.myhuaweicloud.com"),
        region=_region(environment.get("DDM_REGION")),
        timeout=_timeout(environment.get("DDM_TIMEOUT_SECONDS") or "10"),
        sink=_sink(environment.get("K_SINK")),
        threads=_threads(environment.get("THREADS")),
    )


def _endpoint(value: str) -> str:
    url = _url("DDM_ENDPOINT", value)
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        raise SettingError("DDM_ENDPOINT must start with https:// (http:// is for loopback addresses only)")
    # The last label of the host is never the event's to choose, so no region can name a host of its own.
    host_end = (url.hostname or "").rstrip(".").rpartition(".")[2]
    if _REGION_FIELD in host_end or set("{}") & set(value.replace(_REGION_FIELD, "")):
        raise SettingError("DDM_ENDPOINT may hold {region} and no other braces, and not in the last part of the host")
    return value.rstrip("/")


def _sink(value: str | None) -> str | None:
    if not value:
        return None
    _url("K_SINK", value)
    return value


def _url(variable: str, value: str) -> SplitResult:
    """Split a URL that requests can be sent to as it is."""
    error = SettingError(f"{variable} must be an http or https URL with a host, without user, query or fragment")
    try:
        url = urlsplit(value)
        usable = url.port != 0 and url.scheme in {"http", "https"} and bool(url.hostname)
    except ValueError:  # a port or an IPv6 address that is none
        raise error from None
    if not usable or not re.fullmatch(r"[!-~]+", value) or set(value) & set("@?#\\"):
        raise error
    return url


def is_loopback(host: str) -> bool:
    """Tell whether the host is this machine, by address or as ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _region(value: str | None) -> str | None:
    if not value:
        return None
    if len(value) > _REGION_LENGTH or not _REGION_PATTERN.fullmatch(value):
        raise SettingError("DDM_REGION must be a region such as cn-north-4")
    return value


def _timeout(value: str) -> float:
    try:
        seconds = float(value) if re.fullmatch(r"[0-9.eE+-]+", value) else math.nan
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= _MOST_SECONDS:
        raise SettingError(f"DDM_TIMEOUT_SECONDS must be a number of seconds above 0 and at most {_MOST_SECONDS}")
    return seconds


def _threads(value: str | None) -> int:
    """Return the server's number of threads; without THREADS it is functions-framework's default."""
    if value is None:
        return (os.cpu_count() or 1) * 4
    if not re.fullmatch(r"[1-9][0-9]{0,3}", value):
        raise SettingError("THREADS must be a whole number from 1 to 9999")
    return int(value)
