"""The hooks into functions-framework and gunicorn, the packages that serve the function.

Neither package documents the names that the hooks use. ``requirements.txt`` and ``constraints.txt`` pin the versions
that have these names, and a test in the table fails if a new version does not have them.

+----------------------------+------------------------------------+-------------------------+--------------------------+
| guarantee                  | packages without the hook          | hook                    | test                     |
+============================+====================================+=========================+==========================+
| a request line has at most | functions-framework turns          | `limit_request_line`    | test_framework_hooks.py, |
| 4 KiB                      | gunicorn's limit off               |                         | test_serving.py          |
+----------------------------+------------------------------------+-------------------------+--------------------------+
| a wait ends when the       | a request is not informed that     | `is_stopping`           | test_waiting.py:         |
| server stops               | its server stops                   |                         | test_termination         |
+----------------------------+------------------------------------+-------------------------+--------------------------+
| an execution ID that       | LOG_EXECUTION_ID adds each         | `stdout`                | test_execution_id.py     |
| contains the token is not  | caller's execution ID to each log  |                         |                          |
| logged                     | line                               |                         |                          |
+----------------------------+------------------------------------+-------------------------+--------------------------+
"""

import signal
import sys
from typing import TextIO


def limit_request_line() -> None:
    """Make gunicorn refuse a request line of over 4 KiB (status 414). Call this function before the server starts.

    functions-framework turns gunicorn's limit off, so that clients could fill the memory with request lines. The limit
    is turned off after the function is loaded; therefore gunicorn's option itself has to ignore the new value.
    """
    if "functions_framework._cli" in sys.modules:  # else this process starts no server, and gunicorn takes time to load
        from gunicorn.config import LimitRequestLine  # noqa: PLC0415

        LimitRequestLine.validator = staticmethod(lambda _: LimitRequestLine.default)


def is_stopping() -> bool:
    """Return whether gunicorn's worker has received SIGTERM.

    functions-framework has no hook for the end of a worker. gunicorn's signal handler is a method of the worker object
    and sets the attribute ``alive`` of the worker to false.
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(worker, "alive", True) is False


def adds_execution_ids() -> bool:
    """Return whether LOG_EXECUTION_ID is set: functions-framework has then replaced stdout by a wrapper."""
    return hasattr(sys.stdout, "stream")


def stdout() -> TextIO | None:
    """Return stdout without the wrapper of LOG_EXECUTION_ID; None if stdout was closed before the start."""
    stream: TextIO | None = getattr(sys.stdout, "stream", sys.stdout)
    return stream
