"""Counts how often a file is opened, with Linux's inotify."""

import ctypes
import os
import struct
from pathlib import Path
from typing import Final, Self

_IN_OPEN: Final = 0x20
_EVENT_HEADER: Final = struct.Struct("iIII")


class FileWatch:
    """Counts how often any process opens a file or directory, while the context lasts."""

    def __init__(self, path: Path) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._path = path

    def __enter__(self) -> Self:
        """Start watching."""
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0 or self._libc.inotify_add_watch(self._descriptor, bytes(self._path), _IN_OPEN) < 0:
            raise OSError(ctypes.get_errno(), "inotify")
        return self

    def __exit__(self, *_: object) -> None:
        """Stop watching."""
        os.close(self._descriptor)

    def new_opens(self) -> int:
        """Return how often the file was opened since the previous call. The kernel merges consecutive equal events."""
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return 0
        number = 0
        while data:
            *_, name_length = _EVENT_HEADER.unpack_from(data)
            data = data[_EVENT_HEADER.size + name_length :]
            number += 1
        return number
