"""The store: rows in a SQLite database, value files, and the lease on a run."""
