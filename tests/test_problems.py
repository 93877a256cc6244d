"""Problems: their Content-Type, and the problem `internal` for a bug."""

import pytest
from helpers.function import TOKEN, Function

from testing.fake_ddm import FakeDDM


@pytest.mark.parametrize(
    "accept",
    [
        "application/problem+json",
        "Application/Problem+JSON",
        "application/json, application/problem+json;q=0.5",
        "application/problem+json; charset=utf-8",
    ],
    ids=["exact", "mixed case", "second of two", "with charset"],
)
def test_problem_json_if_accepted(function: Function, accept):
    """If `Accept` names application/problem+json, a problem has this Content-Type, but a summary does not."""
    assert function.send_event("fail", headers={"Accept": accept}).headers["Content-Type"] == "application/json"
    response = function.send(b"", headers={"Accept": accept})
    assert response.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "accept",
    ["*/*", "application/*", "application/problem+json;q=0", "", ";;,q=x"],
    ids=["any", "any application", "q is 0", "empty", "malformed"],
)
def test_json_by_default(function: Function, accept):
    """Otherwise, the Content-Type is application/json, because low-code engines parse no other type."""
    assert function.send(b"", headers={"Accept": accept}).headers["Content-Type"] == "application/json"


def test_bug_is_the_problem_internal(start, monkeypatch, fake_ddm: FakeDDM):
    """An unexpected exception is `internal`. The log has the traceback. No output has the exception's message."""
    function = start()

    def fail(*_: object) -> None:
        raise RuntimeError(TOKEN)

    monkeypatch.setattr("ddm_precheck.ddm.DDMClient.fetch", fail)
    response = function.send_event()
    assert (response.status, response.problem_code, response.body["message"]) == (
        500,
        "internal",
        "The function failed; its log has the reason",
    )
    assert response.log_entry["severity"] == "ERROR"
    assert response.log_entry["exception"].startswith("RuntimeError < fail:")
