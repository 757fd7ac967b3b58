"""What is known of a run: its records, its events, and the rules over them."""
