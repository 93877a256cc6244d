"""Runs a Google Workflows file in the emulator, once for each argument.

Usage: ``python run_workflow.py WORKFLOW_FILE < arguments.json``, with the Python that has the emulator. It prints one
line: for each argument, in their order, ``{"returned": …}`` or ``{"raised": …}``. All executions run at the same time.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from workflows_emulator.main import execute_workflow, load_workflow
from workflows_emulator.utils import WorkflowError


def execute(argument: Any) -> dict[str, Any]:
    """Run the workflow once and return how it ended."""
    try:
        return {"returned": execute_workflow(load_workflow(sys.argv[1]), {"args": argument})}
    except WorkflowError as error:
        return {"raised": error.payload}


arguments = json.load(sys.stdin)
with ThreadPoolExecutor(len(arguments)) as threads:
    print(json.dumps(list(threads.map(execute, arguments))))
