"""Settings: the environment variables that the function reads at its start."""

import os
import subprocess
import sys

import pytest
from helpers.function import EVENT, ROOT

from ddm_precheck.settings import SettingsError, from_environment
from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment

INVALID_VALUES = {
    "DDM_ENDPOINT": [
        "http://ddm.example.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "ftp://ddm.example.com",
        "ddm.example.com",
        "https://",
        "https:///v3",
        "https://user:secret@ddm.example.com",
        "https://ddm.example.com?x=1",
        "https://ddm.example.com#x",
        "https://ddm.example.com\\@evil.example",
        "https://ddm.example.com:99999",
        "https://ddm.example.com:0",
        "https://ddm.example.com,other",
        "https://ddm example.com",
        "https://[::1",
        "https://ddm.example.com\n",
        "https://ddm.ex\xe4mple.com",
        "https://{region}",
        "https://ddm.{region}",
        "https://ddm.{region}.",
        "https://ddm.{Region}.example.com",
        "https://ddm.{region.example.com",
    ],
    "DDM_REGION": [
        "CN-NORTH-4",
        "cn--north",
        "evil.example/",
        "cn-north-4\n",
        "a" * 33,
    ],
    "DDM_TIMEOUT_SECONDS": [
        "0",
        "-1",
        "ten",
        "nan",
        "inf",
        "3601",
        "1_0",
        "\uff11\uff10",
        "1e+",
    ],
    "K_SINK": [
        "broker",
        "ftp://broker",
        "http://user:secret@broker",
        "http://",
    ],
    "THREADS": [
        "0",
        "many",
        "-1",
        "",
    ],
}


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in INVALID_VALUES.items() for value in values],
    ids=[f"{name}={value!a}" for name, values in INVALID_VALUES.items() for value in values],
)
def test_invalid_value(name, value):
    """The error of an invalid value names the variable. It does not quote the value, because it may be a password."""
    with pytest.raises(SettingsError, match=f"^{name} (must|may) ") as caught:
        from_environment({name: value})
    assert len(value) < 3 or value not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DDM_ENDPOINT", "https://ddm.example.com"),
        ("DDM_ENDPOINT", "https://ddm.example.com:8443/gateway/"),
        ("DDM_ENDPOINT", "https://ddm-{region}.internal"),
        ("DDM_ENDPOINT", "https://ddm.{region}.example.com."),
        ("DDM_ENDPOINT", "https://DDM.EXAMPLE.COM/X"),
        ("DDM_ENDPOINT", "https://gateway.internal/{region}"),
        ("DDM_ENDPOINT", "http://localhost:9999"),
        ("DDM_ENDPOINT", "http://127.1.2.3"),
        ("DDM_ENDPOINT", "http://[::1]:9999"),
        ("DDM_TIMEOUT_SECONDS", "0.5"),
        ("DDM_TIMEOUT_SECONDS", "3600"),
        ("K_SINK", "http://broker-ingress.knative-eventing.svc.cluster.local/default/default"),
    ],
    ids="{}".format,
)
def test_valid_value(name, value):
    """A valid value is accepted. A slash at its end is removed."""
    settings = from_environment({name: value})
    fields = {
        "DDM_ENDPOINT": settings.endpoint,
        "DDM_TIMEOUT_SECONDS": str(settings.timeout_seconds),
        "K_SINK": settings.sink,
    }
    assert fields[name] in {value.rstrip("/"), f"{value}.0"}


def test_defaults():
    """Without variables, the endpoint is Huawei Cloud's endpoint for the region of the event."""
    settings = from_environment({"DDM_REGION": "", "K_SINK": "", "DDM_ENDPOINT": ""})
    assert (settings.region, settings.timeout_seconds, settings.sink, settings.needs_region) == (None, 10, None, True)
    assert settings.endpoint_in("cn-north-4") == "https://ddm.cn-north-4.myhuaweicloud.com"


def test_threads():
    """`THREADS` is the number of threads of the server."""
    assert from_environment({"THREADS": "64"}).threads == 64


@pytest.mark.parametrize(("cores", "threads"), [(1, 4), (3, 12), (None, 4)])
def test_default_number_of_threads(monkeypatch, cores, threads):
    """Without `THREADS` there are four threads for each core, as in functions-framework."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert from_environment({}).threads == threads


def test_region_of_max_length():
    """`DDM_REGION` may have 32 characters, like the region of an event."""
    assert from_environment({"DDM_REGION": "a" * 32}).region == "a" * 32


@pytest.mark.parametrize("value", ["10", "+10", "10.", "1e1", "1E+1", "100e-1"])
def test_notations_of_the_timeout(value):
    """`DDM_TIMEOUT_SECONDS` may have each notation of a decimal number."""
    assert from_environment({"DDM_TIMEOUT_SECONDS": value}).timeout_seconds == 10


def test_invalid_value_stops_the_served_function(tmp_path):
    """If a value is invalid, the process exits with status 1 and one line that names the variable."""
    command = [sys.executable, "-m", "functions_framework", "--target", "precheck"]
    environment = clean_environment() | {"DDM_TIMEOUT_SECONDS": "ten"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "ddm-precheck cannot start: DDM_TIMEOUT_SECONDS must be a number of seconds above 0 and at most 3600\n"
    )


def test_invalid_value_stops_the_start_in_process(start):
    """If a value is invalid, the start raises SystemExit: in this process, where coverage measures it."""
    with pytest.raises(SystemExit, match="ddm-precheck cannot start: DDM_REGION must be"):
        start(DDM_REGION="?")


def test_endpoint_with_a_path(start, fake_ddm: FakeDDM):
    """If `DDM_ENDPOINT` ends with a slash, the URL of the request does not have two slashes."""
    function = start(DDM_ENDPOINT=f"{fake_ddm.url}/")
    assert function.send(EVENT).summary["verdict"] == "PASS"
