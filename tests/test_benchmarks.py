"""The benchmarks measure what they say, at a size that takes no time. Figures: docs/benchmarks.md."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import ExitStack, closing

import pytest

from benchmarks import imports, workloads
from benchmarks.__main__ import COMPARISONS, main
from benchmarks.pairs import Row, compare, seconds_a_task, table
from trigger_nb import TriggerClient

TASKS = 3


def bodies_called(monkeypatch, tmp_path, workload):
    """How many bodies ran in the part of a workload that is timed."""
    called = []

    async def body(number):
        called.append(number)
        return {"id": number}

    def def_body(number):
        called.append(number)
        return {"id": number}

    monkeypatch.setattr(workloads, "body", body)
    monkeypatch.setattr(workloads, "def_body", def_body)

    async def run():
        with ExitStack() as stack:
            timed = await workload(stack, tmp_path, TASKS)
            called.clear()
            await timed()

    asyncio.run(run())
    return sorted(called)


@pytest.mark.parametrize("name", ["fresh", "fresh_def", "gathered", "miss", "inserts"])
def test_every_body_runs(monkeypatch, tmp_path, name):
    assert bodies_called(monkeypatch, tmp_path, getattr(workloads, name)) == [0, 1, 2]


@pytest.mark.parametrize("name", ["replay", "hit", "resume"])
def test_no_body_runs(monkeypatch, tmp_path, name):
    assert bodies_called(monkeypatch, tmp_path, getattr(workloads, name)) == []


def test_sqlite_is_given_the_same_records(tmp_path):
    """The comparison is with the same keys and the same full texts, which hold the results."""

    async def make_ready():
        with ExitStack() as stack:
            await workloads.resume(stack, tmp_path, TASKS)

    asyncio.run(make_ready())
    store = TriggerClient("benchmark", dir=tmp_path / "ours").runtime.store
    with closing(sqlite3.connect(tmp_path / "plain.db")) as database:
        kept = database.execute("SELECT key, text FROM records").fetchall()
    assert [key.partition("/")[2] for key, _ in kept] == ["task-0", "task-1", "task-2"]
    assert kept == store.select(kept[0][0].partition("/")[0])
    assert all('"value":{"id":' in text for _, text in kept)


def test_pairs_alternate():
    order = []

    def side(name, seconds):
        return lambda: order.append(name) or seconds

    row = compare("a", "b", "", (side("a", 1.0), side("b", 4.0)), target=0.3, pairs=3)
    assert order == ["a", "b"] + ["a", "b", "b", "a", "a", "b"]  # the first pair is not counted
    assert (row.ratio, row.verdict, len(row.ratios)) == (0.25, "met", 3)


def test_the_table():
    rows = [
        Row("replay", "memoize hit", "1,000", 5e-6, 2e-5, (0.2, 0.25, 0.3), 0.24),
        Row("import", "anyio", "", 0.08, 0.1, (0.8,), None),
    ]
    assert table(rows).splitlines() == [
        "cost of  beside       size   ours    theirs   ratio  p10-p90    target",
        "-------  -----------  -----  ------  -------  -----  ---------  ------  ------",
        "replay   memoize hit  1,000  5.0 us  20.0 us  0.25   0.20-0.30  0.24    missed",
        "import   anyio               80 ms   100 ms   0.80   0.80-0.80",
    ]


def test_each_workload_can_be_timed():
    for _, ours, _, theirs, _ in COMPARISONS:
        assert seconds_a_task(ours, TASKS) > 0
        assert seconds_a_task(theirs, TASKS) > 0


def test_the_command(capsys):
    main(["--pairs", "1", "--tasks", "2", "3", "--only", "memoize miss"])
    printed = capsys.readouterr().out
    assert "SQLite" in printed.splitlines()[0]
    assert sum(line.startswith("fresh") for line in printed.splitlines()) == 6


def test_an_import_loads_nothing_that_it_need_not():
    """`import trigger_nb` leaves IPython, ipywidgets and tenacity to those who use them."""
    assert imports.loaded() == []
    assert imports.seconds_of("pass") >= 0
