"""Validates the URLs in the settings."""

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

# The characters of host names, IP addresses and {region}. urlsplit also accepts other characters, such as commas.
_HOST_PATTERN: Final = re.compile(r"[a-z0-9._:{}-]+")


def split_http_url(value: str) -> SplitResult | None:
    """Return the parts of an http or https URL with a host, or None for any other text."""
    try:
        url = urlsplit(value)
        usable = url.scheme in {"http", "https"} and url.port != 0
    except ValueError:  # an invalid port or IPv6 address
        return None
    has_host = _HOST_PATTERN.fullmatch(url.hostname or "") is not None
    return url if usable and has_host and re.fullmatch(r"[!-~]+", value) else None


def is_loopback(host: str) -> bool:
    """Return whether the host is a loopback address or ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
