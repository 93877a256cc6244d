"""The HTTP entry point: one event in, one verdict out."""

import gc
import os
import sys
from datetime import UTC, datetime

import functions_framework
from flask import Request, Response

from ddm_precheck import credentials, envelope, event, log, responses, result, serialization, settings, sink, waiting
from ddm_precheck.ddm import Client, DDMResponse
from ddm_precheck.envelope import Envelope
from ddm_precheck.event import Event
from ddm_precheck.memory import limit_heap, one_at_a_time
from ddm_precheck.problem import Problem, ProblemCode
from ddm_precheck.transport import Transport
from ddm_precheck.verdict import Decision, Verdict, judge

try:
    _SETTINGS = settings.from_environment(os.environ)
except settings.SettingsError as error:
    sys.exit(f"ddm-precheck cannot start: {error}")
limit_heap()
_TRANSPORT = Transport(_SETTINGS.threads, _SETTINGS.ca_bundle)
_DDM = Client(_SETTINGS, _TRANSPORT)
# The imported modules live as long as the process, so the garbage collector does not have to look at them again. A
# request with 1,000 checks starts it several times.
gc.freeze()


@functions_framework.http
def precheck(request: Request) -> Response:
    """Respond to one request with a summary or a problem, and write one log line, whatever happens."""
    entry = log.start_entry(request)
    try:
        response = _respond(request, entry)
    except Problem as problem:
        response = _problem_response(problem, request, entry)
    except Exception as bug:  # noqa: BLE001 - the caller always gets a response, and never a stack trace
        entry.exception = log.summarize_traceback(bug)
        failure = Problem(ProblemCode.INTERNAL, "The function failed; its log has the reason")
        response = _problem_response(failure, request, entry)
    entry.write(response.status_code)
    return response


def _respond(request: Request, entry: log.LogEntry) -> Response:
    if request.method != "POST":
        envelope.drain_body(request)
        if request.method == "OPTIONS":
            entry.message = "OPTIONS: the allowed methods"
            return responses.options_response()
        raise Problem(ProblemCode.METHOD_NOT_ALLOWED, "Send the event with POST")
    wrapped, entry.event = one_at_a_time(_parse_event, envelope.read_body(request), request, entry)
    asked = credentials.with_token(entry.event, request.headers, _SETTINGS)
    # First the entry, which redacts the IDs, then the check that they contain no token.
    entry.event = asked
    event.refuse_token_in_ids(asked, asked.token)
    decision, summary = _decide(asked, entry)
    if wrapped.is_delivery and decision.verdict is Verdict.PENDING:
        raise Problem(ProblemCode.PENDING, decision.message, upstream=decision.upstream)
    if wrapped.is_delivery and _SETTINGS.sink:
        sink.send_to_sink(decision, summary, wrapped, _SETTINGS.sink, _TRANSPORT)
        return responses.accepted_response()
    return responses.summary_response(decision, summary, wrapped)


def _parse_event(body: bytes, request: Request, entry: log.LogEntry) -> tuple[Envelope, Event]:
    try:
        wrapped = envelope.unwrap(body, request)
        return wrapped, event.parse(wrapped.data, request.headers.get("X-Auth-Token"), _SETTINGS)
    except Problem:
        entry.drop_trace_in(body)
        raise


def _decide(asked: Event, entry: log.LogEntry) -> tuple[Decision, bytes]:
    """Ask DDM until there is a verdict or the wait is over; return the decision and the summary's JSON."""
    for _ in waiting.polls(min(asked.wait_seconds, _SETTINGS.max_wait)):
        decision, summary = one_at_a_time(_judge, _DDM.fetch(asked), asked)
        entry.record_decision(decision)
        if decision.verdict is not Verdict.PENDING:
            break
    return decision, summary


def _judge(response: DDMResponse, asked: Event) -> tuple[Decision, bytes]:
    summary = judge(asked, result.parse(response, asked), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    # Only the JSON text outlives the lock: the values take many times its memory.
    return summary.decision, serialization.summary_json(summary)


def _problem_response(problem: Problem, request: Request, entry: log.LogEntry) -> Response:
    entry.record_problem(problem)
    return responses.problem_response(problem, request)
