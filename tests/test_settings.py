"""The environment: section 1 of the contract."""

import os
import subprocess
import sys

import pytest
from helpers.function import EVENT, ROOT, clean_environment

from ddm_precheck.settings import SettingsError, from_environment
from deploy.fake_ddm import FakeDDM

BAD = [
    ("DDM_ENDPOINT", "http://ddm.example.com"),
    ("DDM_ENDPOINT", "http://127.0.0.1.example.com"),
    ("DDM_ENDPOINT", "http://localhost.example.com"),
    ("DDM_ENDPOINT", "http://10.0.0.1"),
    ("DDM_ENDPOINT", "ftp://ddm.example.com"),
    ("DDM_ENDPOINT", "ddm.example.com"),
    ("DDM_ENDPOINT", "https://"),
    ("DDM_ENDPOINT", "https:///v3"),
    ("DDM_ENDPOINT", "https://user:secret@ddm.example.com"),
    ("DDM_ENDPOINT", "https://ddm.example.com?x=1"),
    ("DDM_ENDPOINT", "https://ddm.example.com#x"),
    ("DDM_ENDPOINT", "https://ddm.example.com\\@evil.example"),
    ("DDM_ENDPOINT", "https://ddm.example.com:99999"),
    ("DDM_ENDPOINT", "https://ddm.example.com:0"),
    ("DDM_ENDPOINT", "https://ddm example.com"),
    ("DDM_ENDPOINT", "https://[::1"),
    ("DDM_ENDPOINT", "https://ddm.example.com\n"),
    ("DDM_ENDPOINT", "https://ddm.ex\u00e4mple.com"),
    ("DDM_ENDPOINT", "https://{region}"),
    ("DDM_ENDPOINT", "https://ddm.{region}"),
    ("DDM_ENDPOINT", "https://ddm.{region}."),
    ("DDM_ENDPOINT", "https://ddm.{Region}.example.com"),
    ("DDM_ENDPOINT", "https://ddm.{region.example.com"),
    ("DDM_REGION", "CN-NORTH-4"),
    ("DDM_REGION", "cn--north"),
    ("DDM_REGION", "evil.example/"),
    ("DDM_REGION", "cn-north-4\n"),
    ("DDM_REGION", "a" * 33),
    ("DDM_TIMEOUT_SECONDS", "0"),
    ("DDM_TIMEOUT_SECONDS", "-1"),
    ("DDM_TIMEOUT_SECONDS", "ten"),
    ("DDM_TIMEOUT_SECONDS", "nan"),
    ("DDM_TIMEOUT_SECONDS", "inf"),
    ("DDM_TIMEOUT_SECONDS", "3601"),
    ("DDM_TIMEOUT_SECONDS", "1_0"),
    ("DDM_TIMEOUT_SECONDS", "\uff11\uff10"),
    ("DDM_TIMEOUT_SECONDS", "1e+"),
    ("K_SINK", "broker"),
    ("K_SINK", "ftp://broker"),
    ("K_SINK", "http://user:secret@broker"),
    ("K_SINK", "http://"),
    ("THREADS", "0"),
    ("THREADS", "many"),
    ("THREADS", "-1"),
    ("THREADS", ""),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_value(name, value):
    """A bad value is refused by the variable's name and is not quoted: it may hold a password."""
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
)
def test_good_value(name, value):
    """What a deployment may need is taken."""
    settings = from_environment({name: value})
    fields = {"DDM_ENDPOINT": settings.endpoint, "DDM_TIMEOUT_SECONDS": str(settings.timeout), "K_SINK": settings.sink}
    assert fields[name] in {value.rstrip("/"), f"{value}.0"}


def test_defaults():
    """Without any variable, the function asks Huawei Cloud in the event's region."""
    settings = from_environment({"DDM_REGION": "", "K_SINK": "", "DDM_ENDPOINT": ""})
    assert (settings.region, settings.timeout, settings.sink, settings.needs_region) == (None, 10, None, True)
    assert settings.endpoint_in("cn-north-4") == "https://ddm.cn-north-4.myhuaweicloud.com"


def test_threads():
    """The pool holds a connection for each thread of the server."""
    assert from_environment({"THREADS": "64"}).threads == 64


@pytest.mark.parametrize(("cores", "threads"), [(1, 4), (3, 12), (None, 4)])
def test_threads_by_default(monkeypatch, cores, threads):
    """Without THREADS there are four a core, as functions-framework has it."""
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert from_environment({}).threads == threads


def test_longest_region():
    """A region may be as long in the environment as in an event."""
    assert from_environment({"DDM_REGION": "a" * 32}).region == "a" * 32


@pytest.mark.parametrize("value", ["10", "+10", "10.", "1e1", "1E+1", "100e-1"])
def test_spellings_of_the_timeout(value):
    """A number of seconds may be spelled as numbers are."""
    assert from_environment({"DDM_TIMEOUT_SECONDS": value}).timeout == 10


def test_bad_value_stops_what_is_served(tmp_path):
    """The start ends with one line that names the variable."""
    command = [sys.executable, "-m", "functions_framework", "--target", "precheck"]
    environment = clean_environment() | {"DDM_TIMEOUT_SECONDS": "ten"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "ddm-precheck cannot start: DDM_TIMEOUT_SECONDS must be a number of seconds above 0 and at most 3600\n"
    )


def test_bad_value_stops_the_start_in_process(start):
    """The same, where coverage sees it."""
    with pytest.raises(SystemExit, match="ddm-precheck cannot start: DDM_REGION must be"):
        start(DDM_REGION="?")


def test_endpoint_with_a_path(start, fake_ddm: FakeDDM):
    """A base URL may have a path; a closing slash does not double."""
    function = start(DDM_ENDPOINT=f"{fake_ddm.url}/")
    assert function.send(EVENT).summary["verdict"] == "PASS"
