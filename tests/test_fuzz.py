"""A short run of the fuzzer, and tests of the fuzzer."""

import ast
import json
from dataclasses import replace
from itertools import chain

import pytest

from tools.function_server import ROOT
from tools.fuzz.cases import SETTINGS, random_case
from tools.fuzz.comparison import Response, differences
from tools.fuzz.events import TOKEN
from tools.fuzz.model import Case, DDMResponse
from tools.fuzz.oracle import expect
from tools.fuzz.runner import run

EVENT = {"project_id": "p", "instance_id": "i", "db_name": "orders", "job_id": "j", "token": TOKEN}
RESULT = {"job_id": "j", "pre_check_results": [{"name": "Time zone", "status": "WARN"}]}
CASE = Case(
    SETTINGS[0], "POST", {"Content-Type": "application/json"}, json.dumps(EVENT).encode(), DDMResponse(200, b"")
)
URL = "/v3/p/instances/i/databases/orders/migration/precheck/j"


def expected_fields(event: dict, result: dict) -> dict:
    """Return the fields that the oracle expects for the event and the result."""
    case = replace(CASE, body=json.dumps(EVENT | event).encode(), ddm=DDMResponse(200, json.dumps(result).encode()))
    return dict(expect(case).fields)


def test_short_run():
    """The function's responses to a few hundred random cases are as the oracle expects, and there are many outcomes."""
    findings = run(0, range(600))
    assert findings.differences == {}
    assert len(findings.outcomes) >= 15


def test_oracle_is_independent():
    """No module of the fuzzer imports the function's code."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "tools" / "fuzz").glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = [[node.module or ""] for node in nodes if isinstance(node, ast.ImportFrom)]
    imported += [[alias.name for alias in node.names] for node in nodes if isinstance(node, ast.Import)]
    names = {name.partition(".")[0] for name in chain(*imported)}
    assert "tools" in names
    assert not names & {"ddm_precheck", "main", "deploy"}


def test_same_seed_same_case():
    """The same seed gives the same case. Another seed gives another case."""
    assert random_case("0:1") == random_case("0:1")
    assert random_case("0:1") != random_case("0:2")


@pytest.mark.parametrize(
    ("event", "result", "fields"),
    [
        ({}, {}, {"verdict": "WARN", "can_proceed": False}),
        ({"proceed_on_warn": True}, {}, {"verdict": "WARN", "can_proceed": True}),
        ({"accepted_warnings": ["Time zone"]}, {}, {"verdict": "WARN", "can_proceed": True}),
        ({"accepted_warnings": ["time zone"]}, {}, {"verdict": "WARN", "can_proceed": False}),
        ({"expected_checks": 2}, {}, {"verdict": "PENDING", "retryable": True, "retry_after_seconds": 10}),
        ({}, {"pre_check_results": None}, {"verdict": "PENDING", "can_proceed": False}),
        ({}, {"job_id": "other"}, {"code": "upstream-contract", "retryable": False}),
        ({}, {"errorMsg": "Aborted."}, {"code": "upstream-contract"}),
        ({"db_name": "a"}, {}, {"code": "invalid-event"}),
    ],
    ids=[
        *("warn", "proceed on warn", "accepted", "other case", "too few", "null list"),
        *("another job", "contradiction", "short name"),
    ],
)
def test_oracle(event, result, fields):
    """The oracle returns the documented outcome of each of these cases."""
    expected = expected_fields(event, RESULT | result)
    assert {name: expected[name] for name in fields} == fields


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"verdict": "PASS"}, "verdict is 'PASS' instead of 'WARN'"),
        ({"can_proceed": True}, "can_proceed is True instead of False"),
        ({"message": "1 of 1 checks warned"}, "the message contradicts expected_checks"),
        ({"message": "incomplete\n"}, None),
        ({"message": "in\ncomplete incomplete"}, "the message is not one line"),
        ({"report": "WARN: x\n- a\n- b"}, "the report lists 2 of 1 issues"),
        ({"report": "x" * 2001}, "the report has 2001 bytes"),
        ({"checked_at": "yesterday"}, "checked_at is not a timestamp"),
        ({"extra": 1}, "fields is "),
        ({"region": TOKEN}, "the token is in the response or in the log"),
        ({"retry_after_seconds": 10}, "Retry-After is None instead of '10'"),
    ],
    ids=[
        *("verdict", "can_proceed", "no note", "line break at the end", "two lines", "more issues", "long report"),
        *("time", "field", "token", "header"),
    ],
)
def test_difference_is_found(changes, difference):
    """A response that differs from the expected one in one field is reported."""
    case = replace(CASE, ddm=DDMResponse(200, json.dumps(RESULT).encode()))
    expected = expect(case)
    body = {name: expected.fields[name] for name in ("verdict", "can_proceed", "retryable", "retry_after_seconds")}
    body |= {"message": "incomplete"} | {name: value for name, value in expected.fields.items() if name not in body}
    body |= {"report": "WARN: incomplete\n- WARN Time zone", "checked_at": "2026-11-23T08:00:00Z"} | changes
    log = json.dumps({"verdict": body["verdict"], "code": None, "http_status": 200})
    response = Response(200, {"Content-Type": "application/json"}, json.dumps(body), [log])
    found = list(differences(case, expected, response, [(URL, TOKEN)]))
    assert found == [] if difference is None else any(text.startswith(difference) for text in found)


def test_other_request_to_ddm_is_found():
    """A request to DDM that the oracle does not expect is reported."""
    case = replace(CASE, body=b"{}")
    expected = expect(case)
    body = {"verdict": "ERROR", "errors": []}
    response = Response(400, {}, json.dumps(body), [])
    assert next(differences(case, expected, response, [(URL, TOKEN)])).startswith("requests to DDM is [(")
