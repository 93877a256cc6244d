"""The event function of FunctionGraph in this process, its context, and events in the formats of its triggers."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import pytest

import event_function
from ddm_precheck.functiongraph import DeliveryFailed
from helpers.function import TOKEN

CLOUDEVENT: Final = {"id": "e-1", "specversion": "1.0", "source": "precheck-wanted", "type": "wanted"}
PASSWORD: Final = "a-Password-of-the-data-nodes"


@dataclass
class Context:
    """The part of FunctionGraph's context that the function may use."""

    token: object = ""

    def getToken(self) -> object:
        return self.token


class EventFunction:
    """The event function with the current environment variables. Each call validates what leaves the function."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys
        self.log: list[dict[str, Any]] = []
        event_function._function.cache_clear()

    def __call__(self, event: Any, context: object = None) -> Any:
        """Return the result as the platform's JSON."""
        self.capsys.readouterr()
        try:
            result = json.dumps(event_function.handler(event, context))
        finally:
            output = self.capsys.readouterr().out
            self.log = [json.loads(line) for line in output.splitlines()]
            assert TOKEN not in output
        assert TOKEN not in result
        return json.loads(result)

    def failure(self, event: Any, context: object = None) -> str:
        """Return the text of the exception that a delivery raises."""
        with pytest.raises(DeliveryFailed) as raised:
            self(event, context)
        text = str(raised.value)
        assert len(text.splitlines()) == 1
        assert TOKEN not in text
        assert is_alone(raised.value)
        assert self.log, "each failure is logged"
        return text


def is_alone(error: BaseException) -> bool:
    """Return whether a traceback of the error shows no other exception."""
    return error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None)


def text(event: Any) -> str:
    return event if isinstance(event, str) else json.dumps(event)


def timer(event: Any) -> dict[str, Any]:
    trigger = {"trigger_type": "TIMER", "trigger_name": "ddm-precheck"}
    return {"version": "v1.0", "time": "2026-11-29T08:30:00+08:00", **trigger, "user_event": text(event)}


def smn(*events: Any) -> dict[str, Any]:
    record = [
        {
            "event_version": "1.0",
            "event_source": "smn",
            "event_subscription_urn": "urn:fss:cn-north-4:p:function:default:ddm-precheck-event",
            "smn": {"topic_urn": "urn:smn:cn-north-4:p:t", "message_id": f"m-{number}", "message": text(event)}
            | {"type": "notification", "subject": "s", "timestamp": "2026-11-29T07:11:40Z", "message_attributes": None},
        }
        for number, event in enumerate(events)
    ]
    return {"record": record, "functionname": "f", "requestId": "r", "timestamp": "Sun Nov 29 2026 15:11:40 GMT+0800"}


def queue(*events: Any, trigger_type: str = "KAFKA") -> dict[str, Any]:
    records = [{"messages": [text(event) for event in events], "topic_id": "precheck"}]
    event = {"event_version": "v1.0", "event_time": 1795937962, "region": "cn-north-4", "instance_id": "i"}
    return event | {"trigger_type": trigger_type, "records": records}


def cloudevent(event: Any) -> dict[str, Any]:
    return CLOUDEVENT | {"datacontenttype": "application/json", "data": event}


def published(event: Any) -> dict[str, Any]:
    return {"events": [cloudevent(event)]}


DELIVERIES: Final[dict[str, Callable[[Any], dict[str, Any]]]] = {
    "timer": timer,
    "SMN": smn,
    "Kafka": queue,
    "RocketMQ": partial(queue, trigger_type="ROCKETMQ"),
    "EventGrid": cloudevent,
    "EventGrid-published": published,
}


def gateway(body: str, *, is_base64: bool = False, method: str = "POST", **headers: str) -> dict[str, Any]:
    """Return the event of an API Gateway trigger. An underscore in the name of a header becomes a hyphen."""
    return {
        "httpMethod": method,
        "path": "/precheck",
        "pathParameters": {"": "precheck"},
        "queryStringParameters": {},
        "requestContext": {"apiId": "a", "requestId": "r", "stage": "RELEASE"},
        "headers": {"host": "h"} | {name.replace("_", "-"): value for name, value in headers.items()},
        "body": base64.b64encode(body.encode()).decode() if is_base64 else body,
        "isBase64Encoded": is_base64,
    }


_NODES: Final = {"data_nodes": [{"id": "n", "user": "u", "password": PASSWORD}]}
FOREIGN: Final[dict[str, dict[str, Any]]] = {
    "OBS": {"Records": [{"s3": {"object": {"key": PASSWORD}}}]},
    "CTS": {"cts": {"request": json.dumps(_NODES)}},
    "LTS": {"lts": {"data": base64.b64encode(PASSWORD.encode()).decode()}},
    "DDS": {"records": [{"dds": {"full_document": text(_NODES)}}]},
}
"""Events of services that hold no precheck event."""
