"""Sends one event to the function with CloudEvents' own SDK, and tells how the SDK reads the reply.

Run with version 2 of the SDK on PYTHONPATH, which cannot be installed beside functions-framework. It takes
``{"url", "mode", "attributes", "data"}`` on standard input and prints ``{"status", "attributes", "data"}``.
"""

import json
import sys
import urllib.request

from cloudevents.core.bindings import http
from cloudevents.core.v1.event import CloudEvent

given = json.load(sys.stdin)
event = CloudEvent(attributes=given["attributes"], data=given["data"])
message = http.to_binary_event(event) if given["mode"] == "binary" else http.to_structured_event(event)
request = urllib.request.Request(given["url"], message.body, message.headers, method="POST")
with urllib.request.urlopen(request, timeout=30) as response:
    received = http.HTTPMessage(dict(response.headers), response.read())
read = http.from_binary_event if given["mode"] == "binary" else http.from_structured_event
reply = read(received)
print(json.dumps({"attributes": reply.get_attributes(), "data": reply.get_data()}, default=str))
