"""Sends random events and random responses of DDM to the function, and compares the function with an oracle.

    tests/.venv/bin/python -m tools.fuzz [--cases N] [--seed N] [--only N]

The oracle is a second implementation of the documented tables. It shares no code with the function, so that it does
not repeat a mistake of the function. The function runs in this process, behind Flask's test client, and its
requests go to a real HTTP server. The exit status is 0 if all responses are as the oracle expects.

    __main__       command line
    runner         sends the cases and collects the differences
    model          the types of a case and of its expected outcome
    cases          random cases: envelopes, settings, DDM's responses
    events         random JSON for the event of a case
    results        random JSON for DDM's response in a case
    fake_ddm       the HTTP server that sends the case's response and records the requests
    oracle         case -> expected outcome
    oracle_event   envelope and event by the rules of the event
    oracle_result  DDM's response by the rules of results, verdicts and problems
    comparison     expected outcome and response -> differences
"""
