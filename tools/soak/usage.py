"""The resource usage of the server, and its limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from testing.function_server import FunctionServer

THREADS: Final = 64

_MAX_PEAK_MIB: Final = 400
_MAX_OTHER_THREADS: Final = 4
_MAX_MORE_DESCRIPTORS: Final = 2
"""While a connection closes, its file descriptor is counted as another descriptor, not as a connection."""


@dataclass(frozen=True, slots=True)
class Usage:
    """The usage of an idle server. ``memory`` is the MiB of master and worker. The other figures are the worker's."""

    worker: int
    memory: float
    threads: int
    connections: int
    other_descriptors: int

    @classmethod
    def of(cls, server: FunctionServer) -> "Usage":
        """Measure the server."""
        connections = server.connections()
        others = server.file_descriptors() - connections
        return cls(server.worker, server.memory(), server.threads(), connections, others)

    def __str__(self) -> str:
        """Return the figures in one line."""
        return (
            f"{self.memory:.0f} MiB, {self.threads} threads,"
            f" {self.connections} connections, {self.other_descriptors} other file descriptors"
        )


def exceeded_limits(before: Usage, after: Usage, peak: float, max_growth: float) -> Iterator[str]:
    """Describe each limit that the server exceeded between two measurements.

    ``peak`` is the server's peak memory, ``max_growth`` the maximum growth of its memory, both in MiB.
    """
    if before.worker != after.worker:
        yield "the worker ended and was replaced"
    if peak >= _MAX_PEAK_MIB:
        yield f"peak memory {peak:.0f} MiB is not below {_MAX_PEAK_MIB} MiB"
    if after.memory - before.memory > max_growth:
        yield f"memory grew by {after.memory - before.memory:.0f} MiB, more than {max_growth:.0f} MiB"
    if after.threads > THREADS + _MAX_OTHER_THREADS:
        yield f"{after.threads} threads are more than THREADS={THREADS} and {_MAX_OTHER_THREADS} others"
    if after.connections > THREADS:
        yield f"{after.connections} connections are more than the {THREADS} that the pool keeps"
    if after.other_descriptors > before.other_descriptors + _MAX_MORE_DESCRIPTORS:
        yield f"other file descriptors grew from {before.other_descriptors} to {after.other_descriptors}"
