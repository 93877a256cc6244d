"""Accepted warnings: an event names the checks whose warnings do not prevent the shard change."""

import pytest
from helpers.envelopes import ATTRIBUTES, STRUCTURED_HEADERS, binary_headers, push_body
from helpers.function import EVENT, TOKEN, Function, character_id
from helpers.sink import Sink

from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM

TIME_ZONE = "DB instance time zone"
CHINESE_NAME = "主键检查: 所有表都有主键"
RULES = [
    pytest.param([TIME_ZONE], True, 1, id="name"),
    pytest.param([TIME_ZONE, "Removed check"], True, 1, id="name and a name that no check has"),
    pytest.param(["Removed check"], False, 0, id="name that no check has"),
    pytest.param(["Primary keys"], False, 0, id="name of a successful check"),
    pytest.param([TIME_ZONE.lower()], False, 0, id="lower case"),
    pytest.param([f"{TIME_ZONE} "], False, 0, id="trailing space"),
    pytest.param([TIME_ZONE[:-1]], False, 0, id="prefix"),
    pytest.param([f"{TIME_ZONE}s"], False, 0, id="longer name"),
    pytest.param(["*"], False, 0, id="star"),
    pytest.param([".*"], False, 0, id="regular expression"),
]
LISTS = [
    pytest.param("W", "a", True, 1, id="one"),
    pytest.param("SWW", "bc", True, 2, id="all of two"),
    pytest.param("SWW", "b", False, 1, id="one of two"),
    pytest.param("SFW", "c", False, 1, id="warning beside a failed check"),
    pytest.param("SF", "b", False, 0, id="failed check"),
    pytest.param("FW", "ab", False, 1, id="failed check and warning"),
    pytest.param("SS", "ab", True, 0, id="successful checks"),
    pytest.param("", "a", False, 0, id="no checks"),
]
STATUSES = {"S": "SUCCESS", "W": "WARN", "F": "FAILED"}


@pytest.mark.parametrize(("accepted", "can_proceed", "number"), RULES)
def test_names_are_compared_exactly(function: Function, accepted, can_proceed, number):
    """If the event has the exact name of each warning, `can_proceed` is true. The verdict is still WARN."""
    summary = function.send_event("warn", accepted_warnings=accepted).summary
    assert (summary["verdict"], summary["can_proceed"]) == ("WARN", can_proceed)
    assert summary["counts"]["accepted"] == number
    assert [issue["name"] for issue in summary["issues"]] == [TIME_ZONE]


@pytest.mark.parametrize(("statuses", "accepted", "can_proceed", "number"), LISTS)
def test_each_warning_must_be_accepted(function: Function, fake_ddm: FakeDDM, statuses, accepted, can_proceed, number):
    """If the event does not name one of the warnings, or if a check fails, `can_proceed` is false."""
    checks = [check(name, STATUSES[letter]) for name, letter in zip("abc", statuses, strict=False)]
    fake_ddm.behaviours["table"] = results(*checks)
    summary = function.send_event("table", accepted_warnings=list(accepted)).summary
    assert (summary["can_proceed"], summary["counts"]["accepted"]) == (can_proceed, number)


@pytest.mark.parametrize("accepted", [[TIME_ZONE], ["Removed check"]], ids=["accepted", "not accepted"])
def test_proceed_on_warn_accepts_each_warning(function: Function, accepted):
    """If `proceed_on_warn` is true, each warning is accepted, even if the event does not name the warning."""
    summary = function.send_event("warn", accepted_warnings=accepted, proceed_on_warn=True).summary
    assert (summary["verdict"], summary["can_proceed"]) == ("WARN", True)


def test_two_checks_of_the_same_name(function: Function, fake_ddm: FakeDDM):
    """One name accepts all warnings with this name. The log lists the name once."""
    fake_ddm.behaviours["same_name"] = results(check("a", "WARN"), check("a", "WARN"), check("b"))
    response = function.send_event("same_name", accepted_warnings=["a"])
    assert (response.summary["can_proceed"], response.summary["counts"]["accepted"]) == (True, 2)
    assert response.log_entry["accepted_warnings"] == ["a"]


