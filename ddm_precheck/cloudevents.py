"""The CloudEvent that carries a summary away: as a reply, or to the sink."""

from typing import Final
from urllib.parse import quote

from ddm_precheck.envelope import Delivery
from ddm_precheck.redaction import masked
from ddm_precheck.verdict import Summary

STRUCTURED_TYPE: Final = "application/cloudevents+json"


def attributes(delivery: Delivery, summary: Summary) -> dict[str, str]:
    """Return the attributes of the event about the summary; ``verdict`` is an extension that triggers filter on."""
    found = {
        "specversion": "1.0",
        "id": masked(delivery.id, summary.event.token),
        "source": "ddm-precheck",
        "type": "ddm.precheck.verdict.v1",
        "subject": summary.event.job_id,
        "time": summary.checked_at,
        "verdict": summary.verdict.value,
    }
    return found | ({"traceparent": delivery.traceparent} if delivery.traceparent else {})


def headers(delivery: Delivery, summary: Summary) -> dict[str, str]:
    """Return the attributes as headers of the binary mode.

    Percent-encoded as the HTTP binding says (section 3.1.3.2), so that no id breaks a header. What it lets stand are
    the printable ASCII characters but space, quote and percent.
    """
    return {f"ce-{name}": quote(value, safe=_SAFE) for name, value in attributes(delivery, summary).items()}


_SAFE: Final = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
