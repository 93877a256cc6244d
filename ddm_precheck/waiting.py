"""Waits for the end of a precheck, within one request to the function."""

from collections.abc import Iterator
from time import monotonic, sleep
from typing import Final

from ddm_precheck import framework_hooks

POLL_SECONDS: Final = 5
_STEP_SECONDS: Final = 0.25


def polls(max_seconds: float) -> Iterator[None]:
    """Yield once for each request to DDM: immediately, then 5 seconds after the end of each request.

    The wait ends if less than 5 of the ``max_seconds`` remain, or if the server is stopping.
    """
    deadline = monotonic() + max_seconds
    yield
    while monotonic() + POLL_SECONDS <= deadline and _sleep_until_next_poll():
        yield


def _sleep_until_next_poll() -> bool:
    """Sleep until the next poll, or return False as soon as the server stops."""
    end = monotonic() + POLL_SECONDS
    while (remaining := end - monotonic()) > 0:
        if framework_hooks.is_stopping():
            return False
        sleep(min(remaining, _STEP_SECONDS))
    return True
