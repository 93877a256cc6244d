"""The other implementations of the benchmark, each a function named ``precheck``. Both do less than the function."""
