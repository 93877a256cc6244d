"""Sends thousands of mixed requests to a served function while its DDM fails in many ways, and checks that it survives.

    tests/.venv/bin/python -m tools.soak [--requests N] [--clients N] [--seed N] [--max-minutes N] [--max-growth MIB]

It checks that each response is well-formed and has an expected outcome, that the worker is never replaced, that master
and worker together stay below 400 MiB, and that memory, threads, file descriptors and connections do not grow in the
second half. The exit status is 0 if all of this holds. It requires Linux. 20,000 requests take about two minutes.

Memory grows in the first few thousand requests, until each of the allocator's arenas has had its largest document.

    __main__  command line: runs the phases and prints the report
    cases     the kinds of requests, their frequency and their expected outcomes
    bodies    hostile events and hostile results of DDM
    ddm       a DDM that fails on real sockets, in a process of its own, and the sink
    clients   send the requests and check the responses
    usage     what the instance uses, and the limits
"""
