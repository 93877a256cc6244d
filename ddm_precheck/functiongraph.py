"""The event function of Huawei Cloud's FunctionGraph: event -> Incoming for the core -> result or exception.

There are three kinds of invocations, by who reads the result:

- An *API Gateway* event is an HTTP request, and its result is an HTTP response.
- A *direct* invocation (invocations API, flow, asynchronous call) returns the body of that response as an object.
- A *delivery* (EventGrid, timer, SMN, Kafka, RocketMQ) has no reader. Whatever is not a verdict raises, so that the
  platform retries and then uses its failure destination.

Sources of the formats: FunctionGraph User Guide, "Supported Event Sources"; the samples of T Cloud Public's
otc-functiongraph-python-runtime; for EventGrid the examples of the vendor's Terraform provider.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from ddm_precheck import cloudevents
from ddm_precheck.app import App
from ddm_precheck.envelopes import decode_base64, message_id
from ddm_precheck.messages import Incoming, Outgoing
from ddm_precheck.problem import Problem, Violation, invalid_event

_SLIM_FIELDS: Final = (
    *("verdict", "can_proceed", "retryable", "retry_after_seconds", "message"),
    *("project_id", "instance_id", "db_name", "job_id", "covers", "counts", "report", "checked_at"),
)
"""The fields of a delivery's result: FunctionGraph drops an asynchronous result of over 256 KB."""

_FOREIGN_RECORDS: Final = {
    "Records": "an OBS record",
    "cts": "a CTS record",
    "lts": "an LTS record",
    "trigger_type": "a record of another trigger or without messages",
    "records": "a DDS record",
}
"""The records that hold no precheck event, by the field that identifies them."""


class DeliveryFailed(Exception):  # noqa: N818 - FunctionGraph shows the name to people: it says what has happened
    """There is no verdict on a delivery. The message is one line with the problem code, and quotes no event."""


class _Message(NamedTuple):
    """A message in a delivery: a JSON value or text, where it is, and its ID; None for a CloudEvent, which has one."""

    value: Any
    place: str
    id: str | None


def handle(app: App, event: Any, context: Any) -> Any:
    """Return the result of an invocation. Raises DeliveryFailed for a delivery without a verdict, and nothing else."""
    agency_token = getattr(context, "getToken", lambda: None)
    if isinstance(event, dict):
        if "httpMethod" in event and "headers" in event:
            return _gateway_result(app.handle(_gateway_request(event, agency_token)))
        try:
            messages = _messages(event)
        except Problem as problem:
            raise _failure([app.reject(problem)], [""]) from None
        if messages:
            return _deliver(app, messages, agency_token)
    outgoing = app.handle(Incoming("POST", {}, _to_bytes(event), agency_token, "the event"))
    return json.loads(outgoing.summary or outgoing.body)


def _gateway_request(event: dict[str, Any], agency_token: Callable[[], object]) -> Incoming:
    headers = event["headers"] if isinstance(event["headers"], dict) else {}
    headers = {str(name).lower(): str(value) for name, value in headers.items()}
    body = event.get("body") or ""
    data = decode_base64(body) if event.get("isBase64Encoded") is True else _to_bytes(body)
    return Incoming(str(event["httpMethod"]), headers, data, agency_token)


def _gateway_result(outgoing: Outgoing) -> dict[str, Any]:
    return {
        "statusCode": outgoing.status,
        "headers": dict(outgoing.headers),
        "body": outgoing.body.decode(),
        "isBase64Encoded": False,
    }


def _messages(event: dict[str, Any]) -> list[_Message] | None:
    """Return the messages of a delivery, or None for a direct invocation."""
    trigger, record, records = event.get("trigger_type"), event.get("record"), event.get("records")
    if "specversion" in event:
        return [_Message(event, "", None)]
    if isinstance(event.get("events"), list):
        if len(event["events"]) != 1:
            raise invalid_event(Violation("/events", "must have exactly one CloudEvent"))
        return [_Message(event["events"][0], "/events/0", None)]
    if trigger == "TIMER":
        return [_Message(event.get("user_event"), "/user_event", message_id(None))]
    if isinstance(record, list) and record:
        return list(_smn_messages(record))
    if isinstance(trigger, str) and isinstance(records, list) and (messages := list(_queue_messages(records))):
        return messages
    for field, record_name in _FOREIGN_RECORDS.items():
        if field in event:
            raise invalid_event(Violation(f"/{field}", f"belongs to {record_name}, which holds no precheck event"))
    return None


def _smn_messages(record: list[Any]) -> Iterator[_Message]:
    for index, item in enumerate(record):
        smn = item.get("smn") if isinstance(item, dict) else None
        smn = smn if isinstance(smn, dict) else {}
        yield _Message(smn.get("message"), f"/record/{index}/smn/message", message_id(smn.get("message_id")))


def _queue_messages(records: list[Any]) -> Iterator[_Message]:
    for index, record in enumerate(records):
        values = record.get("messages") if isinstance(record, dict) else None
        for number, value in enumerate(values if isinstance(values, list) else []):
            yield _Message(value, f"/records/{index}/messages/{number}", message_id(None))


def _deliver(app: App, messages: list[_Message], agency_token: Callable[[], object]) -> Any:
    """Handle each message. Return the slim summary, or a list of them for several messages."""
    outgoing = []
    for message in messages:
        headers = {} if message.id else {"content-type": cloudevents.STRUCTURED_TYPE}
        body = _to_bytes(message.value)
        outgoing.append(app.handle(Incoming("POST", headers, body, agency_token, message.place, message.id)))
    if any(response.summary is None for response in outgoing):
        raise _failure(outgoing, [message.place for message in messages])
    summaries = [json.loads(response.summary or b"") for response in outgoing]
    slim = [{name: summary[name] for name in _SLIM_FIELDS} for summary in summaries]
    return slim if len(slim) > 1 else slim[0]


def _failure(outgoing: list[Outgoing], places: list[str]) -> DeliveryFailed:
    failed = [(response, place) for response, place in zip(outgoing, places, strict=True) if response.summary is None]
    response, place = failed[0]
    problem = json.loads(response.body)
    where = f" (in {place})" if place and place not in problem["message"] else ""
    more = f" (and {len(failed) - 1} more of {len(outgoing)} messages)" if len(failed) > 1 else ""
    return DeliveryFailed(f"{problem['code']}: {problem['message']}{where}{more}")


def _to_bytes(value: Any) -> bytes | None:
    """Return a JSON value or JSON text as a body; None if the value is not JSON, or nested too deeply."""
    if isinstance(value, str):
        return value.encode(errors="surrogatepass")
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))  # no longer than the caller's own JSON
    except (RecursionError, TypeError, ValueError):
        return None
    return text.encode(errors="backslashreplace")  # the JSON escape sequence of a lone surrogate
