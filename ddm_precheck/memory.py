"""The bound on memory: one document at a time is a Python value.

JSON grows 24 to 50 times when it is parsed, so 64 documents of 1 MiB at once would take 3 GiB. Parsing keeps Python's
global lock anyway, so nothing is lost where the requests take turns.
"""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from ddm_precheck.problem import Problem

_LOCK: Final = threading.Lock()
_Result = TypeVar("_Result")


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
