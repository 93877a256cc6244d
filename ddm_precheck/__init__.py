"""The rooms of the DDM precheck function, one idea each.

Data flows one way, and every arrow is a typed, frozen value::

    request ──delivery──> Delivery ──event──> Event ──ddm──> Answer ──verdict──> Summary ──answer──> response

    settings     environment -> Settings, once, at the start
    delivery     HTTP request -> the event's document and the envelope it came in
    event        document -> Event
    ddm          Event -> DDM's validated answer: the URL, the retries, the classification of refusals
    verdict      Event and answer -> Summary; pure
    answer       Summary or Problem -> HTTP response, plain or as a CloudEvent
    sink         Summary -> the CloudEvent POSTed to K_SINK

    Underneath, known to several of them:
    problem      the catalogue of problems and the one exception
    transport    one HTTP exchange, bounded in time and bytes, never redirected
    schema       the JSON Schemas, compiled once; violations as data
    keywords     jsonschema's validator, with three keywords of our own
    strictjson   bytes -> JSON value, nothing lenient
    masking      keeps the token out of what DDM sends back
    cloudevent   attributes of the events that leave, and their HTTP headers
    log          one JSON line an invocation
"""
