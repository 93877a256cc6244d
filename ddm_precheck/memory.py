"""Limits the memory: one JSON text at a time is parsed, and freed memory is returned to the operating system.

Parsed JSON takes 24 to 50 times the memory of its text, so 64 bodies of 1 MiB at the same time would take 3 GiB.
Parsing one body at a time takes no longer, because parsing holds Python's global interpreter lock anyway.
"""

import contextlib
import ctypes
import threading
from typing import Final

_M_MMAP_THRESHOLD: Final = -3
_M_ARENA_MAX: Final = -8
_MMAP_THRESHOLD_BYTES: Final = 128 * 1024

one_at_a_time: Final = threading.Lock()
"""The lock for parsing, validating and serializing a body."""


def configure_malloc() -> None:
    """Make the C library return freed memory to the operating system. Call this function before threads start.

    By default, glibc allocates bodies in several heaps and fragments them: the process grows to three times the size of
    the bodies and never shrinks. With one heap and a fixed mmap threshold, each large body has its own memory mapping,
    which is removed when the body is freed. Other C libraries have no such settings.
    """
    with contextlib.suppress(AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_ARENA_MAX, 1)
        libc.mallopt(_M_MMAP_THRESHOLD, _MMAP_THRESHOLD_BYTES)
