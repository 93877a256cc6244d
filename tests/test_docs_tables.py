"""The tables of the pages agree with the code and the JSON Schemas: no row is missing, and no row is unnecessary."""

import dataclasses
import json
import re
import subprocess
from unittest import mock

import pytest
from helpers.envelopes import binary_headers, send_structured
from helpers.function import EVENT, ROOT
from helpers.markdown import DEPLOYING, OPERATIONS, README, README_CN, REFERENCE, SECURITY, TRIGGERS

from ddm_precheck import cloudevents, connection, ddm, envelope, log, report, sink, transport
from ddm_precheck.event import Event
from ddm_precheck.problem import ProblemCode
from ddm_precheck.settings import from_environment

TYPES = {"array": "list", "null": "null"}


def schema(name: str) -> dict:
    """Return the JSON Schema with this name."""
    return json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8"))


def type_text(field: dict) -> str:
    """Return the type of a field of a JSON Schema in the words of the pages."""
    types = field.get("type") or ("boolean" if "const" in field else "string")
    text = " or ".join(TYPES.get(each, each) for each in ([types] if isinstance(types, str) else types))
    return f"{text} of strings" if field.get("items", {}).get("type") == "string" else text


def test_event():
    """The table of the event has each field, with its type and whether it is required."""
    document = schema("event")
    rows = [(name, kind, required) for name, kind, required, *_ in REFERENCE.table("event")]
    assert rows == [
        (name, type_text(field), "yes" if name in document["required"] else "no")
        for name, field in document["properties"].items()
    ]
    assert {name for name, *_ in rows} == {field.name for field in dataclasses.fields(Event)} - {"token_from"}
    for name, _, _, default, _ in REFERENCE.table("event"):
        expected = document["properties"][name].get("default", "")
        assert json.dumps(expected) == default or expected == ""


@pytest.mark.parametrize("name", ["summary", "problem"])
def test_responses(name):
    """The tables of the summary and the problem have each field, in order, with its type."""
    rows = [(field, kind) for field, kind, _ in REFERENCE.table(name)]
    assert rows == [(field, type_text(value)) for field, value in schema(name)["properties"].items()]


def test_checks():
    """The table of a check has each field, in order, with its type."""
    rows = [(field, kind) for field, kind, _ in REFERENCE.table("check")]
    check = schema("summary")["$defs"]["check"]
    assert rows == [(field, type_text(value)) for field, value in check["properties"].items()]


def test_problem_codes():
    """The tables of the problem codes have each code with its status and whether it is retryable."""
    codes = {code.value: (code.status, code.retryable) for code in ProblemCode}
    for page, yes in [(REFERENCE, "yes"), (README_CN, "是")]:
        rows = page.table("problem codes")
        assert {code: (int(status), retryable == yes) for code, status, retryable, _ in rows} == codes


def test_event_in_chinese():
    """The Chinese table of the event has each field and whether it is required."""
    document = schema("event")
    rows = {name: required == "是" for name, required, _ in README_CN.table("event")}
    assert rows == {name: name in document["required"] for name in document["properties"]}


@pytest.mark.parametrize("page", [README, README_CN], ids=["README", "README_CN"])
def test_verdicts(start, page):
    """The table of the verdicts agrees with the responses of the function."""
    function = start()
    rows = {row[0]: row[2:] for row in page.table("verdicts")}
    assert list(rows) == ["FAIL", "PENDING", "WARN", "PASS", "ERROR"]
    for verdict, (can_proceed, retryable) in rows.items():
        behaviour = {"ERROR": "unauthorized"}.get(verdict, verdict.lower())
        body = function.send_event(behaviour, expected_checks=1).body
        assert body["verdict"] == verdict
        if verdict != "WARN":
            assert json.dumps(body["can_proceed"]) == can_proceed
        if verdict != "ERROR":
            assert json.dumps(body["retryable"]) == retryable
    accepted = function.send_event("warn", accepted_warnings=["DB instance time zone"]).body
    assert (accepted["verdict"], accepted["can_proceed"]) == ("WARN", True)


def test_variables():
    """The table of the variables has each variable that the function reads, with its default."""
    read: list[str] = []

    class RecordingEnvironment(dict):
        def get(self, name, default=None):
            read.append(name)
            return super().get(name, default)

    settings = from_environment(RecordingEnvironment())
    rows = {name: default for name, default, _ in REFERENCE.table("variables")}
    of_requests = {name for name in read if re.search("(?i)_proxy$|_CA_BUNDLE$", name)}
    assert set(rows) == set(read) - of_requests
    assert all(f"`{name.upper()}`" in REFERENCE.text for name in of_requests)
    assert rows["DDM_ENDPOINT"] == settings.endpoint
    assert float(rows["DDM_TIMEOUT_SECONDS"]) == settings.timeout_seconds
    assert float(rows["DDM_MAX_WAIT_SECONDS"]) == settings.max_wait_seconds


def test_log(start):
    """The table of the log has each field that a log entry can have, in order."""
    function = start()
    entries = [function.send_event("warn", accepted_warnings=["DB instance time zone"]).log_entry]
    with mock.patch("ddm_precheck.ddm.DDMClient.fetch", side_effect=RuntimeError):
        entries.append(function.send_event().log_entry)
    assert [name for name, _ in OPERATIONS.table("log")] == list(entries[0] | entries[1])


