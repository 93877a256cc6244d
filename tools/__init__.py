"""The programs for maintainers: generate, benchmark, fuzz, soak and mutate."""
