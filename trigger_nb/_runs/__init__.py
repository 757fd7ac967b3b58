"""Runs under way, and what can be done to stored ones."""
