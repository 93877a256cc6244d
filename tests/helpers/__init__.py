"""Helpers of the tests. A test module imports helpers, but no other test module."""
