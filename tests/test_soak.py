"""The soak: a short one, and with LONG_TESTS a longer one."""

import os
import subprocess
import sys

from testing.function_server import ROOT

REQUESTS, MAX_GROWTH = ("5000", "64") if os.environ.get("LONG_TESTS") else ("200", "150")


def test_soak():
    command = [sys.executable, "-m", "tools.soak", "--requests", REQUESTS, "--max-growth", MAX_GROWTH]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.splitlines()[-1] == "passed", done.stdout + done.stderr
