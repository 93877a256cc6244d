"""The modules of the DDM precheck function, one responsibility each.

Data flows one way, and every step returns a typed value. A module imports only modules above it in this list; `main`
may import any of them.

    urls             which URLs are usable, which hosts are loopback addresses
    settings         environment variables -> Settings, once at the start
    problem          ProblemCode, Problem, Violation, UpstreamInfo: every outcome without a summary
    text, redaction  external texts: converted to one line, truncated, redacted
    strict_json      bytes -> JSON value; refuses invalid JSON that `json.loads` accepts
    memory           one JSON text is parsed at a time; limits for the heap
    framework_hooks  the hooks into functions-framework and gunicorn
    patterns         the patterns of JSON Schema as regular expressions of Python
    fast_validation  a JSON Schema compiled to a predicate
    schema           the JSON Schemas in schemas/; violations as data
    connection       the hooks that limit the time and the bytes of an HTTP exchange
    transport        one HTTP exchange within a deadline

    checks           DDM's checks as data: Check, PrecheckResult
    event            the event's JSON value -> Event
    credentials      Event -> Event with the platform's token, if the caller sent no token
    ddm              Event -> DDM's HTTP response, with retries
    ddm_errors       DDM's error response -> Problem
    result           DDM's HTTP response -> PrecheckResult, validated and redacted
    verdict          Event and PrecheckResult -> Summary; pure
    report           Decision and issues -> text for a person; pure
    serialization    Summary, Problem -> JSON

    payload, pubsub, cloudevents
                     the formats of event deliveries; cloudevents encodes responses as well
    envelope         HTTP request -> Envelope with the event's JSON value
    responses        Decision and the summary's JSON, or Problem -> HTTP response
    sink             Decision and the summary's JSON -> CloudEvent sent to K_SINK
    waiting          when to send a request to DDM, and when to stop
    log              one JSON line for each request
"""
