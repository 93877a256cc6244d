"""The programs behind ``deploy.sh``; the standard library is all they need.

Each has one idea::

    source          what runs: the files that are uploaded, and whether they can be read
    package         builds the package for FunctionGraph, reproducibly
    functiongraph   creates or updates the function through FunctionGraph's API
    bootstrap       starts the function on FunctionGraph; a shell script, packed as it is
"""
