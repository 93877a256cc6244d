"""What maintainers run: generate, benchmark, mutate."""
