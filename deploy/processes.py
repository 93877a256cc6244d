"""Child processes that end when this process ends, also after a signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType
from typing import Final, Self

from deploy.errors import DeployError
from deploy.source import ROOT

_STOP_SECONDS: Final = 5


class Processes:
    """The child processes. Each has its own process group, so that its own children end as well.

    In a ``with`` block, the first SIGINT, SIGTERM or SIGHUP raises SystemExit; further signals are ignored.
    """

    def __init__(self) -> None:
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._starting = False
        self._signal: int | None = None

    def __enter__(self) -> Self:
        """Install the handler for the signals that end a process."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        """End every child: with SIGTERM first, and with SIGKILL after 5 seconds."""
        self._signal = self._signal or 0  # from now on, _on_signal ignores signals
        for child in self._children.values():
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for child in self._children.values():
            with suppress(subprocess.TimeoutExpired):
                child.wait(max(0, deadline - time.monotonic()))
            _signal_group(child, signal.SIGKILL)
            child.wait()

    def start(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str], stdout: int
    ) -> subprocess.Popen[bytes]:
        """Start Python with the arguments, in the project's root.

        A signal during the start is handled after the start: otherwise nothing would end the new child process.
        """
        self._starting = True
        self._children[name] = subprocess.Popen(  # noqa: S603 - the caller's arguments are fixed
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            start_new_session=True,
        )
        self._starting = False
        if self._signal:
            raise SystemExit(128 + self._signal)
        return self._children[name]

    def check(self) -> None:
        """Raise DeployError if a child has ended. The message names the child."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise DeployError(f"{name} has ended with exit status {child.returncode}")

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if self._signal is None:
            self._signal = number
            if not self._starting:
                raise SystemExit(128 + number)


def _signal_group(child: subprocess.Popen[bytes], number: int) -> None:
    with suppress(ProcessLookupError):  # the group has ended
        os.killpg(child.pid, number)
