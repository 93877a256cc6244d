"""Settings: the environment variables that the function reads at its start."""

import runpy
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from helpers.certificates import Authority
from helpers.function import ROOT
from huaweicloudsdkddm.v1.region.ddm_region import DdmRegion

import event_function
from ddm_precheck.settings import SettingsError, from_environment
from testing.function_server import clean_environment

NO_URL = "must be an http or https URL with a host, without user, query or fragment"
INVALID_VALUES: Final[dict[str, dict[str, list[str]]]] = {
    NO_URL: {
        "DDM_ENDPOINT": [
            *(
                "ftp://ddm.example.com",
                "ddm.example.com",
                "ddm",
                "https://",
                "https:///v3",
                "https://[::1",
            ),
            *("https://user:secret@ddm.example.com", "https://ddm.example.com?x=1", "https://ddm.example.com#x"),
            *("https://ddm.example.com\\@evil.example", "https://ddm.example.com:0", "https://ddm.example.com:65536"),
            *("https://ddm.example.com,other", "https://ddm example.com", "https://ddm.example.com\n"),
            *("https://ddm.ex\xe4mple.com", "https://ddm.{Region}.example.com", "https://ddm.{region.example.com"),
            "https://{x}",
        ],
        "K_SINK": ["broker", "ftp://broker", "http://user:secret@broker", "http://"],
    },
    "must start with https:// (http:// is for loopback addresses only)": {
        "DDM_ENDPOINT": [
            *("http://ddm.example.com", "http://127.0.0.1.example.com", "http://localhost.example.com"),
            *("http://10.0.0.1", "http://{region}"),
        ],
    },
    "may contain {region}, but not in the last label of the host": {
        "DDM_ENDPOINT": ["https://{region}", "https://ddm.{region}", "https://ddm.{region}.", "https://{region}:443/x"],
    },
    "must not end in /v3, which the function adds": {
        "DDM_ENDPOINT": ["https://ddm.{region}.example.com/v3", "https://ddm.example.com/v3/"],
    },
    "must be a region such as cn-north-4, not an availability zone": {
        "DDM_REGION": ["CN-NORTH-4", "cn--north", "evil.example/", "cn-north-4\n", "cn-north-4a", "?", "a" * 33],
    },
    "must be above 0": {"DDM_TIMEOUT_SECONDS": ["0", "0.0", "-0"]},
    "must be a number of seconds from 0 to 3600": {
        "DDM_TIMEOUT_SECONDS": ["-1", "ten", "nan", "inf", "3601", "1_0", "\uff11\uff10", "1e+"],
        "DDM_MAX_WAIT_SECONDS": ["-1", "ten", "nan", "3600.1", "1e400", " 1"],
    },
    "must be a whole number from 1 to 1000": {
        "DDM_EXPECTED_CHECKS": ["0", "-1", "1001", "ten", "2.0", "1e2", "01", " 2", "2\n", "\u0662", "true"],
    },
    "must be a folder or a file with PEM certificates": {
        "REQUESTS_CA_BUNDLE": ["/missing/ca.pem", str(ROOT / "README.md")],
        "CURL_CA_BUNDLE": ["/missing/ca.pem"],
    },
}
"""By the message, which does not quote the value: it may be a password."""


@pytest.mark.parametrize(
    ("rule", "name", "value"),
    [
        (rule, name, value)
        for rule, variables in INVALID_VALUES.items()
        for name, values in variables.items()
        for value in values
    ],
)
def test_invalid_value(rule, name, value):
    with pytest.raises(SettingsError) as caught:
        from_environment({name: value})
    assert str(caught.value) == f"{name} {rule}"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DDM_ENDPOINT", "https://ddm.example.com"),
        ("DDM_ENDPOINT", "https://ddm.example.com:8443/gateway/"),
        ("DDM_ENDPOINT", "https://ddm-{region}.internal"),
        ("DDM_ENDPOINT", "https://ddm.{region}.example.com."),
        ("DDM_ENDPOINT", "https://DDM.EXAMPLE.COM/X"),
        ("DDM_ENDPOINT", "https://gateway.internal/{region}"),
        ("DDM_ENDPOINT", "https://gateway.internal/v3x"),
        ("DDM_ENDPOINT", "http://localhost:9999"),
        ("DDM_ENDPOINT", "http://127.1.2.3"),
        ("DDM_ENDPOINT", "http://[::1]:9999"),
        ("K_SINK", "http://broker-ingress.knative-eventing.svc.cluster.local/default/default"),
        ("DDM_REGION", "a" * 32),
        ("DDM_ENDPOINT", "https://ddm.example.com:1"),
        ("DDM_ENDPOINT", "https://ddm.example.com:65535"),
        ("DDM_TIMEOUT_SECONDS", "3600"),
        ("DDM_TIMEOUT_SECONDS", "0.001"),
        ("DDM_MAX_WAIT_SECONDS", "0"),
        ("DDM_EXPECTED_CHECKS", "1"),
        ("DDM_EXPECTED_CHECKS", "1000"),
    ],
    ids=str,
)
def test_valid_value(name, value):
    settings = from_environment({name: value})
    fields = {
        "DDM_ENDPOINT": settings.endpoint,
        "K_SINK": settings.sink,
        "DDM_REGION": settings.region,
        "DDM_TIMEOUT_SECONDS": settings.timeout_seconds,
        "DDM_MAX_WAIT_SECONDS": settings.max_wait_seconds,
        "DDM_EXPECTED_CHECKS": settings.expected_checks,
    }
    assert str(fields[name]).removesuffix(".0") == value.rstrip("/")


