"""Command line of the benchmark: starts the servers, measures, and prints the report."""

import argparse
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from testing.function_server import ROOT, FunctionServer, serve
from tools.benchmark import measurements, plot, report
from tools.benchmark.cold_start import ColdStart
from tools.benchmark.fake_ddm import prepared_ddm
from tools.benchmark.measurements import FUNCTION
from tools.benchmark.peers import THREADS

_PEERS: Final = {
    "pooled requests only": "pooled_requests",
    "vendor's SDK": "vendor_sdk",
    "stock validators": "stock_validators",
    "tutorial code": "tutorial",
}
"""Name in the report: module in tools/benchmark/peers."""

_TABLE: Final = ROOT / "docs" / "performance-table.md"
_PLOT: Final = ROOT / "docs" / "performance.svg"


def main() -> None:
    """Measure everything, and print or write the report."""
    parser = argparse.ArgumentParser(prog="python -m tools.benchmark", description="Compare the function with others.")
    parser.add_argument("--rounds", type=int, default=9, help="samples of each CPU time (default: %(default)s)")
    parser.add_argument("--compare", metavar="REVISION", help="measure this git revision of the function as well")
    parser.add_argument("--write", action="store_true", help=f"write docs/{_TABLE.name} and docs/{_PLOT.name}")
    arguments = parser.parse_args()
    figures = _measure(arguments.rounds, arguments.compare)
    text = report.markdown(figures)
    print(text)
    if arguments.write:
        _TABLE.write_text(text, "utf-8")
        _PLOT.write_text(plot.svg(figures.cpu), "utf-8")


def _measure(rounds: int, revision: str | None) -> report.Figures:
    with ExitStack() as stack:
        ddm = stack.enter_context(prepared_ddm())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        roots = {FUNCTION: ROOT}
        if revision:
            roots |= {f"revision {revision}": stack.enter_context(_checked_out(revision, folder / "revision"))}
        variables = {"DDM_ENDPOINT": ddm.url, "DDM_REGION": "cn-north-4", "THREADS": str(THREADS)}
        instances: dict[str, FunctionServer] = {}
        for name, module in _PEERS.items():
            peer = serve(variables, folder / f"{module}.log", source=f"tools/benchmark/peers/{module}.py")
            instances[name] = stack.enter_context(peer)
        for number, (name, root) in enumerate(roots.items()):
            instances[name] = stack.enter_context(serve(variables, folder / f"function-{number}.log", root=root))
        cpu = measurements.cpu_times(instances, rounds)
        memory = measurements.memory(instances)
        throughput = measurements.throughputs(instances, ddm.pid, max(rounds // 3, 1))
        minimum, *_ = _PEERS
        latency = measurements.latencies({name: instances[name] for name in (minimum, *roots)})
        cold_start = {
            name: ColdStart(folder / f"cold-start-{number}", root).measure(rounds)
            for number, (name, root) in enumerate(roots.items())
        }
    return report.Figures(cpu, memory, throughput, latency, cold_start)


@contextmanager
def _checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """Check out a revision in the folder while the context lasts."""
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", folder, revision], cwd=ROOT, check=True)
    try:
        yield folder
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
