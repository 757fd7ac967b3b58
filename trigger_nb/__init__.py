"""Durable jobs for people who work in Jupyter notebooks."""
