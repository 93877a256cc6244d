"""Compares the function with other implementations, and with other revisions of itself, in one run.

    tests/.venv/bin/python -m tools.benchmark [--rounds N] [--compare REVISION] [--write]

Compare the ratios: absolute figures depend on the machine. Linux only; about four minutes, in which nothing else
should run.

    __main__      command line
    measurements  starts the functions and measures them
    cold_start    the CPU time of a start, with and without bytecode
    report        figures -> Markdown and SVG
    peers/        the other implementations
"""
