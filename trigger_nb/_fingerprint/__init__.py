"""Fingerprints of code, which tell whether the code of a body has changed."""
