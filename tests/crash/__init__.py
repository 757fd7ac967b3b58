"""The crash test: random jobs that are killed by SIGKILL at random moments, and started again until they end.

```
program.py   a seed -> a random job, as data
child.py     runs it in a process of its own; its bodies leave a trace in a file beside the store
trace.py     reads that file, and nothing else, and says which rules were broken
history.py, history_child.py, history_check.py
             the same for runs that share results: with `reuse=`, `expires_after=`, edited files, deleting and pruning
harness.py   starts children, kills them, starts them again; counts
__main__.py  the long form: python -m tests.crash --jobs 200
```
"""
