"""Sends the summary of an event delivery to ``K_SINK`` as a CloudEvent (the Knative convention)."""

from typing import Final

from ddm_precheck import cloudevents
from ddm_precheck.problem import Problem, ProblemCode, UpstreamInfo
from ddm_precheck.transport import Transport, TransportError
from ddm_precheck.verdict import Decision

_TIMEOUT_SECONDS: Final = 5
_MAX_BYTES: Final = 64 * 1024


def send_summary(
    decision: Decision, summary: bytes, attributes: dict[str, str], url: str, transport: Transport
) -> None:
    """POST the summary, which is JSON, to the sink in binary mode, and return once the sink has accepted it (2xx).

    Raises Problem ``sink-unavailable`` for every other outcome, including a redirect and a timeout. The function does
    not retry: the broker retries.
    """
    headers = cloudevents.encode_headers(attributes) | {
        "Content-Type": "application/json",
        "Content-Length": str(len(summary)),
        "User-Agent": "ddm-precheck",
    }
    try:
        response = transport.send("POST", url, headers, summary, timeout=_TIMEOUT_SECONDS, max_bytes=_MAX_BYTES)
    except TransportError as error:
        raise _sink_unavailable(str(error), decision.upstream) from None
    if not 200 <= response.status <= 299:
        raise _sink_unavailable(f"it responded {response.status}", decision.upstream)


def _sink_unavailable(reason: str, upstream: UpstreamInfo) -> Problem:
    detail = f"The sink did not accept the event: {reason}"
    return Problem(ProblemCode.SINK_UNAVAILABLE, detail, upstream=upstream)
