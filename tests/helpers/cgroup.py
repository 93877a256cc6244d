"""A memory cgroup for a served function: the kernel ends a process that exceeds the limit, as a platform does."""

import errno
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

_CGROUPS: Final = Path("/sys/fs/cgroup")
_REMOVE_SECONDS: Final = 30


@dataclass(frozen=True)
class MemoryCgroup:
    """A cgroup of version 1 or 2."""

    folder: Path
    version: int

    @property
    def prefix(self) -> list[str]:
        """The start of a command line. It runs the rest of the command line in the cgroup."""
        return ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.folder)]

    @property
    def kills(self) -> int:
        """The number of processes that the kernel has ended because the cgroup exceeded its limit."""
        file = self.folder / ("memory.oom_control" if self.version == 1 else "memory.events")
        return sum(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("oom_kill "))


@contextmanager
def memory_cgroup(limit: int) -> Iterator[MemoryCgroup]:
    """Create a cgroup with a limit in bytes, below the cgroup of this process, and remove it at the end of the context.

    The end of the context waits up to 30 seconds for the processes in the cgroup: gunicorn's master ends before its
    killed worker, and the kernel keeps a killed process in the cgroup until the memory of the process is free.

    Raises OSError if this process may not create a memory cgroup, or if a process still runs in it after 30 seconds.
    """
    parent, version = _own_cgroup()
    folder = parent / f"ddm-precheck-tests-{uuid4().hex}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if version == 1 else "memory.max")).write_text(str(limit))
        yield MemoryCgroup(folder, version)
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _REMOVE_SECONDS
    while True:
        try:
            return folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
        time.sleep(0.05)


def _own_cgroup() -> tuple[Path, int]:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return _CGROUPS / "memory" / path.lstrip("/"), 1
        if number == "0" and (_CGROUPS / "cgroup.controllers").exists():
            return _CGROUPS / path.lstrip("/"), 2
    raise FileNotFoundError("there is no memory cgroup")
