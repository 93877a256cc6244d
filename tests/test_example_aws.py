"""The example state machine for AWS Step Functions, in a public validator, with its conditions in JSONata's engine."""

import json
from typing import Any, Final

import pytest
from helpers.fake_function import INVALID_RESPONSES
from helpers.flows import EXAMPLES, HELPERS, node_package, run_json
from helpers.function import ServedFunction

from testing.fake_ddm import FakeDDM
from testing.function_server import clean_environment

pytestmark = pytest.mark.engines

FILE: Final = EXAMPLES / "aws" / "precheck.asl.json"
VALIDATOR: Final = "4.0.0"


def evaluate(responses: list[Any], polls: int = 1) -> Any:
    modules = node_package("asl-validator", VALIDATOR)
    variables = [{"response": response, "polls": polls, "max_polls": 2} for response in responses]
    command = ["node", str(HELPERS / "run_state_machine.cjs"), str(modules), str(FILE)]
    return run_json(command, variables, clean_environment())


def test_the_state_machine_is_valid():
    assert evaluate([])["errors"] == []


def test_each_verdict_has_its_branch(served_function: ServedFunction, fake_ddm: FakeDDM):
    branches = {"pass": "Go", "fail": "Stop", "warn": "Stop", "pending": "Pause", "unauthorized": "Error"}
    responses = [served_function.send_event(name).body for name in branches]
    assert evaluate(responses)["branches"] == list(branches.values())


def test_the_number_of_polls_is_limited(served_function: ServedFunction, fake_ddm: FakeDDM):
    assert evaluate([served_function.send_event("pending").body], polls=2)["branches"] == ["Error"]


def test_no_invalid_response_is_go():
    texts = [body.decode() for body in INVALID_RESPONSES.values()]
    parsed = [
        json.loads(text) if name not in {"empty", "html", "incomplete"} else text
        for name, text in zip(INVALID_RESPONSES, texts, strict=True)
    ]
    assert set(evaluate(parsed)["branches"]) == {"Error"}
