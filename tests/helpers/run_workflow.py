"""Runs a Google Workflows file in the emulator, once for each argument.

Usage: ``python run_workflow.py WORKFLOW_FILE < arguments.json``, with a Python that can import the emulator. Prints one
line: for each argument, in order, ``{"returned": …}`` or ``{"raised": …}``. All executions run at the same time.

This program corrects two differences between the emulator and Workflows. The emulator has no callbacks: see
`Callbacks`. It converts the value of an expression to YAML and back, which changes line breaks and null: see `render`.
"""

import json
import os
import queue
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import workflows_emulator.render
from workflows_emulator.main import execute_workflow, load_workflow
from workflows_emulator.render import STANDARD_LIBRARY, run_code
from workflows_emulator.utils import ContextDict, WorkflowError


class Callbacks(ThreadingHTTPServer):
    """The module ``events``: endpoints on a loopback port, each with a queue of the requests that it received."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), CallbackHandler)
        self.received: dict[str, queue.Queue[Any]] = {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def create_callback_endpoint(self, http_callback_method: str) -> dict[str, str]:
        """Return a new endpoint."""
        assert http_callback_method == "POST"
        path = f"/callbacks/{uuid.uuid4()}"
        self.received[path] = queue.Queue()
        return {"url": f"http://127.0.0.1:{self.server_address[1]}{path}"}

    def await_callback(self, callback: dict[str, str], timeout: float) -> Any:
        """Return the next request to the endpoint. Raises TimeoutError, after MAX_CALLBACK_SECONDS at the latest."""
        timeout = min(timeout, float(os.environ["MAX_CALLBACK_SECONDS"]))
        try:
            body = self.received["/" + callback["url"].split("/", 3)[3]].get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError("no callback arrived") from None
        return ContextDict({"http_request": {"method": "POST", "body": body}})


class CallbackHandler(BaseHTTPRequestHandler):
    """Puts the JSON body of each request into the endpoint's queue."""

    server: Callbacks

    def do_POST(self) -> None:
        """Receive one callback."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received[self.path].put(body)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Write no log."""


def render(value: Any, context: Any) -> Any:
    """Return a string of the workflow or, if the string is an expression, the expression's value."""
    if isinstance(value, str) and value.startswith("${"):
        return to_plain(run_code(value[2:-1], context))
    return value


def to_plain(value: Any) -> Any:
    """Return the value with a dict instead of each map of the emulator."""
    if isinstance(value, dict):
        return {name: to_plain(dict.__getitem__(value, name)) for name in dict.keys(value)}
    return [to_plain(item) for item in value] if isinstance(value, list) else value


def execute(argument: Any) -> dict[str, Any]:
    """Run the workflow once and return how it ended."""
    try:
        return {"returned": execute_workflow(load_workflow(sys.argv[1]), {"args": argument})}
    except WorkflowError as error:
        return {"raised": error.payload}


workflows_emulator.render.render_str = render
callbacks = Callbacks()
STANDARD_LIBRARY["events"] = SimpleNamespace(
    create_callback_endpoint=callbacks.create_callback_endpoint, await_callback=callbacks.await_callback
)
arguments = json.load(sys.stdin)
with ThreadPoolExecutor(len(arguments)) as threads:
    print(json.dumps(list(threads.map(execute, arguments))))
