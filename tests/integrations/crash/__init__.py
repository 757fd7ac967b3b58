"""A job over five services, killed by SIGKILL at random moments and started again until it ends.

```
child.py     the job, and the process that forks one to run it
harness.py   the services, the kills, and what each service saw
__main__.py  the long form: python -m tests.integrations.crash --kills 100
```
"""
