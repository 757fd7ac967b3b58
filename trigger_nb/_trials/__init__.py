"""Trials: runs of a job in a test, which `job.test` makes."""
