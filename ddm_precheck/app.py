"""The story of a request: event -> token -> DDM's result -> verdict -> response, with one log line at the end."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Final, NamedTuple, Self

from ddm_precheck import cloudevents, credentials, envelopes, log, serialization, server, settings, sink
from ddm_precheck.ddm import Client, DDMResponse, parse_result
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
    caller_token: credentials.Token | None


class _Answer(NamedTuple):
    outgoing: Outgoing
    log_message: str


class App:
    """The function, independent of the platform that calls it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._transport = Transport(settings.ca_bundle)
        self._ddm = Client(settings, self._transport)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Return the function with the settings in environment variables. Call this method before threads start.

        Raises SettingsError for an invalid value.
        """
        app = cls(settings.from_environment(environment))
        configure_malloc()
        return app

    def handle(self, incoming: Incoming) -> Outgoing:
        """Respond with a summary, a problem or a handshake, and write one log line in every case. Raises nothing."""
        entry = log.Entry(log.find_trace(incoming))
        try:
            outgoing = self._respond(incoming, entry)
        except Problem as problem:
            outgoing = _problem_response(problem, incoming, entry)
        except Exception as bug:  # noqa: BLE001 - the caller always gets a response, and never a stack trace
            entry.exception = log.describe_exception(bug)
            failure = Problem(ProblemCode.INTERNAL, "Internal error; see the function log")
            outgoing = _problem_response(failure, incoming, entry)
        entry.write(outgoing.status)
        return outgoing

    def reject(self, problem: Problem) -> Outgoing:
        """Respond with a problem to what is not a request, and write its log line."""
        entry = log.Entry()
        outgoing = _problem_response(problem, Incoming("POST", {}, None), entry)
        entry.write(outgoing.status)
        return outgoing

    def _respond(self, incoming: Incoming, entry: log.Entry) -> Outgoing:
        with one_at_a_time:
            request = self._parse(incoming)
        if isinstance(request, _Answer):
            entry.message = request.log_message
            return request.outgoing
        entry.precheck = request.precheck
        token = credentials.resolve_token(request.caller_token, request.precheck, incoming.agency_token, self._settings)
        entry.token_from = token.source
        precheck = replace(
            request.precheck, synchronous_checks=token.redact_checks(request.precheck.synchronous_checks)
        )
        envelope = replace(request.envelope, id=token.redact(request.envelope.id))
        decision, summary = self._wait_for_decision(precheck, token, entry)
        if not envelope.is_delivery:
            return envelope.reply(decision, summary)
        if decision.verdict is Verdict.PENDING:
            raise Problem(ProblemCode.PENDING, decision.message, upstream=decision.upstream)
        if self._settings.sink:
            attributes = cloudevents.encode_attributes(envelope.id, envelope.traceparent, decision)
            sink.send_summary(decision, summary, attributes, self._settings.sink, self._transport)
            return Outgoing(202, {}, summary=summary)
        return envelope.reply(decision, summary)

    def _parse(self, incoming: Incoming) -> _Request | _Answer:
        value = envelopes.read_value(incoming)
        envelope_format = envelopes.find_format(incoming, value)
        if issubclass(envelope_format, Handshake):
            return _Answer(*envelope_format.answer(incoming, value, self._settings))
        envelope, data = envelope_format.open(incoming, value)
        token, token_faults = credentials.take_token(data, incoming.header("x-auth-token"), self._settings)
        return _Request(envelope, parse_event(data, self._settings, token_faults), token)

    def _wait_for_decision(
        self, precheck: Precheck, token: credentials.Token, entry: log.Entry
    ) -> tuple[Decision, bytes]:
        """Request the result until the verdict is not PENDING or the wait ends. Return the decision and the summary."""
        for _ in _polls(min(precheck.wait_seconds, self._settings.max_wait_seconds)):
            summary = b""  # the summary of the last poll, of up to 2 MiB, is not kept while the next result arrives
            response = self._ddm.fetch(precheck, token)
            with one_at_a_time:
                decision, summary = _judge(response, precheck, token)
            del response
            entry.record_decision(decision)
            if decision.verdict is not Verdict.PENDING:
                break
        return decision, summary


def _judge(response: DDMResponse, precheck: Precheck, token: credentials.Token) -> tuple[Decision, bytes]:
    result = parse_result(response, precheck, token)
    summary = judge(precheck, result.checks, result.upstream, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")
    # Return only JSON: the checks take many times its memory and must not be kept after the lock is released.
    return summary.decision, serialization.summary_json(summary)


def _polls(max_seconds: float) -> Iterator[None]:
    """Yield once for each request to DDM: immediately, 5 seconds after the end of each request, and after the wait.

    The wait ends early if the server is stopping.
    """
    end = monotonic() + max_seconds
    yield
    while (remaining := end - monotonic()) > 0 and _sleep(min(_POLL_SECONDS, remaining)):
        yield


def _sleep(seconds: float) -> bool:
    """Sleep, or return False as soon as the server stops."""
    end = monotonic() + seconds
    while (remaining := end - monotonic()) > 0:
        if server.is_stopping():
            return False
        sleep(min(remaining, _STEP_SECONDS))
    return True


def _problem_response(problem: Problem, incoming: Incoming, entry: log.Entry) -> Outgoing:
    """Return the problem, as ``application/problem+json`` only on request: low-code engines parse only JSON."""
    entry.record_problem(problem)
    headers = {"Content-Type": _PROBLEM_JSON if _accepts_problem_json(incoming) else "application/json"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    if problem.code is ProblemCode.METHOD_NOT_ALLOWED:
        headers["Allow"] = envelopes.ALLOWED_METHODS
    return Outgoing(problem.code.status, headers, serialization.problem_json(problem))


def _accepts_problem_json(incoming: Incoming) -> bool:
    parts = [part.lower().split(";") for part in incoming.header("accept").split(",")]
    return any(
        name.strip() == _PROBLEM_JSON and not any(p.strip() in {"q=0", "q=0.0"} for p in parameters)
        for name, *parameters in parts
    )
