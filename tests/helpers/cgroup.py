"""A memory cgroup for a served function: the kernel ends a process that exceeds the limit, as a platform does."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

_CGROUPS: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryCgroup:
    """A cgroup of version 1 or 2."""

    folder: Path
    version: int

    @property
    def prefix(self) -> list[str]:
        """The command that runs the command after it in the cgroup."""
        return ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.folder)]

    @property
    def kills(self) -> int:
        """How many processes the kernel has ended because the cgroup exceeded its limit."""
        file = self.folder / ("memory.oom_control" if self.version == 1 else "memory.events")
        return sum(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith("oom_kill "))


@contextmanager
def memory_cgroup(limit: int) -> Iterator[MemoryCgroup]:
    """Create a cgroup with a limit in bytes below this process's cgroup, and remove it at the end of the context.

    The processes in the cgroup must end before the context. Raises OSError if this process may not create a memory
    cgroup.
    """
    parent, version = _own_cgroup()
    folder = parent / f"ddm-precheck-tests-{uuid4().hex}"
    folder.mkdir()
    try:
        (folder / ("memory.limit_in_bytes" if version == 1 else "memory.max")).write_text(str(limit))
        yield MemoryCgroup(folder, version)
    finally:
        folder.rmdir()


def _own_cgroup() -> tuple[Path, int]:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return _CGROUPS / "memory" / path.lstrip("/"), 1
        if number == "0" and (_CGROUPS / "cgroup.controllers").exists():
            return _CGROUPS / path.lstrip("/"), 2
    raise FileNotFoundError("there is no memory cgroup")
