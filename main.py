"""HTTP entry point for functions-framework: receives an event and responds with a verdict."""

import gc
import io
import os
import sys

import functions_framework
from flask import Request, Response

from ddm_precheck.app import App
from ddm_precheck.framework_hooks import limit_request_line, read_body
from ddm_precheck.messages import Incoming
from ddm_precheck.settings import SettingsError

try:
    _APP = App.from_environment(os.environ)
except SettingsError as error:
    sys.exit(f"ddm-precheck cannot start: {error}")
limit_request_line()
# Exclude the imported modules from garbage collection: they are never freed, and a request with 1,000 checks starts
# several collections.
gc.freeze()


@functions_framework.http
def precheck(request: Request) -> Response:
    """Pass the request to the core, and return the core's response."""
    headers = {name.lower(): value for name, value in request.headers}
    stream, request.stream = request.stream, io.BytesIO()  # functions-framework reads what is left of the stream
    incoming = Incoming(
        method=request.method,
        headers=headers,
        body=read_body(stream),
        agency_token=lambda: headers.get("x-cff-auth-token"),  # set by FunctionGraph if Include Keys is on
    )
    outgoing = _APP.handle(incoming)
    response = Response(outgoing.body, outgoing.status)
    response.headers.clear()  # Flask sets HTML
    response.headers.update(outgoing.headers)
    return response
