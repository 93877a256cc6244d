"""Sends one event to the function with the CloudEvents SDK, and prints the response as the SDK parses it.

This program requires version 2 of the SDK on PYTHONPATH, which cannot be installed together with functions-framework.
stdin is ``{"url", "mode", "attributes", "data"}``, stdout ``{"attributes", "data"}``.
"""

import json
import sys
import urllib.request

from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent

arguments = json.load(sys.stdin)
is_binary = arguments["mode"] == "binary"
event = CloudEvent(attributes=arguments["attributes"], data=arguments["data"])
message = http.to_binary_event(event) if is_binary else http.to_structured_event(event)
request = urllib.request.Request(arguments["url"], message.body, message.headers, method="POST")
with urllib.request.urlopen(request, timeout=30) as response:
    received = http.HTTPMessage(dict(response.headers), response.read())
parsed = http.from_binary_event(received) if is_binary else http.from_structured_event(received)
print(json.dumps({"attributes": parsed.get_attributes(), "data": parsed.get_data()}, default=str))
