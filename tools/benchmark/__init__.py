"""Compares the function with other implementations, in one run.

    tests/.venv/bin/python -m tools.benchmark [--rounds N] [--compare REVISION] [--write]

The benchmark measures the CPU time of a request, the memory of a warm instance, the requests per second on one core,
the CPU time of a cold start, and the latency under load. Compare the ratios: absolute figures depend on the machine.
The exit status does not depend on the figures. The benchmark requires Linux, and takes about five minutes. On a machine
with one core, the requests per second are not measured.

    __main__      command line: starts the servers, measures, prints the report
    peers/        the other functions, which functions-framework serves in the same way
    fake_ddm      a fake DDM with prepared responses, in its own process
    load          the clients
    measurements  the figures of running instances
    cold_start    the CPU time of a cold start
    report        figures -> Markdown
    plot          figures -> SVG
"""
