"""Limits the memory: one JSON text at a time is parsed, and freed memory is returned to the operating system.

Parsed JSON takes 24 to 50 times the memory of its text, so 64 bodies of 1 MiB at the same time would take 3 GiB.
Parsing one body at a time takes no longer, because parsing holds Python's global interpreter lock anyway.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

from ddm_precheck.problem import Problem

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MMAP_THRESHOLD_BYTES: Final = 128 * 1024
_LOCK: Final = threading.Lock()
_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def configure_malloc() -> None:
    """Make the C library return freed memory to the operating system. Call this function before threads start.

    By default, glibc has several heaps, for different threads. After the first large body is freed, glibc allocates the
    next bodies in these heaps, which fragments them: the process grows to three times the size of the bodies and never
    shrinks. One heap is sufficient, because Python's global interpreter lock lets one thread allocate at a time. With a
    fixed mmap threshold, each large body has its own memory mapping, which is removed when the body is freed.

    Other C libraries have no such settings. For them, this function does nothing.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # noqa: PLC0415 - Python can be built without ctypes

        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)


def one_at_a_time(
    function: Callable[_Arguments, _Result], *args: _Arguments.args, **kwargs: _Arguments.kwargs
) -> _Result:
    """Call the function under a lock and return its result. Use it to parse, validate or serialize a body.

    If the function raises a Problem, the Problem loses its traceback and context: their frames would keep the parsed
    body in memory after the lock is released.
    """
    with _LOCK:
        try:
            return function(*args, **kwargs)
        except Problem as problem:
            problem.__context__ = None
            raise problem.with_traceback(None) from None
