"""The start: if a proxy or a CA bundle is invalid, the function does not start, because each request would fail."""

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.certificates import Authority
from helpers.function import ROOT

from ddm_precheck.settings import SettingsError, from_environment
from testing.function_server import clean_environment

SECRET = "proxypassword"
INVALID_PROXIES = [
    *(
        "http://:@:",
        "http://",
        "http:",
        "://",
        "//",
        ":",
        ":3128",
        "http://:3128",
        "http://proxy:0",
        "http://proxy:65536",
    ),
    *(
        "http://proxy:x",
        "http://[::1",
        "http://pro xy",
        "http:proxy",
        "http://proxy\n",
        "ftp://proxy",
        "socks5://proxy:1080",
    ),
    *(f"http://user:{SECRET}@", f"user:{SECRET}@:3128", "http://pröxy", "http://@", "http://user@:1"),
]
VALID_PROXIES = [
    *("http://proxy:3128", "https://proxy", "http://[::1]:3128", f"http://user:{SECRET}@proxy:3128"),
    *("HTTP://PROXY:3128", "http://proxy/", "10.0.0.1:8080", "proxy"),
]
PROXY_VARIABLES = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]


@pytest.mark.parametrize("value", INVALID_PROXIES, ids=ascii)
@pytest.mark.parametrize("variable", PROXY_VARIABLES)
def test_invalid_proxy(variable, value):
    """A proxy must be a URL with a host. The message names the variable and does not quote the value."""
    with pytest.raises(SettingsError) as caught:
        from_environment({variable: value})
    assert str(caught.value) == f"{variable} must be the http or https URL of a proxy, such as http://proxy:3128"


@pytest.mark.parametrize("value", ["", *VALID_PROXIES], ids=ascii)
@pytest.mark.parametrize("variable", PROXY_VARIABLES)
def test_valid_proxy(variable, value):
    """A proxy with a host is accepted, in each form that the library requests accepts."""
    assert from_environment({variable: value})


def ca_file(folder: Path, name: str) -> str:
    """Create the file with this name, unless it is "missing file", and return its path."""
    path = folder / name
    if name == "empty file":
        path.touch()
    elif name == "text":
        path.write_text("not a certificate")
    elif name == "half a certificate":
        Authority(folder)
        path.write_bytes((folder / "Test CA.pem").read_bytes()[:200])
    elif name == "key":
        Authority(folder).context()
        (file,) = folder.glob("localhost-*")
        path.write_text("-----BEGIN PRIVATE KEY" + file.read_text().partition("-----BEGIN PRIVATE KEY")[2])
    return str(path)


@pytest.mark.parametrize("name", ["missing file", "empty file", "text", "half a certificate", "key"])
@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_invalid_ca_bundle(tmp_path, variable, name):
    """A CA bundle must have a certificate. The message names the variable and does not quote the path."""
    with pytest.raises(SettingsError) as caught:
        from_environment({variable: ca_file(tmp_path, name)})
    assert str(caught.value) == f"{variable} must be a file or folder with CA certificates in PEM format"


def test_valid_ca_bundle(tmp_path, authority: Authority):
    """A file with a certificate is accepted. The second variable may be invalid: requests reads only the first one."""
    variables = {"REQUESTS_CA_BUNDLE": str(authority.bundle), "CURL_CA_BUNDLE": "/missing"}
    assert from_environment(variables).ca_bundle == str(authority.bundle)


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("HTTPS_PROXY", "http://:@:", "the http or https URL of a proxy, such as http://proxy:3128"),
        ("REQUESTS_CA_BUNDLE", "/missing/ca.pem", "a file or folder with CA certificates in PEM format"),
    ],
)
def test_served_function_does_not_start(variable, value, rule):
    """The served function ends with status 1 and one line on stderr."""
    command = [sys.executable, "-m", "functions_framework", "--target", "precheck", "--port", "0"]
    environment = clean_environment() | {variable: value}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"ddm-precheck cannot start: {variable} must be {rule}\n"
