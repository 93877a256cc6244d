"""Parses and validates the function's environment variables, once at the start."""

import math
import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult

from ddm_precheck.urls import is_loopback, split_http_url

AGENCY: Final = "agency"
"""The value of DDM_TOKEN_SOURCE for the token of a FunctionGraph agency; any other value is the path of a file."""

_DEFAULT_ENDPOINT: Final = "https://ddm.{region}.myhuaweicloud.com"
_REGION_PLACEHOLDER: Final = "{region}"
_REGION_PATTERN: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_INSTANCE_PATTERN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}/([A-Za-z0-9_-]{1,64}|\*)")
_MAX_REGION_LENGTH: Final = 32
_MAX_SECONDS: Final = 3600
_MAX_CHECKS: Final = 1000
_MAX_THREADS: Final = 9999
_PROXY_VARIABLES: Final = ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
# requests parses proxy:3128 as a URL with the scheme "proxy", and then fails for each request.
_SCHEME_ONLY: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!//)")
_CA_VARIABLES: Final = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


class SettingsError(ValueError):
    """The function cannot work with a variable's value. The message names the variable and never quotes the value."""


@dataclass(frozen=True, slots=True)
class PlatformToken:
    """Where the platform provides a token for DDM, and for which instances the function may use the token.

    - ``source``: `AGENCY`, or the absolute path of a file.
    - ``allowed_instances``: instances as ``project_id/instance_id`` or ``project_id/*``.
    """

    source: str
    allowed_instances: frozenset[str]


