"""The program behind ``deploy.sh``. It needs only Python's standard library and the function's settings.

- ``__main__`` runs ``cli``: the options, and the line that reports a wrong use
- ``local``: runs the function on this machine; ``venv`` installs its requirements, ``samples`` has the sample events
- ``cloud_run``: deploys to Cloud Run with gcloud
- ``functiongraph``: deploys through FunctionGraph's API, which ``functiongraph_api`` calls
- ``package``: builds the package for FunctionGraph; ``bytecode`` compiles its modules
- ``source``: the files of the function; ``variables``: its environment variables
- ``output``: errors, and what is printed
- ``bootstrap``: the shell script in the package that starts the HTTP function on FunctionGraph
- ``common.sh``: shell functions of ``deploy.sh`` and ``tests/run``
"""
