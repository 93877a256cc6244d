"""The programs that ``deploy.sh`` runs. They need only Python's standard library and the function's settings.

- ``errors``: the errors of the programs, and the line and the exit status that report them
- ``source``: the files of the function; finds files that are missing or cannot be parsed
- ``variables``: the function's environment variables, from the options of ``deploy.sh``
- ``package``: builds the package for FunctionGraph; ``bytecode`` compiles its modules
- ``functiongraph``: creates or updates the function; ``functiongraph_api`` sends the requests
- ``local``: runs the function on this machine; ``processes`` manages child processes, ``sample_events`` has the samples
- ``fake_ddm``: a server that replaces DDM; ``fake_behaviours`` has its responses
- ``bootstrap``: the shell script in the package that starts the function on FunctionGraph
- ``common.sh``: shell functions of ``deploy.sh`` and ``tests/run``
"""
