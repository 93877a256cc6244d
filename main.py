"""HTTP entry point: receives an event and responds with a verdict."""

import gc
import os
import sys
from datetime import UTC, datetime

import functions_framework

# Not used here, but imported early: at the end of a long chain of imports, importing requests takes 10 ms more, because
# CPython maps and unmaps memory for each call at certain depths of the stack.
import requests  # noqa: F401
from flask import Request, Response

from ddm_precheck import credentials, envelope, event, log, responses, result, serialization, settings, sink, waiting
from ddm_precheck.ddm import Client, DDMResponse
from ddm_precheck.envelope import Envelope
from ddm_precheck.event import Event
from ddm_precheck.memory import limit_heap, limit_request_line, one_at_a_time
from ddm_precheck.problem import Problem, ProblemCode
from ddm_precheck.transport import Transport
from ddm_precheck.verdict import Decision, Verdict, judge

try:
    _SETTINGS = settings.from_environment(os.environ)
except settings.SettingsError as error:
    sys.exit(f"ddm-precheck cannot start: {error}")
limit_heap()
limit_request_line()
_TRANSPORT = Transport(_SETTINGS.threads, _SETTINGS.ca_bundle)
_DDM = Client(_SETTINGS, _TRANSPORT)
# Exclude the imported modules from garbage collection: they are never freed, and a request with 1,000 checks starts
# several collections.
gc.freeze()


@functions_framework.http
def precheck(request: Request) -> Response:
    """Respond to the request with a summary or a problem, and write one log line in every case."""
    entry = log.LogEntry()
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
    received, parsed = one_at_a_time(_parse_event, envelope.read_body(request), request)
    entry.record_event(parsed, request)
    parsed = credentials.with_token(parsed, request.headers, _SETTINGS)
    # Record the event again before its IDs are refused: they may contain the platform's token, which the entry redacts.
    entry.record_event(parsed, request)
    event.refuse_token_in_ids(parsed, parsed.token)
    decision, summary_json = _decide(parsed, entry)
    if received.is_delivery and decision.verdict is Verdict.PENDING:
        raise Problem(ProblemCode.PENDING, decision.message, upstream=decision.upstream)
    if received.is_delivery and _SETTINGS.sink:
        sink.send_to_sink(decision, summary_json, received, _SETTINGS.sink, _TRANSPORT)
        return responses.accepted_response()
    return responses.summary_response(decision, summary_json, received)


def _parse_event(body: bytes, request: Request) -> tuple[Envelope, Event]:
    received = envelope.unwrap(body, request)
    return received, event.parse(received.data, request.headers.get("X-Auth-Token"), _SETTINGS)


def _decide(parsed: Event, entry: log.LogEntry) -> tuple[Decision, bytes]:
    """Request the result until the verdict is not PENDING or the wait ends. Return the decision and the summary."""
    for _ in waiting.polls(min(parsed.wait_seconds, _SETTINGS.max_wait)):
        decision, summary_json = one_at_a_time(_judge, _DDM.fetch(parsed), parsed)
        entry.record_decision(decision)
        if decision.verdict is not Verdict.PENDING:
            break
    return decision, summary_json


def _judge(response: DDMResponse, parsed: Event) -> tuple[Decision, bytes]:
    summary = judge(parsed, result.parse(response, parsed), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    # Return no checks: they take many times the memory of the JSON, and must not be kept after the lock is released.
    return summary.decision, serialization.summary_json(summary)


def _problem_response(problem: Problem, request: Request, entry: log.LogEntry) -> Response:
    entry.record_problem(problem)
    return responses.problem_response(problem, request)
