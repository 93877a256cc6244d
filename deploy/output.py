"""Errors of a deployment, and what is printed: messages, commands and results."""

import argparse
import shlex
import sys
from collections.abc import Sequence


class DeployError(Exception):
    """The deployment cannot continue. The message gives the reason, on one line."""

    exit_status = 1


class UsageError(DeployError):
    """An option has a wrong value. The message names the option, on one line."""

    exit_status = 2


def message(text: str) -> None:
    """Print a line on standard error, with the name of the script that the user has started."""
    sys.stderr.write(f"deploy.sh: {text}\n")


def line(text: str) -> None:
    """Print on standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def command(words: Sequence[str]) -> None:
    """Print a command that a dry run does not run, quoted for a shell."""
    line(f"+ {shlex.join(words)}")


def require(options: argparse.Namespace, *names: str) -> None:
    """Raise UsageError unless all these options are given."""
    for name in names:
        if not getattr(options, name.replace("-", "_")):
            raise UsageError(f"missing option: --{name}")
