"""The program behind ``deploy.sh``. It needs only Python's standard library and the function's settings.

``common.sh`` has the shell functions of ``deploy.sh`` and ``tests/run``. ``bootstrap`` is the script in the package
that starts the HTTP function on FunctionGraph.
"""
