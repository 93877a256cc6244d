"""The modules of the DDM precheck function, one responsibility each.

Data flows one way, and every step hands a typed value to the next. A module imports only modules above it in
this list; `main` may import any of them.

    urls             which URLs are usable, which hosts are loopback addresses
    settings         environment variables -> Settings, once at the start
    problem          ProblemCode, Problem, Violation, UpstreamInfo: every outcome that is no summary
    text, redaction  texts from outside: on one line, truncated, without the token
    strict_json      bytes -> JSON value, without leniency
    memory           one document at a time is a Python value
    fast_validation  a JSON Schema compiled to a predicate
    schema           the JSON Schemas in schemas/; violations as data
    connection       the hooks that bound an HTTP exchange
    transport        one HTTP exchange: the policy

    event            the event's JSON value -> Event
    credentials      Event -> Event with the platform's token, where the caller sent none
    ddm              Event -> DDM's HTTP response, with retries
    ddm_errors       DDM's error response -> Problem
    result           DDM's HTTP response -> validated and redacted checks
    verdict          Event and checks -> Summary; pure
    report           Summary -> text for a person; pure
    serialization    Summary, Problem -> JSON

    payload, pubsub, cloudevents
                     the formats of event deliveries; cloudevents encodes responses as well
    envelope         HTTP request -> Envelope with the event's JSON value
    responses        Decision and the summary's JSON, or Problem -> HTTP response
    sink             Decision and the summary's JSON -> CloudEvent sent to K_SINK
    waiting          when to ask DDM, and when to stop
    log              one JSON line for each request
"""
