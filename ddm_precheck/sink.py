"""The summary of a delivered event, POSTed to ``K_SINK`` as a CloudEvent (the Knative convention)."""

from typing import Final

from ddm_precheck import cloudevents, responses
from ddm_precheck.envelope import Delivery
from ddm_precheck.problem import Problem, Upstream
from ddm_precheck.transport import Transport, TransportError
from ddm_precheck.verdict import Summary

TIMEOUT_SECONDS: Final = 5
_MOST_BYTES: Final = 64 * 1024


def deliver(summary: Summary, delivery: Delivery, url: str, transport: Transport) -> None:
    """POST the summary to the sink in binary mode and return when the sink has taken it (2xx).

    Raises Problem ``sink-unavailable`` for any other outcome, a redirect or five seconds of silence included. It is
    not tried again here: the broker redelivers the event that it came from.
    """
    headers = cloudevents.headers(delivery, summary) | {
        "Content-Type": "application/json",
        "User-Agent": "ddm-precheck",
    }
    body = responses.encoded(responses.summary_members(summary))
    headers["Content-Length"] = str(len(body))
    try:
        reply = transport.send("POST", url, headers, body, seconds=TIMEOUT_SECONDS, most=_MOST_BYTES)
    except TransportError as error:
        raise _unavailable(str(error), summary.upstream) from None
    if not 200 <= reply.status <= 299:
        raise _unavailable(f"it answered {reply.status}", summary.upstream)


def _unavailable(reason: str, upstream: Upstream) -> Problem:
    return Problem("sink-unavailable", f"The sink did not take the event: {reason}", upstream=upstream)
