"""Command line of the benchmark."""

import argparse
import tempfile
from pathlib import Path

from testing.function_server import ROOT
from tools.benchmark import report
from tools.benchmark.measurements import measure


def main() -> None:
    """Measure everything, and print or write the report."""
    parser = argparse.ArgumentParser(prog="python -m tools.benchmark", description="Compare the function with others.")
    parser.add_argument("--rounds", type=int, default=15, help="samples of each CPU time (default: %(default)s)")
    parser.add_argument("--compare", metavar="REVISION", help="measure this git revision of the function as well")
    parser.add_argument("--write", action="store_true", help="write docs/performance-table.md and docs/performance.svg")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(arguments.rounds, arguments.compare, Path(folder))
    text = report.markdown(figures)
    print(text)
    if arguments.write:
        (ROOT / "docs" / "performance-table.md").write_text(text, "utf-8")
        (ROOT / "docs" / "performance.svg").write_text(report.svg(figures.cpu), "utf-8")


if __name__ == "__main__":
    main()
