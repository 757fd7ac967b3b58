"""Executions of runs, and commands on stored runs."""
