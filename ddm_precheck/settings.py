"""Parses and validates the function's environment variables, once at the start."""

import ipaddress
import math
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

AGENCY: Final = "agency"
_DEFAULT_ENDPOINT: Final = "https://ddm.{region}.myhuaweicloud.com"
# The regions whose endpoint is another one. Source: huaweicloudsdkddm 3.1.219, DdmRegion.
_OTHER_ENDPOINTS: Final = {"eu-west-101": "https://ddm.eu-west-101.myhuaweicloud.eu"}
_REGION_PLACEHOLDER: Final = "{region}"
_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_AVAILABILITY_ZONE: Final = re.compile(r".*-[0-9]+[a-z]")
_INSTANCE: Final = re.compile(r"[A-Za-z0-9_-]{1,64}/([A-Za-z0-9_-]{1,64}|\*)")
# Host, port and path; urlsplit accepts much more.
_URL: Final = re.compile(r"(?ai)https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?(/[^\s?#{}\\]*)?")
_MAX_REGION_LENGTH: Final = 32
_MAX_SECONDS: Final = 3600


class SettingsError(ValueError):
    """The function cannot work with a variable's value. The message names the variable and never quotes the value."""


@dataclass(frozen=True, slots=True)
class PlatformToken:
    """Where the platform provides a token for DDM, and the instances for which the function may use it.

    ``source`` is `AGENCY` or the path of a file; an instance is ``project_id/instance_id`` or ``project_id/*``.
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
    """

    endpoint: str
    region: str | None
    timeout_seconds: float
    expected_checks: int | None
    max_wait_seconds: float
    platform_token: PlatformToken | None
    sink: str | None
    ca_bundle: str | None

    @property
    def needs_region(self) -> bool:
        return _REGION_PLACEHOLDER in self.endpoint

    def endpoint_for(self, region: str | None) -> str:
        """Return DDM's base URL in the region. The region may be None only if `needs_region` is false."""
        if region is None:
            return self.endpoint
        if self.endpoint == _DEFAULT_ENDPOINT and region in _OTHER_ENDPOINTS:
            return _OTHER_ENDPOINTS[region]
        return self.endpoint.replace(_REGION_PLACEHOLDER, region)

    def is_trusted(self, host: str) -> bool:
        endpoint = urlsplit(self.endpoint).hostname or ""
        _, has_region, rest = endpoint.rpartition(f"{_REGION_PLACEHOLDER}.")
        own_domain = rest if has_region else rest.partition(".")[2]
        domains = ("myhuaweicloud.com", "myhuaweicloud.eu", "huaweicloud.com", own_domain)
        return host == endpoint or any(
            host.endswith(f".{domain}")
            for domain in domains
            if "." in domain and not domain.rpartition(".")[2].isdigit()
        )


def from_environment(environment: Mapping[str, str]) -> Settings:
    """Read the settings. An empty variable counts as unset. Raises SettingsError for the first invalid value."""
    return Settings(
        endpoint=_endpoint(environment.get("DDM_ENDPOINT") or _DEFAULT_ENDPOINT),
        region=_region(environment.get("DDM_REGION")),
        timeout_seconds=_timeout_seconds(environment.get("DDM_TIMEOUT_SECONDS") or "10"),
        expected_checks=_expected_checks(environment.get("DDM_EXPECTED_CHECKS")),
        max_wait_seconds=_seconds("DDM_MAX_WAIT_SECONDS", environment.get("DDM_MAX_WAIT_SECONDS") or "40"),
        platform_token=_platform_token(environment),
        sink=_sink(environment.get("K_SINK")),
        ca_bundle=_ca_bundle(environment),
    )


def parse_endpoint(variable: str, value: str) -> str:
    """Return a base URL without its trailing slash. Raises SettingsError if a token must not be sent there."""
    _check_url(variable, value.replace(_REGION_PLACEHOLDER, "region"))
    url = urlsplit(value)
    if url.scheme != "https" and not is_loopback(url.hostname or ""):
        raise SettingsError(f"{variable} must start with https:// (http:// is for loopback addresses only)")
    # The last label of the host must not depend on an event's region: otherwise a caller could choose any host.
    if _REGION_PLACEHOLDER in (url.hostname or "").rstrip(".").rpartition(".")[2]:
        raise SettingsError(f"{variable} may contain {_REGION_PLACEHOLDER}, but not in the last label of the host")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_availability_zone(region: str) -> bool:
    return _AVAILABILITY_ZONE.fullmatch(region) is not None


def _check_url(variable: str, value: str) -> None:
    match = _URL.fullmatch(value)
    if not match or not 0 < int(match[2] or 443) < 65536:
        raise SettingsError(f"{variable} must be an http or https URL with a host, without user, query or fragment")


def _endpoint(value: str) -> str:
    endpoint = parse_endpoint("DDM_ENDPOINT", value)
    if endpoint.endswith("/v3"):
        raise SettingsError("DDM_ENDPOINT must not end in /v3, which the function adds")
    return endpoint


def _sink(value: str | None) -> str | None:
    if not value:
        return None
    _check_url("K_SINK", value)
    return value


def _ca_bundle(environment: Mapping[str, str]) -> str | None:
    """Return the CA bundle of the first set variable, in the order in which requests reads the variables."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if value := environment.get(variable):
            name = "capath" if Path(value).is_dir() else "cafile"
            try:
                ssl.create_default_context().load_verify_locations(**{name: value})
            except OSError:  # including ssl.SSLError
                raise SettingsError(f"{variable} must be a folder or a file with PEM certificates") from None
            return value
    return None


def _region(value: str | None) -> str | None:
    if not value:
        return None
    if len(value) > _MAX_REGION_LENGTH or not _REGION.fullmatch(value) or is_availability_zone(value):
        raise SettingsError("DDM_REGION must be a region such as cn-north-4, not an availability zone")
    return value


def _timeout_seconds(value: str) -> float:
    seconds = _seconds("DDM_TIMEOUT_SECONDS", value)
    if not seconds:
        raise SettingsError("DDM_TIMEOUT_SECONDS must be above 0")
    return seconds


def _seconds(variable: str, value: str) -> float:
    try:
        seconds = float(value) if re.fullmatch(r"[0-9.eE+-]+", value) else math.nan  # not 1_0
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _MAX_SECONDS:
        raise SettingsError(f"{variable} must be a number of seconds from 0 to {_MAX_SECONDS}")
    return seconds


def _expected_checks(value: str | None) -> int | None:
    if not value:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,2}|1000", value):
        raise SettingsError("DDM_EXPECTED_CHECKS must be a whole number from 1 to 1000")
    return int(value)


def _platform_token(environment: Mapping[str, str]) -> PlatformToken | None:
    source, allowed = environment.get("DDM_TOKEN_SOURCE"), environment.get("DDM_ALLOWED_INSTANCES")
    if not source and not allowed:
        return None
    if not allowed:
        raise SettingsError("DDM_TOKEN_SOURCE requires DDM_ALLOWED_INSTANCES, the instances for the token")
    if not source:
        raise SettingsError("DDM_ALLOWED_INSTANCES requires DDM_TOKEN_SOURCE, the source of the token")
    if source != AGENCY and not source.startswith("/"):
        raise SettingsError(f"DDM_TOKEN_SOURCE must be {AGENCY} or the absolute path of a file")
    instances = allowed.split(",")
    if not all(_INSTANCE.fullmatch(instance) for instance in instances):
        raise SettingsError(
            "DDM_ALLOWED_INSTANCES must be a list of project_id/instance_id or project_id/*,"
            " separated by commas without spaces"
        )
    return PlatformToken(source, frozenset(instances))