@dataclass(frozen=True, slots=True)
class Settings:
    """The function's settings.

    - ``endpoint``: DDM's base URL without a trailing slash; ``{region}`` in it is replaced by the region.
    - ``region``: the default for events without a region.
    - ``timeout_seconds``: the time for one request to DDM, including its retries.
    - ``expected_checks``: the default for events without ``expected_checks``.
    - ``max_wait_seconds``: the upper limit for the ``wait_seconds`` of an event.
    - ``platform_token``: None if the platform provides no token.
    - ``sink``: the URL that receives the summaries of event deliveries.
    - ``ca_bundle``: file or folder with the trusted CA certificates; None for the certificates of ``certifi``.
    - ``threads``: how many requests the server handles at the same time.
    """

    endpoint: str
    region: str | None
    timeout_seconds: float
    expected_checks: int | None
    max_wait_seconds: float
    platform_token: PlatformToken | None
    sink: str | None
    ca_bundle: str | None
    threads: int

    @property
    def needs_region(self) -> bool:
        """Whether the endpoint is incomplete without a region."""
        return _REGION_PLACEHOLDER in self.endpoint

    def endpoint_in(self, region: str | None) -> str:
        """Return DDM's base URL in the region. The region may be None only if `needs_region` is false."""
        return self.endpoint.replace(_REGION_PLACEHOLDER, region) if region else self.endpoint


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings from environment variables.

    An empty variable counts as unset, except THREADS, because the server reads this variable as well.

    Raises SettingsError for the first invalid value.
    """
    _check_proxies(environment)
    return Settings(
        endpoint=parse_endpoint("DDM_ENDPOINT", environment.get("DDM_ENDPOINT") or _DEFAULT_ENDPOINT),
        region=_region(environment.get("DDM_REGION")),
        timeout_seconds=_timeout_seconds(environment.get("DDM_TIMEOUT_SECONDS") or "10"),
        expected_checks=_expected_checks(environment.get("DDM_EXPECTED_CHECKS")),
        max_wait_seconds=_max_wait_seconds(environment.get("DDM_MAX_WAIT_SECONDS") or "40"),
        platform_token=_platform_token(environment),
        sink=_sink(environment.get("K_SINK")),
        ca_bundle=_ca_bundle(environment),
        threads=_threads(environment.get("THREADS")),
    )


def parse_endpoint(variable: str, value: str) -> str:
    """Return the base URL in a variable without its trailing slash. Raises SettingsError if a token must not go there.

    The URL may contain ``{region}``.
    """
    url = _url(variable, value)
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        raise SettingsError(f"{variable} must start with https:// (http:// is for loopback addresses only)")
    # The last label of the host must not depend on an event's region: otherwise a caller could choose any host.
    last_label = (url.hostname or "").rstrip(".").rpartition(".")[2]
    if _REGION_PLACEHOLDER in last_label or set("{}") & set(value.replace(_REGION_PLACEHOLDER, "")):
        raise SettingsError(
            f"{variable} may contain {_REGION_PLACEHOLDER}, but not in the last label of the host, and no other braces"
        )
    return value.rstrip("/")


def _sink(value: str | None) -> str | None:
    if not value:
        return None
    _url("K_SINK", value)
    return value


def _url(variable: str, value: str) -> SplitResult:
    """Return the parts of a URL without user, query and fragment. Raises SettingsError for any other URL."""
    url = split_http_url(value)
    if url is None or set(value) & set("@?#\\"):
        raise SettingsError(f"{variable} must be an http or https URL with a host, without user, query or fragment")
    return url


def _check_proxies(environment: Mapping[str, str]) -> None:
    """Validate the variables that requests reads, so that a typo makes the start fail and not each request."""
    for variable in _PROXY_VARIABLES:
        value = environment.get(variable)
        if not value:
            continue
        url = value if "://" in value else f"http://{value}"
        if _SCHEME_ONLY.match(value) or split_http_url(url) is None:
            raise SettingsError(f"{variable} must be the http or https URL of a proxy, such as http://proxy:3128")


def _ca_bundle(environment: Mapping[str, str]) -> str | None:
    """Return the CA bundle of the first set variable, in the order in which requests reads the variables."""
    for variable in _CA_VARIABLES:
        if value := environment.get(variable):
            path = Path(value)
            try:
                ssl.create_default_context(
                    cafile=None if path.is_dir() else value, capath=value if path.is_dir() else None
                )
            except (OSError, ValueError):  # ssl.SSLError is an OSError
                raise SettingsError(f"{variable} must be a file or folder with CA certificates in PEM format") from None
            return value
    return None


def _region(value: str | None) -> str | None:
    if not value:
        return None
    if len(value) > _MAX_REGION_LENGTH or not _REGION_PATTERN.fullmatch(value):
        raise SettingsError("DDM_REGION must be a region such as cn-north-4")
    return value


def _timeout_seconds(value: str) -> float:
    seconds = _seconds(value)
    if not 0 < seconds <= _MAX_SECONDS:
        raise SettingsError(f"DDM_TIMEOUT_SECONDS must be a number of seconds above 0 and at most {_MAX_SECONDS}")
    return seconds


def _max_wait_seconds(value: str) -> float:
    seconds = _seconds(value)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise SettingsError(f"DDM_MAX_WAIT_SECONDS must be a number of seconds from 0 to {_MAX_SECONDS}")
    return seconds


def _seconds(value: str) -> float:
    """Parse a decimal number. For any other text, return NaN, which is outside every range."""
    try:
        return float(value) if re.fullmatch(r"[0-9.eE+-]+", value) else math.nan
    except ValueError:
        return math.nan


def _expected_checks(value: str | None) -> int | None:
    if not value:
        return None
    return _whole_number("DDM_EXPECTED_CHECKS", value, _MAX_CHECKS)


def _platform_token(environment: Mapping[str, str]) -> PlatformToken | None:
    source, allowed = environment.get("DDM_TOKEN_SOURCE"), environment.get("DDM_ALLOWED_INSTANCES")
    if not source and not allowed:
        return None
    if not allowed:
        raise SettingsError("DDM_TOKEN_SOURCE requires DDM_ALLOWED_INSTANCES, the instances for the token")
    if not source:
        raise SettingsError("DDM_ALLOWED_INSTANCES requires DDM_TOKEN_SOURCE, the source of the token")
    if source != AGENCY and (not source.startswith("/") or "\0" in source):
        raise SettingsError(f"DDM_TOKEN_SOURCE must be {AGENCY} or the absolute path of a file")
    instances = allowed.split(",")
    if not all(_INSTANCE_PATTERN.fullmatch(instance) for instance in instances):
        raise SettingsError(
            "DDM_ALLOWED_INSTANCES must be a list of project_id/instance_id or project_id/*,"
            " separated by commas without spaces"
        )
    return PlatformToken(source, frozenset(instances))


def _threads(value: str | None) -> int:
    """Return the server's number of threads. If THREADS is not set, return functions-framework's default."""
    if value is None:
        return (os.cpu_count() or 1) * 4
    return _whole_number("THREADS", value, _MAX_THREADS)


def _whole_number(variable: str, value: str, maximum: int) -> int:
    if not re.fullmatch(r"[1-9][0-9]{0,3}", value) or int(value) > maximum:
        raise SettingsError(f"{variable} must be a whole number from 1 to {maximum}")
    return int(value)
