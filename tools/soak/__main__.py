"""Command line of the soak: runs the phases and prints the report."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from testing.function_server import FunctionServer, ServerError, serve
from tools.soak.cases import schedule
from tools.soak.clients import Statistics, send_all
from tools.soak.fake_ddm import faulty_ddm
from tools.soak.usage import THREADS, Usage, exceeded_limits

_IDLE_SECONDS: Final = 2


def main() -> int:
    """Run the soak, print the report and the failures, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description="Send mixed requests and DDM faults.")
    parser.add_argument("--requests", type=int, default=20_000, help="number of requests (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=THREADS, help="concurrent clients (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random order (default: %(default)s)")
    parser.add_argument("--max-minutes", type=float, default=30, help="fail after this time (default: %(default)s)")
    parser.add_argument(
        "--max-growth", type=float, default=32, help="MiB by which memory may grow in the second half (default: 32)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, faulty_ddm() as ddm:
        variables = {
            "DDM_ENDPOINT": ddm,
            "DDM_REGION": "cn-north-4",
            "DDM_TIMEOUT_SECONDS": "3",
            "K_SINK": f"{ddm}/sink",
            "THREADS": str(THREADS),
        }
        log = Path(folder) / "log"
        try:
            with serve(variables, log) as server:
                failures = list(_soak(server, arguments))
        except ServerError as error:
            failures = [str(error)]
        failures += _unexpected_lines(log)
    for failure in failures:
        print(f"FAILED: {failure}")
    print("failed" if failures else "passed")
    return 1 if failures else 0


def _soak(server: FunctionServer, arguments: argparse.Namespace) -> Iterator[str]:
    """Send the requests, measure after each half of them, and yield a description of each failure."""
    cases = schedule(arguments.requests, arguments.seed)
    half = len(cases) // 2
    statistics = Statistics()
    start = time.monotonic()
    usages = []
    for phase in (cases[:half], cases[half:]):
        remaining = arguments.max_minutes * 60 - (time.monotonic() - start)
        try:
            asyncio.run(asyncio.wait_for(send_all(server.port, phase, arguments.clients, statistics), remaining))
        except TimeoutError:
            yield f"the requests took longer than {arguments.max_minutes} minutes"
            return
        time.sleep(_IDLE_SECONDS)
        usages.append(Usage.of(server))
    seconds = time.monotonic() - start
    before, after = usages
    peak = server.peak_memory()
    _print_report(statistics, before, after, peak, seconds)
    yield from statistics.failures
    yield from exceeded_limits(before, after, peak, arguments.max_growth)


def _print_report(statistics: Statistics, before: Usage, after: Usage, peak: float, seconds: float) -> None:
    for (group, (status, name)), count in sorted(statistics.outcomes.items()):
        print(f"{group:15} {status or '':>4} {name:32} {count:>7,}")
    print(f"{sum(statistics.outcomes.values()):,} requests in {seconds:.0f} s")
    print(f"{statistics.resent:,} requests were sent again, because the server had closed an idle connection")
    print(f"after the first half: {before}\nat the end:           {after}\npeak memory:          {peak:.0f} MiB")


def _unexpected_lines(log: Path) -> list[str]:
    """Return the first lines of the server's output that are not log entries, such as warnings and stack traces."""
    known = ("{", "[")  # a log entry, and gunicorn's own lines
    lines = [line for line in log.read_text(errors="replace").splitlines() if not line.startswith(known)]
    return [f"unexpected output: {line[:200]}" for line in lines[:5]]


if __name__ == "__main__":
    sys.exit(main())
