"""Runs an event function with the executor of openYuanRong, Huawei's open-source kernel of FunctionGraph.

Usage: ``python -I -S run_yuanrong.py CODE RUNTIME < calls.json``. CODE is the unpacked package; RUNTIME has the
packages yr, cloudpickle and protobuf. stdin is a JSON list of ``[event, token of the agency]``. The last line of stdout
is a JSON list with one object for each call: its ``code``, the ``body`` and the ``output`` of the function.
"""
# mypy: ignore-errors

import contextlib
import io
import json
import sys

code, runtime = sys.argv[1:3]
sys.path[:0] = [code, runtime]

from yr.code_manager import CodeManager  # noqa: E402
from yr.common import constants  # noqa: E402
from yr.executor.faas_executor import faas_call_handler, faas_init_handler  # noqa: E402
from yr.functionsdk.context import Context  # noqa: E402

import event_function  # noqa: E402

Context.getToken = Context.getAuthToken  # the name of FunctionGraph's context
FUNCTION = {"name": "0@default@ddm-precheck-event", "handler": "event_function.handler", "timeout": "60"}
INITIALIZER = {"initializer_handler": "event_function.initializer", "initializer_timeout": 30}


class Argument:
    """An argument as the platform passes it: 16 bytes, then JSON."""

    def __init__(self, value: object) -> None:
        self.value = value

    def to_pybytes(self) -> bytes:
        return constants.META_PREFIX.encode() + json.dumps(self.value).encode()


def call(event: object, token: str) -> dict[str, str]:
    output = io.StringIO()
    arguments = [Argument({}), Argument({"header": {"X-Auth-Token": token}, "body": event})]
    with contextlib.redirect_stdout(output):
        response = json.loads(faas_call_handler(arguments)[constants.METALEN :])
    return {"code": response["innerCode"], "body": response["body"], "output": output.getvalue()}


CodeManager().register(constants.KEY_USER_CALL_ENTRY, event_function.handler)
CodeManager().register(constants.KEY_USER_INIT_ENTRY, event_function.initializer)
faas_init_handler([Argument({"funcMetaData": FUNCTION, "extendedMetaData": {"initializer": INITIALIZER}})])
print(json.dumps([call(event, token) for event, token in json.load(sys.stdin)]))
