"""The DDM precheck function: one event in, one verdict out. This is the story of one invocation."""

import os
import sys
from datetime import UTC, datetime

import functions_framework
from flask import Request, Response

from ddm_precheck import event, log, responses, settings, sink
from ddm_precheck.ddm import Client
from ddm_precheck.envelope import discard, receive
from ddm_precheck.problem import Problem
from ddm_precheck.transport import Transport
from ddm_precheck.verdict import Verdict, judge

try:
    _SETTINGS = settings.from_environment(os.environ)
except settings.SettingsError as error:
    sys.exit(f"ddm-precheck cannot start: {error}")
_TRANSPORT = Transport(_SETTINGS.threads)
_DDM = Client(_SETTINGS, _TRANSPORT)


@functions_framework.http
def precheck(request: Request) -> Response:
    """Answer one request with a summary or a problem, and log one line about it, whatever happens."""
    line = log.begin(request)
    try:
        response = _invoke(request, line)
    except Problem as problem:
        response = _tell(problem, request, line)
    except Exception as bug:  # noqa: BLE001 - whatever it is, the caller gets an answer and no stack trace
        line.exception = log.whereabouts(bug)
        response = _tell(Problem("internal", "The function failed; its log has more"), request, line)
    line.write(response.status_code)
    return response


def _invoke(request: Request, line: log.Line) -> Response:
    if request.method != "POST":
        discard(request)
        if request.method == "OPTIONS":
            line.message = "Told what is allowed"
            return responses.for_options()
        raise Problem("method-not-allowed", "Send the event with POST")
    delivery = receive(request)
    asked = line.event = event.parse(delivery.document, request.headers.get("X-Auth-Token"), _SETTINGS)
    found = _DDM.fetch(asked)
    line.upstream = found.upstream
    summary = judge(asked, found.results, found.upstream, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    line.verdict, line.message = summary.verdict.value, summary.message
    if delivery.is_event and summary.verdict is Verdict.PENDING:
        raise Problem("pending", summary.message, upstream=found.upstream)
    if delivery.is_event and _SETTINGS.sink:
        sink.deliver(summary, delivery, _SETTINGS.sink, _TRANSPORT)
        return responses.for_taken()
    return responses.for_summary(summary, delivery)


def _tell(problem: Problem, request: Request, line: log.Line) -> Response:
    line.problem, line.verdict, line.message = problem, problem.verdict, problem.detail
    line.upstream = problem.upstream or line.upstream
    return responses.for_problem(problem, request)
