"""The programs for maintainers. They run in the tests' environment, and import nothing from ``tests/``.

- ``generate``: writes the OpenAPI descriptions and the sample responses; ``openapi`` builds the descriptions,
  ``sample_responses`` gets the responses from the function itself
- ``benchmark``: compares the function with other implementations, which are in ``benchmark/peers``
- ``fuzz``: compares the function with an oracle, a second implementation of the documented rules
- ``soak``: sends thousands of mixed requests to a served function, while DDM fails in many ways
- ``mutate``: a shell script that changes the code in one place at a time, and lists the changes that no test detects
- ``function_server``: starts and stops a served function, and measures its processes; the tests use it as well
- ``server_process``: runs a fake DDM in its own process, for ``benchmark`` and ``soak``
"""
