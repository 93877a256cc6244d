"""Command line of the fuzzer."""

import argparse
import sys

from tools.fuzz.cases import random_case
from tools.fuzz.oracle import expect
from tools.fuzz.runner import run

_MAX_SHOWN = 20


def main() -> int:
    """Run the cases, print the differences, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description="Compare the function with an oracle.")
    parser.add_argument("--cases", type=int, default=20_000, help="number of cases (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the random cases (default: %(default)s)")
    parser.add_argument("--only", type=int, help="run and print only the case with this number")
    arguments = parser.parse_args()
    numbers = range(arguments.cases)
    if arguments.only is not None:
        numbers = range(arguments.only, arguments.only + 1)
        case = random_case(f"{arguments.seed}:{arguments.only}")
        print(f"{case}\n{expect(case)}"[:20_000])
    findings = run(arguments.seed, numbers)
    for (status, name), count in sorted(findings.outcomes.items()):
        print(f"{status} {name:24} {count:>7,}")
    for number, texts in list(findings.differences.items())[:_MAX_SHOWN]:
        print(f"case {number} (--seed {arguments.seed} --only {number}):")
        print("".join(f"    {text}\n" for text in texts), end="")
    print(f"{len(findings.differences)} of {len(numbers)} cases differ")
    return 1 if findings.differences else 0


if __name__ == "__main__":
    sys.exit(main())
