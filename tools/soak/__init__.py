"""Sends thousands of mixed requests to a served function while DDM fails in many ways, and checks the function.

    tests/.venv/bin/python -m tools.soak [--requests N] [--clients N] [--seed N] [--max-minutes N] [--max-growth MIB]

The soak checks that each response is well-formed and has an expected outcome, that the worker is never replaced, that
master and worker together stay below 400 MiB, and that memory, threads, file descriptors and connections do not grow
in the second half. The exit status is 0 if all checks pass. The soak requires Linux. 20,000 requests take about two
minutes.

The memory grows during the first few thousand requests: for a run with fewer requests, raise ``--max-growth``.

    __main__  command line: runs the phases and prints the report
    cases     the kinds of requests, their frequency and their expected outcomes
    bodies    hostile events and hostile results of DDM
    fake_ddm  a fake DDM with faults on real sockets, and the sink, in one separate process
    clients   send the requests and check the responses
    usage     the memory, threads and file descriptors of the server, and the limits
"""
