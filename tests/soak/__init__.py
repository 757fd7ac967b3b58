"""The soak test: one process runs mixed jobs for an hour, and must not grow.

```
python -m tests.soak --minutes 60
```
"""