def test_incomplete_list_is_pending(function: Function):
    """While the list of checks is incomplete, the verdict is PENDING, even if all its warnings are accepted."""
    summary = function.send_event("warn", accepted_warnings=[TIME_ZONE], expected_checks=4).summary
    assert (summary["verdict"], summary["can_proceed"], summary["counts"]["accepted"]) == ("PENDING", False, 1)


@pytest.mark.parametrize(
    "value",
    [
        *(None, "DB instance time zone", {}, 7, True, [], [7], [None], [""], ["a", "a"], [["a"]], ["a", {}]),
        *(["n" * 201], [f"{number}" for number in range(51)]),
    ],
    ids=[
        *("null", "string", "object", "number", "boolean", "empty list", "number in the list", "null in the list"),
        *("empty name", "equal names", "list in the list", "object in the list", "201 characters", "51 names"),
    ],
)
def test_invalid_accepted_warnings(function: Function, fake_ddm: FakeDDM, value):
    """The field is a list of 1 to 50 different strings of 1 to 200 characters."""
    response = function.send(EVENT | {"accepted_warnings": value})
    assert (response.status, response.problem_code, fake_ddm.requests) == (400, "invalid-event", [])
    assert {pointer.rstrip("/0123456789") for pointer in response.pointers} == {"/accepted_warnings"}


@pytest.mark.parametrize("names", [["检" * 200], [f"{number}" for number in range(50)]], ids=["200 characters", "50"])
def test_values_of_max_length(function: Function, fake_ddm: FakeDDM, names):
    """A name may have 200 characters, in any language. The list may have 50 names."""
    fake_ddm.behaviours["longest"] = results(*(check(name, "WARN") for name in names))
    response = function.send_event("longest", accepted_warnings=names)
    assert (response.summary["can_proceed"], response.summary["counts"]["accepted"]) == (True, len(names))
    assert response.log_entry["accepted_warnings"] == names


def test_hostile_list_is_refused_immediately(function: Function):
    """A list of 15,000 different objects is refused by its length. Comparing each pair would need minutes."""
    response = function.send(EVENT | {"accepted_warnings": [{"a": number} for number in range(15_000)]})
    assert response.problem_code == "invalid-event"
    assert response.log_entry["duration_ms"] < 10_000


@pytest.mark.parametrize("name", ["__proto__", "a\nb", "\u202eb", "\U0001f600", "<script>"], ids=character_id)
def test_any_characters_in_a_name(function: Function, fake_ddm: FakeDDM, name):
    """A name may contain any character. It is compared with DDM's name without changes."""
    fake_ddm.behaviours["names"] = results(check(name, "WARN"))
    response = function.send_event("names", accepted_warnings=[name])
    assert (response.summary["can_proceed"], response.log_entry["accepted_warnings"]) == (True, [name])


def test_token_among_the_accepted_names(function: Function, fake_ddm: FakeDDM):
    """If a check and an accepted name are the token, neither the response nor the log contains the token."""
    fake_ddm.behaviours["echo"] = results(check(TOKEN, "WARN"))
    response = function.send_event("echo", accepted_warnings=[TOKEN, "***"])
    assert (response.summary["issues"][0]["name"], response.summary["can_proceed"]) == ("***", False)


@pytest.mark.parametrize(
    ("accepted", "logged"),
    [([TIME_ZONE, "Removed check"], [TIME_ZONE]), (["Removed check"], None), (None, None)],
    ids=["one of two", "none", "not set"],
)
def test_log_names_the_accepted_warnings(function: Function, accepted, logged):
    """The log entry has the names of the accepted warnings. Without accepted warnings, it does not have the field."""
    fields = {"accepted_warnings": accepted} if accepted else {}
    log = function.send_event("warn", **fields).log_entry
    assert log.get("accepted_warnings") == logged
    assert ("accepted_warnings" in log) == (logged is not None)


