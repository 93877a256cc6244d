"""Compares the function with other ways to write it, side by side in one run.

    tests/.venv/bin/python -m tools.benchmark [--rounds N] [--compare REVISION] [--write]

It measures the CPU time of a request, the memory of a warm instance, the requests per second on one core, the CPU time
of a cold start, and the latency under load. Compare the ratios: absolute figures depend on the machine. It has no pass
or fail, requires Linux with at least two cores, and takes about five minutes.

    __main__      command line: starts the servers, measures, prints the report
    peers/        the other functions, which functions-framework serves in the same way
    ddm           a DDM with prepared responses, in a process of its own
    load          the clients
    measurements  the figures of running instances
    cold_start    the figures of fresh interpreters
    report        figures -> Markdown;  plot  figures -> SVG
"""
