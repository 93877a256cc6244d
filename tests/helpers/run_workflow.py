"""Runs a Google Workflows file in the emulator, once for each argument, all executions at the same time.

Usage: ``python run_workflow.py WORKFLOW_FILE < arguments.json``, with the emulator on PYTHONPATH. It prints one JSON
list: for each argument ``{"returned": …}`` or ``{"raised": …}``, in the order of the arguments.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from workflows_emulator.main import execute_workflow, load_workflow
from workflows_emulator.utils import WorkflowError


def execute(argument: Any) -> dict[str, Any]:
    """Execute the workflow once and return its result or its error."""
    try:
        return {"returned": execute_workflow(load_workflow(sys.argv[1]), {"args": argument})}
    except WorkflowError as error:
        return {"raised": error.payload}


arguments = json.load(sys.stdin)
with ThreadPoolExecutor(len(arguments)) as threads:
    print(json.dumps(list(threads.map(execute, arguments))))
