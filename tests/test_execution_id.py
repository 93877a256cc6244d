"""The execution ID of a request: with LOG_EXECUTION_ID, the log line contains the ID, unless it contains the token."""

import json
from collections.abc import Callable, Iterator

import pytest
from helpers.function import EVENT, TOKEN, Function, ServedFunction, serve_function

from testing.fake_ddm import FakeDDM

LABELS = "logging.googleapis.com/labels"
EXECUTION_ID = "vq3eyvrd8p4a"
MALFORMED = json.dumps(EVENT).encode()[:-1]


@pytest.fixture(scope="module")
def served_with_execution_id(
    fake_ddm_server: FakeDDM, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServedFunction]:
    """A served function with LOG_EXECUTION_ID."""
    variables = {"DDM_ENDPOINT": fake_ddm_server.url, "LOG_EXECUTION_ID": "true"}
    with serve_function(variables, tmp_path_factory.mktemp("served")) as function:
        yield function


@pytest.fixture(params=["in-process", "served"])
def start_function(request: pytest.FixtureRequest, fake_ddm: FakeDDM) -> Callable[[], Function]:
    """Return a callable that starts the function with LOG_EXECUTION_ID: in this process, and served.

    The test calls it, because functions-framework keeps the stdout that it finds at its start, and pytest replaces
    stdout between fixtures and tests.
    """
    if request.param == "served":
        return lambda: request.getfixturevalue("served_with_execution_id")
    start = request.getfixturevalue("start")
    return lambda: start(LOG_EXECUTION_ID="true")


def test_execution_id(start_function: Callable[[], Function]):
    """The log line has the execution ID of the request, or an ID of functions-framework."""
    function = start_function()
    entry = function.send_event(headers={"Function-Execution-Id": EXECUTION_ID}).log_entry
    assert entry[LABELS] == {"execution_id": EXECUTION_ID}
    assert len(function.send_event().log_entry[LABELS]["execution_id"]) == 12


@pytest.mark.parametrize(
    "value",
    [TOKEN, f"id-{TOKEN}", "x" * 5000, EXECUTION_ID + '"\u00e9'],
    ids=["token", "part of the ID", "too long", "other characters"],
)
def test_unusable_execution_id(start_function: Callable[[], Function], value):
    """An ID that contains the token, or that is malformed, is not logged. The line has at most 4,096 bytes."""
    response = start_function().send_event(headers={"Function-Execution-Id": value.encode().decode("latin-1")})
    assert LABELS not in response.log_entry
    assert len(response.log_lines[0]) < 4096


@pytest.mark.parametrize("body", [MALFORMED, {**EVENT, "db_name": "?"}], ids=["malformed", "invalid"])
def test_invalid_event(start_function: Callable[[], Function], body):
    """The token of an invalid event is not known, and the execution ID may contain it. So the ID is not logged."""
    assert LABELS not in start_function().send(body, headers={"Function-Execution-Id": TOKEN}).log_entry
