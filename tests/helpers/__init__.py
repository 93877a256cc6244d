"""Helpers of the tests. No test module imports another one; what they share is here."""
