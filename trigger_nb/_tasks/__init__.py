"""One call of a task: its options, its scope, its running body."""
