"""Command line of the soak: sends the requests in two halves, measures after each half, and prints the report."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from testing.fake_ddm import FakeDDM, own_process
from testing.function_server import FunctionServer, ServerError, serve
from testing.loopback_server import LoopbackServer, QuietHandler
from tools.soak.cases import Case, Outcome, behaviours, schedule
from tools.soak.clients import Client

_THREADS: Final = 64
_MAX_PEAK_MIB: Final = 400
_IDLE_SECONDS: Final = 0.5


class Usage(NamedTuple):
    """The usage of an idle server: MiB of master and worker, and figures of the worker."""

    worker: int
    memory: float
    threads: int
    connections: int
    other_descriptors: int


def main() -> int:
    """Run the soak, print the report and the failures, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak", description="Send mixed requests and DDM faults.")
    parser.add_argument("--requests", type=int, default=20_000, help="number of requests (default: %(default)s)")
    parser.add_argument("--clients", type=int, default=_THREADS, help="concurrent clients (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random order (default: %(default)s)")
    parser.add_argument(
        "--max-growth", type=float, default=32, help="MiB by which memory may grow in the second half (default: 32)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, FakeDDM() as ddm:
        ddm.behaviours |= behaviours()
        log = Path(folder) / "log"
        with own_process(ddm), LoopbackServer(_SinkHandler) as sink:
            variables = {
                "DDM_ENDPOINT": ddm.url,
                "DDM_REGION": "cn-north-4",
                "DDM_TIMEOUT_SECONDS": "1",
                "K_SINK": sink.url,
                "THREADS": str(_THREADS),
            }
            try:
                with serve(variables, log) as server:
                    failures = list(_soak(server, arguments))
            except ServerError as error:
                failures = [str(error)]
        failures += _unexpected_lines(log)
    for failure in failures[:20]:
        print(f"FAILED: {failure}")
    print("failed" if failures else "passed")
    return 1 if failures else 0


class _SinkHandler(QuietHandler):
    """Accepts each summary, except of the job ``job-rejected``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if self.headers["ce-subject"].endswith("job-rejected") else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _soak(server: FunctionServer, arguments: argparse.Namespace) -> Iterator[str]:
    """Send the requests, and yield a description of each failure."""
    cases = schedule(arguments.requests, arguments.seed)
    outcomes: Counter[tuple[str, Outcome]] = Counter()
    failures: list[str] = []

    async def send(half: Sequence[Case]) -> None:
        queue = iter(half)
        await asyncio.gather(*(Client(server.port, outcomes, failures).run(queue) for _ in range(arguments.clients)))

    start = time.monotonic()
    usages = []
    for half in (cases[: len(cases) // 2], cases[len(cases) // 2 :]):
        asyncio.run(send(half))
        time.sleep(_IDLE_SECONDS)
        connections = server.connections()
        others = server.file_descriptors() - connections
        usages.append(Usage(server.worker, server.memory(), server.threads(), connections, others))
    before, after = usages
    peak = server.peak_memory()
    for (group, (status, name)), count in sorted(outcomes.items()):
        print(f"{group:15} {status or '':>4} {name:24} {count:>7,}")
    print(f"{outcomes.total():,} requests in {time.monotonic() - start:.0f} s, peak memory {peak:.0f} MiB")
    print(f"after the first half: {before}\nat the end: {after}")
    yield from failures
    yield from exceeded_limits(before, after, peak, arguments.max_growth)


def exceeded_limits(before: Usage, after: Usage, peak: float, max_growth: float) -> Iterator[str]:
    """Describe each limit that the server exceeded."""
    if before.worker != after.worker:
        yield "the worker ended and was replaced"
    if peak >= _MAX_PEAK_MIB:
        yield f"peak memory {peak:.0f} MiB is not below {_MAX_PEAK_MIB} MiB"
    if after.memory - before.memory > max_growth:
        yield f"memory grew by {after.memory - before.memory:.0f} MiB"
    if after.threads > _THREADS + 4:
        yield f"{after.threads} threads"
    if after.connections > 2 * _THREADS:  # of each host, DDM and the sink
        yield f"{after.connections} connections"
    if after.other_descriptors > before.other_descriptors + 2:
        yield f"other file descriptors grew from {before.other_descriptors} to {after.other_descriptors}"


def _unexpected_lines(log: Path) -> list[str]:
    """Return lines of the server's output that are neither log entries nor gunicorn's, such as stack traces."""
    lines = log.read_text(errors="replace").splitlines()
    return [f"unexpected output: {line[:200]}" for line in lines if not line.startswith(("{", "["))]


if __name__ == "__main__":
    sys.exit(main())