@pytest.mark.parametrize(
    ("db_name", "fields", "verdict", "can_proceed"),
    [
        pytest.param("pass", {}, "PASS", "true", id="PASS"),
        pytest.param("warn", {}, "WARN", "false", id="WARN"),
        pytest.param("warn", {"proceed_on_warn": True}, "WARN", "true", id="WARN, flag"),
        pytest.param("warn", {"accepted_warnings": [TIME_ZONE]}, "WARN", "true", id="WARN, accepted"),
        pytest.param("warn", {"accepted_warnings": ["Removed check"]}, "WARN", "false", id="WARN, not accepted"),
        pytest.param("fail", {"proceed_on_warn": True}, "FAIL", "false", id="FAIL"),
    ],
)
def test_extension_canproceed(start, function: Function, db_name, fields, verdict, can_proceed):
    """A CloudEvent has the decision in the extension `canproceed`, so that a Trigger can filter on it."""
    event = EVENT | {"db_name": db_name} | fields
    structured = function.send(ATTRIBUTES | {"data": event}, headers=STRUCTURED_HEADERS)
    assert (structured.body["verdict"], structured.body["canproceed"]) == (verdict, can_proceed)
    binary = function.send(event, headers=binary_headers())
    assert (binary.headers["ce-verdict"], binary.headers["ce-canproceed"]) == (verdict, can_proceed)
    assert structured.summary["can_proceed"] == binary.summary["can_proceed"] == (can_proceed == "true")


@pytest.mark.parametrize("name", [TIME_ZONE, "Removed check"], ids=["accepted", "not accepted"])
def test_extension_canproceed_at_the_sink(start, fake_ddm: FakeDDM, name):
    """The sink receives the decision in the extension `canproceed` for each kind of event delivery."""
    event = EVENT | {"db_name": "warn", "accepted_warnings": [name]}
    with Sink() as sink:
        function = start(K_SINK=sink.url)
        for body, headers in [
            (ATTRIBUTES | {"data": event}, STRUCTURED_HEADERS),
            (event, binary_headers()),
            (push_body(event), {}),
        ]:
            response = function.send(body, headers=headers)
            assert (response.status, response.text) == (202, "")
            assert response.log_entry.get("accepted_warnings") == ([name] if name == TIME_ZONE else None)
    expected = "true" if name == TIME_ZONE else "false"
    assert [headers["ce-canproceed"] for headers, _ in sink.received] == [expected] * 3
    assert {headers["ce-verdict"] for headers, _ in sink.received} == {"WARN"}


def test_report_marks_the_accepted_warnings(function: Function, fake_ddm: FakeDDM):
    """In the report, the line of each accepted warning has the word `accepted`, and no other line has it."""
    fake_ddm.behaviours["marks"] = results(
        check(CHINESE_NAME, "WARN"), check("accepted Binlog", "WARN"), check(CHINESE_NAME, "FAILED")
    )
    report = function.send_event("marks", accepted_warnings=[CHINESE_NAME]).summary["report"]
    assert report.splitlines()[2:] == [
        f"- FAILED {CHINESE_NAME}",
        f"- accepted WARN {CHINESE_NAME}",
        "- WARN accepted Binlog",
    ]


@pytest.mark.parametrize(
    ("name", "accepted"),
    [("A\ud800", "A?"), (f"A {TOKEN}", "A ***")],
    ids=["lone surrogate", "token"],
)
def test_changed_name_is_not_accepted(function: Function, fake_ddm: FakeDDM, name, accepted):
    """If DDM's name contains the token or a lone surrogate, the summary has a changed name, which accepts nothing."""
    fake_ddm.behaviours["changed"] = results(check(name, "WARN"))
    summary = function.send_event("changed", accepted_warnings=[accepted]).summary
    assert summary["issues"][0]["name"] == accepted
    assert (summary["can_proceed"], summary["counts"]["accepted"]) == (False, 0)
    assert "accepted" not in summary["report"]
