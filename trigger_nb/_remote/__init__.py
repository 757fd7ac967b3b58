"""Task bodies in executors: process pools and clusters."""
