"""trigger_nb beside libraries that keep results as it does: durable engines, and caches on disk.

`python -m benchmarks peers`. Each library is a worker process of its own, for most configure what is
global to a process, and each is configured as its documentation says for one machine.
`docs/benchmarks.md` tells how, and what came out.
"""
