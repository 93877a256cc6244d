"""The programs for maintainers, which run in the tests' environment.

- ``generate``: writes the OpenAPI descriptions and the sample responses; ``openapi`` and ``sample_responses`` make them
- ``benchmark``: compares the function with other implementations
- ``soak``: sends thousands of mixed requests to a served function, while DDM fails in many ways
- ``mutate``: a shell script that changes the code in one place at a time, and lists the changes that no test detects
"""
