"""Limits on concurrency and rates, worker threads, and interrupts."""
