"""The hooks into functions-framework and gunicorn, which serve the HTTP function.

Neither package documents the names that the hooks use. ``requirements.txt`` and ``constraints.txt`` pin the versions
that have these names, and a test fails if a new version does not have them.
"""

import signal


def limit_request_line() -> None:
    """Make gunicorn reject a request line of over 4 KiB (status 414). Call this function before the server starts.

    functions-framework turns gunicorn's limit off, so that clients could fill the memory with request lines. It does so
    after the function is loaded; therefore gunicorn's option itself has to ignore the new value.
    """
    from gunicorn.config import LimitRequestLine  # noqa: PLC0415 - the event function has no gunicorn

    LimitRequestLine.validator = staticmethod(lambda _: LimitRequestLine.default)


def is_stopping() -> bool:
    """Return whether gunicorn's worker has received SIGTERM; False without gunicorn.

    functions-framework has no hook for the end of a worker. gunicorn's signal handler is a method of the worker object
    and sets the attribute ``alive`` of the worker to false.
    """
    worker = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return getattr(worker, "alive", True) is False
