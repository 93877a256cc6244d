"""The bounds on memory: one document at a time is a Python value, and freed memory goes back to the system.

JSON grows 24 to 50 times when it is parsed, so 64 documents of 1 MiB at once would take 3 GiB. Parsing keeps Python's
global lock anyway, so nothing is lost where the requests take turns.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from ddm_precheck.problem import Problem

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MMAP_THRESHOLD_BYTES: Final = 128 * 1024
_LOCK: Final = threading.Lock()
_Result = TypeVar("_Result")


def limit_heap() -> None:
    """Let the C library keep little of the memory that Python frees. Call it before threads start.

    By default, glibc keeps a heap for each of many threads, and after the first large body is freed, it takes the
    bodies that follow from these heaps, where they leave holes: the process grows to three times the size of the bodies
    and never shrinks. One heap is enough, because Python's global lock lets one thread allocate at a time. With a fixed
    threshold, each large body is a memory mapping of its own, which is removed when the body is freed.

    Other C libraries have no such settings; there, nothing happens.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes  # noqa: PLC0415 - a Python may be built without it

        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)


def one_at_a_time(function: Callable[..., _Result], *arguments: object) -> _Result:
    """Call a function that handles a document, while no other request does, and return its result.

    A Problem that the function raises leaves without its traceback and context: their frames would keep the document
    after the lock is released.
    """
    with _LOCK:
        try:
            return function(*arguments)
        except Problem as problem:
            problem.__context__ = None
            raise problem.with_traceback(None) from None