def test_empty_variables_count_as_unset():
    names = ("DDM_ENDPOINT", "DDM_REGION", "DDM_TIMEOUT_SECONDS", "DDM_EXPECTED_CHECKS", "DDM_MAX_WAIT_SECONDS")
    empty = dict.fromkeys((*names, "K_SINK", "DDM_TOKEN_SOURCE", "DDM_ALLOWED_INSTANCES", "REQUESTS_CA_BUNDLE"), "")
    settings = from_environment(empty)
    assert settings == from_environment({})
    assert settings.timeout_seconds == 10
    assert settings.max_wait_seconds == 40
    assert settings.needs_region
    assert settings.sink is settings.region is settings.expected_checks is settings.ca_bundle is None


@pytest.mark.parametrize("region", DdmRegion.static_fields)
def test_default_endpoint_is_that_of_the_vendor_s_sdk(region):
    (endpoint,) = DdmRegion.value_of(region).endpoints
    assert from_environment({}).endpoint_for(region) == endpoint
    assert from_environment({"DDM_REGION": region}).region == region


def test_configured_endpoint_is_used_in_each_region():
    settings = from_environment({"DDM_ENDPOINT": "https://ddm.{region}.example.com"})
    assert settings.endpoint_for("eu-west-101") == "https://ddm.eu-west-101.example.com"


@pytest.mark.parametrize("value", ["10", "+10", "10.", "1e1", "1E+1", "100e-1"])
def test_notations_of_a_number_of_seconds(value):
    settings = from_environment({"DDM_TIMEOUT_SECONDS": value, "DDM_MAX_WAIT_SECONDS": value})
    assert settings.timeout_seconds == settings.max_wait_seconds == 10


def test_ca_bundle(tmp_path: Path, authority: Authority):
    """The second variable may be invalid: requests reads only the first one."""
    variables = {"REQUESTS_CA_BUNDLE": str(authority.bundle), "CURL_CA_BUNDLE": "/missing"}
    assert from_environment(variables).ca_bundle == str(authority.bundle)
    assert from_environment({"CURL_CA_BUNDLE": str(tmp_path)}).ca_bundle == str(tmp_path)


@pytest.mark.parametrize("variables", [{"DDM_TIMEOUT_SECONDS": "ten"}, {"DDM_TOKEN_SOURCE": "/run/secrets/ddm-token"}])
@pytest.mark.no_mutation
def test_invalid_setting_stops_the_served_function_with_one_line(variables):
    command = [sys.executable, "-m", "functions_framework", "--target", "precheck"]
    environment = clean_environment() | variables
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"ddm-precheck cannot start: {next(iter(variables))} ")


def test_invalid_setting_stops_the_start(start):
    with pytest.raises(SystemExit, match="ddm-precheck cannot start: DDM_REGION must be"):
        start(DDM_REGION="?")


def test_vendored_libraries_come_first(monkeypatch):
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    runpy.run_path(str(ROOT / "event_function.py"))
    assert sys.path[0] == str(ROOT / "lib")


@pytest.mark.parametrize("name", ["requests", "urllib3", "jsonschema"])
def test_library_of_the_runtime_stops_the_start(monkeypatch, name):
    monkeypatch.setattr(Path, "is_dir", lambda _: True)
    vendored = SimpleNamespace(__file__=str(ROOT / "lib" / "x.py"))
    for library in ("requests", "urllib3", "jsonschema"):
        monkeypatch.setitem(sys.modules, library, vendored)
    event_function._check_libraries()
    monkeypatch.setitem(sys.modules, name, SimpleNamespace(__file__="/runtime/x.py"))
    with pytest.raises(event_function.StartError) as raised:
        event_function._check_libraries()
    advice = "of the runtime was imported before the function; remove its dependencies and layers"
    assert str(raised.value) == f"ddm-precheck cannot start: {name} {advice}"
    monkeypatch.delitem(sys.modules, name)
    event_function._check_libraries()
