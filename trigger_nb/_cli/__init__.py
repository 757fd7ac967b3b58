"""The command line: `trigger-nb`, or `python -m trigger_nb`."""
