"""The errors of the programs in this folder, and how a program reports them."""

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Final, NoReturn, TypeAlias

Program: TypeAlias = Callable[[Sequence[str]], int]
"""Receives the arguments of a program, runs the program and returns its exit status."""


_INTERRUPTED: Final = 128 + signal.SIGINT


class DeployError(Exception):
    """The program cannot continue. The message gives the reason, on one line."""

    exit_status = 1


class UsageError(DeployError):
    """An option has a wrong value. The message names the option, on one line."""

    exit_status = 2


def run(program: Program) -> NoReturn:
    """Run the program with the arguments of this process, and exit.

    A `DeployError`, or a file that cannot be read or written, is one line on standard error. SIGINT prints nothing.
    """
    try:
        status = program(sys.argv[1:])
    except DeployError as error:
        print_message(str(error))
        status = error.exit_status
    except OSError as error:
        name = error.filename2 or error.filename  # the second name is the target of a rename
        print_message(f"{name}: {error.strerror}" if name else str(error))
        status = DeployError.exit_status
    except KeyboardInterrupt:
        status = _INTERRUPTED
    sys.exit(status)


def print_message(message: str) -> None:
    """Print a message to standard error, with the name of the script that the user has started."""
    sys.stderr.write(f"deploy.sh: {message}\n")
