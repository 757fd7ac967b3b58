"""Bodies in executors: process pools and clusters."""
