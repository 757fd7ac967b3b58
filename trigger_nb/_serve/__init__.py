"""The HTTP server: what comes from outside is recorded, and then answered."""
