"""Entry point of the event function on Huawei Cloud's FunctionGraph (handler ``event_function.handler``).

The package has its libraries in ``lib/``. They must come before those of the runtime, which has an older requests.
Nothing is imported before the first invocation, so that a fault of the installation or of the settings is one line.
"""

import json
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

_LIB = Path(__file__).resolve().parent / "lib"
if _LIB.is_dir():
    sys.path.insert(0, str(_LIB))


class StartError(Exception):
    """The function cannot start. The message is one line that says why, and quotes no value."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"ddm-precheck cannot start: {reason}")


def handler(event: Any, context: Any) -> Any:
    """Return the verdict on the precheck in an event, as described in ``ddm_precheck.functiongraph``.

    Raises DeliveryFailed for a delivery without a verdict, and StartError if the function cannot start.
    """
    return _function()(event, context)


def initializer(context: Any) -> None:  # noqa: ARG001 - FunctionGraph passes it
    """Prepare the function before the first event. Raises StartError if the function cannot start."""
    _function()


@cache
def _function() -> Callable[[Any, Any], Any]:
    _check_libraries()
    from ddm_precheck.app import App  # noqa: PLC0415
    from ddm_precheck.functiongraph import handle  # noqa: PLC0415
    from ddm_precheck.settings import SettingsError  # noqa: PLC0415

    _complete_environment()
    try:
        app = App.from_environment(os.environ)
    except SettingsError as error:
        raise StartError(error) from None
    return lambda event, context: handle(app, event, context)


def _check_libraries() -> None:
    for name in ("requests", "urllib3", "jsonschema"):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file and _LIB.is_dir() and not Path(file).resolve().is_relative_to(_LIB):
            raise StartError(
                f"{name} of the runtime was imported before the function; remove its dependencies and layers"
            )


def _complete_environment() -> None:
    """Add the variables in RUNTIME_USERDATA, a JSON object, to those that requests and the settings read."""
    try:
        for name, value in json.loads(os.environ.get("RUNTIME_USERDATA") or "{}").items():
            os.environ.setdefault(name, str(value))
    except (OSError, ValueError, AttributeError):
        raise StartError("RUNTIME_USERDATA must be a JSON object of environment variables") from None
