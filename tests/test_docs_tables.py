"""The tables of the pages agree with the code and the JSON Schemas: no row is missing, and no row is unnecessary."""

import json
import re
from unittest import mock

from helpers.envelopes import binary_headers, send_structured
from helpers.function import EVENT, ROOT
from helpers.markdown import OPERATIONS, REFERENCE, SECURITY, TRIGGERS

from ddm_precheck.messages import MAX_BODY_BYTES
from ddm_precheck.problem import ProblemCode
from ddm_precheck.settings import from_environment

TYPES = {"array": "list", "null": "null"}
SINK_SECONDS = 5
OTHER_SECONDS = 5


def schema(name: str) -> dict:
    return json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text("utf-8"))


def type_in_words(field: dict) -> str:
    """Return the type of a field of a JSON Schema in the words of the pages."""
    types = field.get("type") or ("boolean" if "const" in field else "string")
    text = " or ".join(TYPES.get(each, each) for each in ([types] if isinstance(types, str) else types))
    items = field.get("items", {})
    return f"{text} of strings" if items.get("type") == "string" or "enum" in items else text


def fields_with_types(fields: dict) -> list[tuple[str, str]]:
    return [(name, type_in_words(field)) for name, field in fields.items()]


def rows_with_types(table: str) -> list[tuple[str, str]]:
    return [(name, kind) for cells, kind, *_ in REFERENCE.table(table) for name in re.findall(r"\w+", cells)]


def test_event():
    document = schema("event")
    assert rows_with_types("event") == fields_with_types(document["properties"])
    rows = REFERENCE.table("event")
    assert [name for name, _, required, *_ in rows if required == "yes"] == document["required"]
    for name, _, _, default, _ in rows:
        assert json.dumps(document["properties"][name].get("default", "")) in {default, '""'}


def test_responses():
    summary, problem = (fields_with_types(schema(name)["properties"]) for name in ("summary", "problem"))
    assert rows_with_types("summary") == summary
    assert rows_with_types("problem") == problem[5:]
    assert [name for name, _ in problem[:5]] == [name for name, _ in summary[:5]]
    assert rows_with_types("check") == fields_with_types(schema("summary")["$defs"]["check"]["properties"])


def test_problem_codes():
    codes = {code.value: (code.status, code.retryable) for code in ProblemCode}
    rows = REFERENCE.table("problem codes")
    assert {code: (int(status), retryable == "yes") for code, status, retryable, _ in rows} == codes


def test_verdicts(start):
    function = start()
    rows = {verdict: (can_proceed, retryable) for _, verdict, can_proceed, retryable in REFERENCE.table("verdicts")}
    assert list(rows) == ["FAIL", "PENDING", "WARN", "PASS"]
    for verdict, (can_proceed, retryable) in rows.items():
        body = function.send_event(verdict.lower(), expected_checks=1, proceed_on_warn=True).body
        assert body["verdict"] == verdict
        assert can_proceed.strip("`").startswith(json.dumps(body["can_proceed"]))
        assert json.dumps(body["retryable"]) == retryable


def test_variables():
    """The table of the variables has each variable that the function reads, with its default."""
    read: list[str] = []

    class RecordingEnvironment(dict):
        def get(self, name, default=None):
            read.append(name)
            return super().get(name, default)

    settings = from_environment(RecordingEnvironment())
    rows = {name: default for name, default, _ in REFERENCE.table("variables")}
    assert set(rows) == {name for name in read if not name.endswith("_CA_BUNDLE")}
    assert all(f"`{name}`" in REFERENCE.text for name in read)
    assert rows["DDM_ENDPOINT"] == settings.endpoint
    assert float(rows["DDM_TIMEOUT_SECONDS"]) == settings.timeout_seconds
    assert float(rows["DDM_MAX_WAIT_SECONDS"]) == settings.max_wait_seconds


def test_log(start):
    """The table of the log has each field that a log line can have, in order."""
    function = start()
    entries = [function.send_event("warn", accepted_warnings=["DB instance time zone"]).log_entry]
    with mock.patch("ddm_precheck.ddm.Client.fetch", side_effect=RuntimeError):
        entries.append(function.send_event().log_entry)
    assert OPERATIONS.names("log") == list(entries[0] | entries[1])


def test_headers(start):
    """The tables have each header that the code reads, and each that a response has besides those of every response."""
    code = "".join(path.read_text() for path in [ROOT / "main.py", *(ROOT / "ddm_precheck").glob("*.py")])
    read = set(re.findall(r"""(?:header|headers\.get)\("([a-z-]+)"\)""", code)) - {"content-type"}
    documented = tuple(name.lower().removesuffix("…") for name in REFERENCE.names("request headers"))
    assert [name for name in read if not name.startswith(documented)] == []
    function = start()
    responses = [
        function.send_event("pending"),
        function.send(b"", method="OPTIONS", headers={"WebHook-Request-Origin": "example.com"}),
        function.send_event("pass", headers=binary_headers()),
    ]
    names = {re.sub("^ce-.*", "ce-…", name.lower()) for response in responses for name in dict(response.headers)}
    documented = {name.lower() for name in REFERENCE.names("response headers")}
    assert names - {"content-type", "content-length"} == documented


def test_response_attributes(start):
    traceparent = f"00-{'1' * 32}-{'2' * 16}-01"
    response = send_structured(start(), data=EVENT, traceparent=traceparent)
    assert sorted(REFERENCE.names("response attributes")) == sorted(response.body.keys() - {"data"})


def test_waiting():
    """On each platform, the advised wait and the timeouts of DDM and of the sink fit into the platform's timeout."""
    for platform, time, advice, also_set in TRIGGERS.table("waiting"):
        seconds, advised = (int(re.search(r"\d+", text)[0]) for text in (time, advice))
        settings = from_environment(dict(re.findall(r"(DDM_\w+)=(\d+)", also_set)))
        assert advised <= settings.max_wait_seconds, platform
        others = SINK_SECONDS + OTHER_SECONDS if advised else 0
        assert advised + settings.timeout_seconds + others <= seconds, platform


def test_bounds():
    """SECURITY.md and the code have the same bounds. Other tests check the behaviour at each bound."""
    rows = {name: bound for name, bound, *_ in SECURITY.table("bounds")}
    assert rows["body of a request"] == f"{MAX_BODY_BYTES // 1024} KiB"
    checks = schema("precheck-result")["properties"]["pre_check_results"]["maxItems"]
    assert rows["checks"] == f"{checks:,} in each list"
    assert rows["time for one result"] == f"`DDM_TIMEOUT_SECONDS`, {from_environment({}).timeout_seconds:.0f} s"
    assert rows["waiting"] == f"`DDM_MAX_WAIT_SECONDS`, {from_environment({}).max_wait_seconds:.0f} s"
