"""The records and events of runs, and the rules that follow from records alone."""
