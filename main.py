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

from ddm_precheck import credentials, framework_hooks, log, responses, result, serialization, settings, sink, waiting
from ddm_precheck.ddm import DDMClient, DDMResponse
from ddm_precheck.envelope import Envelope, drain_body, read_body, unwrap
from ddm_precheck.event import Event, parse_event, refuse_token_in_ids
from ddm_precheck.memory import configure_malloc, one_at_a_time
from ddm_precheck.problem import Problem, ProblemCode
from ddm_precheck.transport import Transport
from ddm_precheck.verdict import Decision, Verdict, judge

try:
    _SETTINGS = settings.from_environment(os.environ)
except settings.SettingsError as error:
    sys.exit(f"ddm-precheck cannot start: {error}")
configure_malloc()
framework_hooks.limit_request_line()
_TRANSPORT = Transport(_SETTINGS.threads, _SETTINGS.ca_bundle)
_DDM = DDMClient(_SETTINGS, _TRANSPORT)
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
        drain_body(request)
        if request.method == "OPTIONS":
            entry.message = "OPTIONS: the allowed methods"
            return responses.options_response()
        raise Problem(ProblemCode.METHOD_NOT_ALLOWED, "Send the event with POST")
    envelope, event = one_at_a_time(_parse_request, read_body(request), request)
    entry.record_event(event, request)
    event = credentials.with_token(event, request.headers, _SETTINGS)
    # Record the event again before the check: the IDs may contain the platform's token, and the entry redacts them.
    entry.record_event(event, request)
    refuse_token_in_ids(event, event.token)
    decision, summary_json = _wait_for_decision(event, entry)
    if envelope.is_delivery and decision.verdict is Verdict.PENDING:
        raise Problem(ProblemCode.PENDING, decision.message, upstream=decision.upstream)
    if envelope.is_delivery and _SETTINGS.sink:
        sink.send_summary(decision, summary_json, envelope, _SETTINGS.sink, _TRANSPORT)
        return responses.accepted_response()
    return responses.summary_response(decision, summary_json, envelope)


def _parse_request(body: bytes, request: Request) -> tuple[Envelope, Event]:
    envelope = unwrap(body, request)
    return envelope, parse_event(envelope.data, request.headers.get("X-Auth-Token"), _SETTINGS)


def _wait_for_decision(event: Event, entry: log.LogEntry) -> tuple[Decision, bytes]:
    """Request the result until the verdict is not PENDING or the wait ends. Return the decision and the summary."""
    for _ in waiting.polls(min(event.wait_seconds, _SETTINGS.max_wait_seconds)):
        summary_json = b""  # the summary of the last poll, of up to 2 MiB, is not kept while the next result arrives
        decision, summary_json = one_at_a_time(_judge, _DDM.fetch(event), event)
        entry.record_decision(decision)
        if decision.verdict is not Verdict.PENDING:
            break
    return decision, summary_json


def _judge(response: DDMResponse, event: Event) -> tuple[Decision, bytes]:
    summary = judge(event, result.parse(response, event), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    # Return only the JSON text: the checks take many times its memory and must not be kept after the lock is released.
    return summary.decision, serialization.summary_json(summary)


def _problem_response(problem: Problem, request: Request, entry: log.LogEntry) -> Response:
    entry.record_problem(problem)
    return responses.problem_response(problem, request)
