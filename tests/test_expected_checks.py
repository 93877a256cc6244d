"""The expected number of checks: the event's `expected_checks`, or else the default in DDM_EXPECTED_CHECKS."""

import pytest
from helpers.function import EVENT

from ddm_precheck.settings import SettingsError, from_environment
from testing.fake_behaviours import check, results
from testing.fake_ddm import FakeDDM

NOTE = "the list may be incomplete, because expected_checks is not set"


@pytest.mark.parametrize(
    ("variable", "field", "expected", "verdict"),
    [
        pytest.param(None, None, None, "PASS", id="neither"),
        pytest.param("3", None, 3, "PENDING", id="default, incomplete"),
        pytest.param("2", None, 2, "PASS", id="default, complete"),
        pytest.param("3", 2, 2, "PASS", id="event is less than the default"),
        pytest.param("2", 3, 3, "PENDING", id="event is more than the default"),
        pytest.param("1000", 1, 1, "PASS", id="max default"),
        pytest.param("", 2, 2, "PASS", id="empty default"),
    ],
)
def test_event_precedes_the_default(start, variable, field, expected, verdict):
    """The event's number is used, or else the default. The summary has this number, or null if neither is set."""
    fields = {} if field is None else {"expected_checks": field}
    summary = start(DDM_EXPECTED_CHECKS=variable).send_event("pass", **fields).summary
    assert (summary["expected_checks"], summary["verdict"]) == (expected, verdict)


def test_null_does_not_switch_the_default_off(start, fake_ddm: FakeDDM):
    """An event cannot remove the default with null."""
    response = start(DDM_EXPECTED_CHECKS="3").send(EVENT | {"expected_checks": None})
    assert (response.problem_code, response.pointers, fake_ddm.requests) == ("invalid-event", ["/expected_checks"], [])


@pytest.mark.parametrize("value", ["0", "-1", "1001", "ten", "2.0", "1e2", "01", " 2", "2\n", "\u0662", "true"])
def test_wrong_default(value):
    """The variable is a whole number from 1 to 1000."""
    with pytest.raises(SettingsError) as caught:
        from_environment({"DDM_EXPECTED_CHECKS": value})
    assert str(caught.value) == "DDM_EXPECTED_CHECKS must be a whole number from 1 to 1000"


@pytest.mark.parametrize(
    ("names", "expected", "verdict"),
    [("aab", 3, "PENDING"), ("aab", 2, "PASS"), ("aaa", 2, "PENDING"), ("abcd", 3, "PASS")],
)
def test_names_are_counted(start, fake_ddm: FakeDDM, names, expected, verdict):
    """Checks of the same name count once."""
    fake_ddm.behaviours["names"] = results(*map(check, names))
    summary = start().send_event("names", expected_checks=expected).summary
    assert (summary["verdict"], summary["counts"]["total"]) == (verdict, len(names))


def test_failed_check_is_final(start, fake_ddm: FakeDDM):
    """If a check has failed, the verdict is FAIL, even if the list is incomplete."""
    fake_ddm.behaviours["early"] = results(check("a", "FAILED"))
    assert start(DDM_EXPECTED_CHECKS="9").send_event("early").summary["verdict"] == "FAIL"


@pytest.mark.parametrize("db_name", ["pass", "warn"])
@pytest.mark.parametrize("field", [None, 2], ids=["not set", "set"])
def test_message_without_expected_checks(start, db_name, field):
    """If the number is not set, the message and the report of PASS and WARN note that the list may be incomplete."""
    fields = {} if field is None else {"expected_checks": field}
    summary = start().send_event(db_name, **fields).summary
    assert summary["message"].endswith(NOTE) == (field is None)
    assert (NOTE in summary["report"]) == (field is None)


@pytest.mark.parametrize("db_name", ["fail", "pending"])
def test_message_that_needs_no_note(start, db_name):
    """The messages of FAIL and PENDING do not have the note that the list may be incomplete."""
    assert NOTE not in start().send_event(db_name).summary["message"]
