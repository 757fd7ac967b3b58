"""Parts of a client: its events, its schedules, and what listens for both."""
