"""The soak: a short one, and with LONG_TESTS a longer one. A soak that finds something fails."""

import os
import subprocess
import sys

import pytest

from testing.function_server import ROOT
from tools.soak.__main__ import Usage, exceeded_limits

REQUESTS, MAX_GROWTH = ("5000", "64") if os.environ.get("LONG_TESTS") else ("200", "150")


def test_soak():
    command = [sys.executable, "-m", "tools.soak", "--requests", REQUESTS, "--max-growth", MAX_GROWTH]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines()[-1] == "passed", done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "peak", "failures"),
    [
        ({}, 399, []),
        ({}, 400, ["peak memory 400 MiB is not below 400 MiB"]),
        ({"worker": 8}, 300, ["the worker ended and was replaced"]),
        ({"memory": 123.0}, 300, ["memory grew by 33 MiB"]),
        ({"threads": 69}, 300, ["69 threads"]),
        ({"connections": 129}, 300, ["129 connections"]),
        ({"other_descriptors": 15}, 300, ["other file descriptors grew from 12 to 15"]),
    ],
)
def test_limits(changes, peak, failures):
    before = Usage(worker=7, memory=90.0, threads=10, connections=5, other_descriptors=12)
    assert list(exceeded_limits(before, before._replace(**changes), peak, max_growth=32)) == failures