def test_log_line_of_the_operations_page(start):
    """The sample log line has the values of a real log line, except the times and the request ID."""
    real = start(DDM_REGION=None).send(README.json("event")).log_entry
    sample = OPERATIONS.json("event of a log line: README.md event")
    for entry in (real, sample):
        for name in ("elapsed_ms", "request_id"):
            assert entry["upstream"].pop(name)
        assert isinstance(entry.pop("duration_ms"), int)
    assert (list(real), real) == (list(sample), sample)


def test_response_headers(start):
    """The table of the response headers has each header that is set, except Content-Type and Content-Length."""
    function = start()
    responses = [
        function.send_event("pending"),
        function.send(b"", method="OPTIONS"),
        function.send_event("pass", headers=binary_headers()),
    ]
    names = {re.sub("^ce-.*", "ce-…", name.lower()) for response in responses for name in dict(response.headers)}
    documented = {name.lower() for name, _ in REFERENCE.table("response headers")}
    assert names - {"content-type", "content-length"} == documented


def test_request_headers():
    """The table of the request headers has each header that the code reads."""
    code = "".join(path.read_text() for path in [ROOT / "main.py", *(ROOT / "ddm_precheck").glob("*.py")])
    for name, _ in REFERENCE.table("request headers"):
        assert name.removesuffix("…") in code or name == "Accept"
    read = set(re.findall(r"""headers\.get\("([\w-]+)""", code)) | set(re.findall('"(X-C[\\w-]+)"', code))
    of_ddm = {"X-Request-Id", "Retry-After", "Content-Encoding"}
    assert read - of_ddm <= {name for name, _ in REFERENCE.table("request headers")}


def test_response_attributes(start):
    """The table of a response's attributes has each attribute of a CloudEvent that the function sends."""
    traceparent = f"00-{'1' * 32}-{'2' * 16}-01"
    response = send_structured(start(), data=EVENT, traceparent=traceparent)
    documented = [name for name, _ in REFERENCE.table("response attributes")]
    assert sorted(documented) == sorted(response.body.keys() - {"data"})


def test_deploy_options():
    """The table of the options has each option of ``deploy.sh --help``, and no other."""
    run = subprocess.run([ROOT / "deploy.sh", "--help"], capture_output=True, text=True, check=True, timeout=30)
    options = set(re.findall(r"^ +(--[a-z-]+(?: [A-Z]+(?:=[A-Z]+)?)?) ", run.stdout, re.MULTILINE))
    assert {name for name, *_ in DEPLOYING.table("deploy options")} == options


def test_bounds():
    """SECURITY.md and the code have the same limits. Other tests check the behaviour at each limit."""
    rows = {name: figure for name, figure, _ in SECURITY.table("bounds")}
    kib = 1024
    assert rows["body of a request"] == f"{envelope._MAX_BYTES // kib} KiB"
    assert f"{envelope._MAX_DRAINED_BYTES // kib // kib} MiB" in SECURITY.text
    assert rows["token"] == f"{schema('event')['properties']['token']['maxLength']:,} characters"
    assert rows["ID of a CloudEvent"] == f"{cloudevents._MAX_ID_BYTES:,} bytes"
    checks = schema("precheck-result")["properties"]["pre_check_results"]["maxItems"]
    mib = ddm.MAX_BYTES // kib // kib
    assert rows["body of DDM's response"] == f"{mib} MiB after decompression, {checks:,} checks"
    assert rows["headers of DDM's response"] == f"{connection.MAX_HEAD_BYTES // kib} KiB, 99 headers"
    settings = from_environment({})
    assert rows["time for one result of DDM"] == f"`DDM_TIMEOUT_SECONDS`, {settings.timeout_seconds:.0f} s"
    assert rows["waiting"] == f"`DDM_MAX_WAIT_SECONDS`, {settings.max_wait_seconds:.0f} s"
    assert rows["time for the sink"] == f"{sink.TIMEOUT_SECONDS} s"
    assert rows["attempts for one result"] == str(ddm._MAX_ATTEMPTS)
    assert rows["connections to DDM"] == f"`THREADS` for each host, {transport._MAX_POOLS} hosts"
    assert rows["report"] == f"{report.MAX_BYTES:,} bytes"
    assert rows["log line"] == "4,096 bytes"
    assert log._MAX_MESSAGE_BYTES + log._MAX_NAMES_BYTES + log._MAX_EXCEPTION_BYTES < 4096 - 900  # the other fields


def test_waiting():
    """On each platform, the advised wait and the timeouts of DDM and of the sink fit into the platform's timeout."""
    settings = from_environment({})
    rows = [
        (platform, first_number(time), first_number(advice)) for platform, time, advice in TRIGGERS.table("waiting")
    ]
    assert {platform for platform, _, advised in rows if not advised} >= {"AWS EventBridge API destination"}
    for platform, seconds, advised in rows:
        assert advised <= settings.max_wait_seconds, platform
        assert not advised or advised + settings.timeout_seconds + sink.TIMEOUT_SECONDS <= seconds, platform


def first_number(text: str) -> int:
    """Return the first whole number in the text."""
    return int(re.search(r"\d+", text)[0])
