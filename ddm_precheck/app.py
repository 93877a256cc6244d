"""The story of a request: event -> token -> DDM's result -> verdict -> response, with one log line at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Final, NamedTuple, Self

from ddm_precheck import cloudevents, credentials, envelopes, framework_hooks, log, serialization, settings, sink
from ddm_precheck.checks import pack_checks, unpack_checks
from ddm_precheck.ddm import Client, parse_result
from ddm_precheck.envelopes import Envelope, Handshake
from ddm_precheck.event import Precheck, parse_event
from ddm_precheck.memory import configure_malloc, one_at_a_time
from ddm_precheck.messages import Incoming, Outgoing
from ddm_precheck.problem import Problem, ProblemCode
from ddm_precheck.settings import Settings
from ddm_precheck.transport import Transport
from ddm_precheck.verdict import Decision, Verdict, judge

_POLL_SECONDS: Final = 5
_STEP_SECONDS: Final = 0.25
_PROBLEM_JSON: Final = "application/problem+json"


class _Request(NamedTuple):
    envelope: Envelope
    precheck: Precheck
    synchronous_checks: bytes
    caller_token: credentials.Token | None


class App:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport = Transport(settings.ca_bundle)
        self._ddm = Client(settings, self._transport)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the function with its settings, before threads start. Raises SettingsError for an invalid value."""
        app = cls(settings.from_environment(environment))
        configure_malloc()
        return app

    def handle(self, incoming: Incoming) -> Outgoing:
        """Respond with a summary, a problem or a handshake, and write one log line in every case. Raises nothing."""
        entry = log.Entry(log.find_trace(incoming))
        try:
            outgoing = self._respond(incoming, entry)
        except Problem as problem:
            problem.__context__ = problem.__traceback__ = None  # frees the frames, with the parsed body
            outgoing = _problem_response(problem, entry, incoming.header("accept"))
        except Exception as bug:  # noqa: BLE001 - the caller always gets a response, and never a stack trace
            entry.exception = log.describe_exception(bug)
            failure = Problem(ProblemCode.INTERNAL, "Internal error; see the function log")
            outgoing = _problem_response(failure, entry, incoming.header("accept"))
        entry.write(outgoing.status)
        return outgoing

    def reject(self, problem: Problem) -> Outgoing:
        entry = log.Entry()
        outgoing = _problem_response(problem, entry)
        entry.write(outgoing.status)
        return outgoing

    def _respond(self, incoming: Incoming, entry: log.Entry) -> Outgoing:
        with one_at_a_time:
            request = self._parse(incoming, entry)
        if isinstance(request, Outgoing):
            return request
        entry.precheck = request.precheck
        token = credentials.resolve_token(request.caller_token, request.precheck, incoming.agency_token, self._settings)
        entry.token_from = token.source
        decision, summary = self._wait_for_decision(request, token, entry)
        envelope = request.envelope
        if not envelope.is_delivery:
            return envelope.reply(decision, summary)
        envelope = replace(envelope, id=token.redact(envelope.id))
        if decision.verdict is Verdict.PENDING:
            raise Problem(ProblemCode.PENDING, decision.message, upstream=decision.upstream)
        if self._settings.sink:
            attributes = cloudevents.encode_attributes(envelope.id, envelope.traceparent, decision)
            sink.send_summary(decision, summary, attributes, self._settings.sink, self._transport)
            return Outgoing(202, {}, summary=summary)
        return envelope.reply(decision, summary)

    def _parse(self, incoming: Incoming, entry: log.Entry) -> _Request | Outgoing:
        envelope, data = envelopes.open_envelope(incoming)
        if isinstance(envelope, Handshake):
            outgoing, entry.message = envelope.answer(incoming, data, self._settings)
            return outgoing
        token, token_faults = credentials.take_token(data, incoming.header("x-auth-token"), self._settings)
        precheck, synchronous_checks = parse_event(data, self._settings, token_faults)
        return _Request(envelope, precheck, pack_checks(synchronous_checks), token)

    def _wait_for_decision(
        self, request: _Request, token: credentials.Token, entry: log.Entry
    ) -> tuple[Decision, bytes]:
        """Request the result until the verdict is not PENDING or the wait ends. Return the decision and the summary."""
        for _ in _polls(min(request.precheck.wait_seconds, self._settings.max_wait_seconds)):
            summary = b""  # the summary of the last poll, of up to 2 MiB, is not kept while the next result arrives
            decision, summary = self._poll(request, token)
            entry.record_decision(decision)
            if decision.verdict is not Verdict.PENDING:
                break
        return decision, summary

    def _poll(self, request: _Request, token: credentials.Token) -> tuple[Decision, bytes]:
        """Request the result once. Return the decision, and the summary as JSON, which takes less memory."""
        http, upstream = self._ddm.fetch(request.precheck, token)
        with one_at_a_time:
            asynchronous, upstream = parse_result(http, upstream, request.precheck, token)
            synchronous = token.redact_checks(unpack_checks(request.synchronous_checks))
            checked_at = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            summary = judge(request.precheck, synchronous, asynchronous, upstream, checked_at)
            return summary.decision, serialization.summary_json(summary)


def _polls(max_seconds: float) -> Iterator[None]:
    """Yield for each request to DDM: immediately, then every 5 seconds, and after the wait. SIGTERM ends the wait."""
    end = monotonic() + max_seconds
    yield
    while (now := monotonic()) < end:
        next_poll = min(now + _POLL_SECONDS, end)
        while (remaining := next_poll - monotonic()) > 0:
            if framework_hooks.is_stopping():
                return
            sleep(min(remaining, _STEP_SECONDS))
        yield


def _problem_response(problem: Problem, entry: log.Entry, accept: str = "") -> Outgoing:
    """Return the problem, as ``application/problem+json`` only on request: low-code engines parse only JSON."""
    entry.record_problem(problem)
    content_type = _PROBLEM_JSON if _PROBLEM_JSON in accept.lower() else "application/json"
    headers = {"Content-Type": content_type}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.code is ProblemCode.METHOD_NOT_ALLOWED:
        headers["Allow"] = envelopes.ALLOWED_METHODS
    return Outgoing(problem.code.status, headers, serialization.problem_json(problem))
