"""A short soak of the served function, and tests of the soak."""

import dataclasses
import subprocess
import sys

import pytest

from testing.function_server import ROOT
from testing.hostile_bodies import EVENT_BYTES, RESULT_BYTES, hostile_events, hostile_results
from tools.soak.cases import schedule
from tools.soak.clients import Statistics, _outcome
from tools.soak.fake_ddm import BEHAVIOURS
from tools.soak.usage import Usage, exceeded_limits

IDLE = Usage(worker=7, memory=90.0, threads=10, connections=5, other_descriptors=12)


def test_short_soak():
    """A few hundred mixed requests and DDM faults have the expected outcomes and stay within the limits."""
    # The memory grows during the first 300 requests. If each request stayed in memory, it would grow much more.
    options = ["--requests", "300", "--max-minutes", "3", "--max-growth", "150"]
    command = [sys.executable, "-m", "tools.soak", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "passed"), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "peak", "message"),
    [
        ({}, 399, None),
        ({"worker": 8}, 300, "the worker ended and was replaced"),
        ({}, 400, "peak memory 400 MiB is not below 400 MiB"),
        ({"memory": 123.0}, 300, "memory grew by 33 MiB, more than 32 MiB"),
        ({"threads": 69}, 300, "69 threads are more than THREADS=64 and 4 others"),
        ({"connections": 65}, 300, "65 connections are more than the 64 that the pool keeps"),
        ({"other_descriptors": 15}, 300, "other file descriptors grew from 12 to 15"),
    ],
)
def test_limits(changes, peak, message):
    """There is a message for each limit that the server exceeds."""
    exceeded = list(exceeded_limits(IDLE, dataclasses.replace(IDLE, **changes), peak, max_growth=32))
    assert exceeded == ([message] if message else [])


def test_unexpected_outcome_is_a_failure():
    """A response counts as a failure if its outcome is not expected."""
    case = next(case for case in schedule(20_000, 0) if case.name == "not_found")
    statistics = Statistics()
    statistics.add(case, (404, "not-found"))
    assert statistics.failures == []
    statistics.add(case, (200, "PASS"))
    assert statistics.failures == ["fault / not_found: 200 PASS"]


@pytest.mark.parametrize(
    "body",
    [{}, {"can_proceed": False, "verdict": "PASS"}],
    ids=["empty", "other order"],
)
def test_response_without_common_fields(body):
    """A response that does not begin with the common fields is not well-formed."""
    with pytest.raises(ValueError, match="the common fields are missing"):
        _outcome(200, body)


def test_long_soak_contains_every_case():
    """A schedule of 20,000 requests contains a case for each behaviour of the fake DDM, and each hostile event."""
    cases = schedule(20_000, 0)
    assert len(cases) == 20_000
    faults = {case.name for case in cases if case.group in {"fault", "hostile result"}}
    verdicts = {"pass", "warn", "fail", "pending", "compressed"}
    assert faults | verdicts == set(BEHAVIOURS)
    assert {case.name for case in cases if case.group == "hostile event"} == set(hostile_events())


def test_hostile_bodies_are_as_large_as_allowed():
    """Each hostile body is just below the size limit, so that the function refuses its content, not its size."""
    events = {name: len(body) for name, body in hostile_events().items()}
    assert {name: size for name, size in events.items() if not EVENT_BYTES * 0.7 < size <= EVENT_BYTES} == {}
    assert max(map(len, hostile_results().values())) <= RESULT_BYTES - 36
