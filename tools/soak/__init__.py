"""Sends thousands of mixed requests to a served function while DDM fails in many ways, and checks the function.

    tests/.venv/bin/python -m tools.soak [--requests N] [--clients N] [--seed N] [--max-growth MIB]

Each response must have an expected outcome. The worker must not be replaced, master and worker together stay below
400 MiB, and memory, threads, file descriptors and connections do not grow in the second half. The exit status is 0 if
all of this holds. Linux only; 20,000 requests take about three minutes. The memory grows during the first few thousand
requests: for a shorter run, raise ``--max-growth``.

    __main__  command line: the two halves, and the limits
    cases     the kinds of requests and their expected outcomes
    clients   send the requests and check the responses
"""
