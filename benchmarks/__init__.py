"""The library's own cost, beside that of diskcache and of plain sqlite3. Run with `python -m benchmarks`.

Every figure is a ratio of two workloads of one run, measured in alternated pairs, so that it means
the same on a fast machine and on a slow or busy one. `docs/benchmarks.md` tells what came out.
"""
