"""One pass of a run function: from a call of `io.run_task` to its value."""
