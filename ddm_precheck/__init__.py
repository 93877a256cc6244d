"""The modules of the DDM precheck function.

Data flows one way, and every step returns a frozen value. A module imports only modules above it in this list; `main`
and `event_function` are the entry points.

    settings         environment variables -> Settings, once at the start
    problem          ProblemCode, Problem, Violation, UpstreamInfo: every outcome without a summary
    text             strings from outside: on one line, truncated, described
    strict_json      bytes -> JSON value; rejects invalid JSON that `json.loads` accepts
    memory           one JSON text is parsed at a time; the heap returns freed memory
    schema           the JSON Schemas in schemas/; violations as data
    transport        one HTTP exchange within a deadline
    messages         Incoming and Outgoing: a request and a response, whatever the platform
    framework_hooks  limits on a request, and the end of a worker, for functions-framework and gunicorn

    checks           DDM's checks as data
    event            the event's JSON value -> Precheck, which has no token
    credentials      the caller's token or the platform token; redaction
    ddm_errors       DDM's error response -> Problem
    ddm              Precheck and Token -> DDM's result, with retries
    verdict          Precheck and checks -> Summary; pure
    report           Decision and issues -> text for a person; pure
    serialization    Summary, Problem -> JSON

    cloudevents      the attributes of CloudEvents
    envelopes        the formats of a request: each recognizes, opens and replies
    sink             the summary as a CloudEvent -> K_SINK
    log              one JSON line for each request
    app              Incoming -> Outgoing: the story of a request
    functiongraph    the event of an event function -> Incoming -> result or exception
"""
