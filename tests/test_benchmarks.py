"""The benchmarks measure what they say, at a size that takes no time. Figures: docs/benchmarks.md."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import ExitStack, closing

import pytest

from benchmarks import imports, workloads
from benchmarks.__main__ import COMPARISONS, main
from benchmarks.pairs import Row, compare, seconds_a_task, table
from benchmarks.peers import libraries, main as peers, scale
from benchmarks.peers.processes import Worker, WorkerError
from trigger_nb import TriggerClient
from trigger_nb._fingerprint import fingerprints as fingerprints_module
from trigger_nb._tasks import signature as signature_module

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


@pytest.mark.parametrize("name", workloads.FORMS)
def test_every_form_of_a_body_is_called_and_replayed(monkeypatch, tmp_path, name):
    fresh = workloads.fresh_form(name)
    assert bodies_called(monkeypatch, tmp_path / "fresh", fresh) == [0, 1, 2]
    assert bodies_called(monkeypatch, tmp_path / "gathered", workloads.gathered_form(name)) == [0, 1, 2]
    assert bodies_called(monkeypatch, tmp_path / "replay", workloads.again(fresh)) == []


@pytest.mark.parametrize("name", workloads.FORMS)
def test_no_form_of_a_body_is_inspected_anew_for_each_task(monkeypatch, tmp_path, name):
    """What it takes and what its code does is worked out once, however many lambdas or partials a loop makes."""
    looked_at = []
    inspect, describe = signature_module._inspect, fingerprints_module.describe_function
    monkeypatch.setattr(signature_module, "_inspect", lambda body: looked_at.append(body) or inspect(body))
    monkeypatch.setattr(
        fingerprints_module,
        "describe_function",
        lambda *args, **kw: looked_at.append(args) or describe(*args, **kw),
    )

    async def run(tasks):
        with ExitStack() as stack:
            await (await workloads.again(workloads.fresh_form(name))(stack, tmp_path / str(tasks), tasks))()

    asyncio.run(run(2))  # whatever else is looked at once in a process
    counts = []
    for tasks in (5, 50):
        looked_at.clear()
        asyncio.run(run(tasks))
        counts.append(len(looked_at))
    assert counts[0] == counts[1] < 5


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


@pytest.mark.slow
def test_each_workload_can_be_timed():
    for name, workload in {
        side for ours, a, theirs, b, _ in COMPARISONS for side in ((ours, a), (theirs, b))
    }:
        assert seconds_a_task(workload, TASKS) > 0, name


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_command(capsys):
    main(["--pairs", "1", "--tasks", "2", "3", "--only", "fresh, gathered"])
    printed = capsys.readouterr().out
    assert "SQLite" in printed.splitlines()[0]
    assert (
        sum(line.startswith("fresh, gathered") for line in printed.splitlines()) == 3
    )  # of each size, and growth


def test_an_import_loads_nothing_that_it_need_not():
    """`import trigger_nb` leaves IPython, ipywidgets and tenacity to those who use them."""
    assert imports.loaded() == []
    assert imports.seconds_of("pass") >= 0


# Beside other libraries ----------------------------------------------------------------------------

INSTALLED = [libraries.OURS, *[library for library in libraries.PEERS if library.version]]


@pytest.mark.parametrize("library", INSTALLED, ids=lambda library: library.name)
def test_each_workload_of_a_library_calls_the_bodies_that_it_should(library):
    """The worker's count of them is checked at each answer: all when they are fresh, none in a replay."""
    with Worker(library.module) as worker:
        for workload in library.workloads:
            assert worker.ask(workload, 2)["seconds"] > 0


def test_what_a_worker_says_of_a_workload():
    with Worker(libraries.OURS.module) as worker:
        few, many = worker.ask("map", 2), worker.ask("map", 500)
    assert few["called"] == 2
    assert many["stored"] > 500 * 100 > few["stored"] > 0
    assert few["memory"] > 0


def test_a_library_that_fails_is_told_by_the_first_line_of_its_error():
    with Worker("with_diskcache") as worker:
        with pytest.raises(WorkerError, match="^AttributeError: module .* has no attribute 'fan_out'$"):
            worker.ask("fan_out", 2)
        assert worker.ask("fresh", 2)["called"] == 2  # and can be asked something else
    with (
        Worker("with_nothing") as worker,
        pytest.raises(WorkerError, match="^ModuleNotFoundError: No module"),
    ):
        worker.ask("fresh", 2)


def test_a_process_that_ends_is_told_too():
    with Worker("with_diskcache") as worker:
        worker.ask("fresh", 2)
        worker._process.kill()
        with pytest.raises(WorkerError, match="it ended"):
            worker.ask("fresh", 2)


@pytest.mark.slow
def test_the_tables_of_the_peers(monkeypatch, capsys):
    """One line a workload and library; one that cannot be measured is named, with the reason."""
    absent = libraries.Library(
        "with_absent", "Absent", "trigger-nb-absent", "import absent", libraries.ENGINE
    )
    broken = libraries.Library("with_broken", "Broken", "diskcache", "import diskcache", libraries.CACHE)
    diskcache = next(library for library in libraries.PEERS if library.module == "with_diskcache")
    monkeypatch.setattr(peers, "PEERS", (absent, broken, diskcache))
    monkeypatch.setattr(scale, "QUICK", scale.Sizes(few=2, many=4, long=3))
    peers.main(["--quick", "--pairs", "1"])
    printed = capsys.readouterr().out
    beside, grown = printed.split("\n\nTimes and disk")
    lines = [re.split("  +", line) for line in beside.splitlines()]
    assert [line[0] for line in lines if "Absent" in line] == [
        "replay",
        "fresh",
        *FAN_OUT,
        "memory",
        "import",
    ]
    assert all(line[-1] == "not installed" for line in lines if "Absent" in line)
    (fresh,) = [line for line in lines if line[0] == "fresh" and line[1].startswith("Broken")]
    assert fresh[-1].startswith("ModuleNotFoundError")
    (fresh,) = [line for line in lines if line[0] == "fresh" and line[1].startswith("diskcache memoize")]
    assert fresh[2] == "100"
    assert fresh[-2] == "1.0"
    assert fresh[-1] in ("met", "missed")
    assert [line.partition("  ")[0] for line in grown.splitlines()[3:]] == [
        measure.name for measure in scale.measures(scale.QUICK)
    ]


FAN_OUT = [name for name, *_ in peers.WORKLOADS if name.startswith("fan-out")]


def test_the_aims():
    """Replays 3 times as fast as any, 50 times as DBOS; fresh tasks faster; a fan-out 5 times as fast."""
    aims = {library.name: library.replay_aim for library in libraries.PEERS}
    assert aims.pop("DBOS") == 50
    assert set(aims.values()) == {3}
    assert {name.partition(",")[0]: aim for name, *_, aim in peers.WORKLOADS[1:]} == {
        "fresh": 1,
        "fan-out": 5,
    }
    row = Row("replay", "DBOS 3", "1,000", 4e-6, 2e-4, (0.016, 0.02, 0.025), 1 / 50)
    assert peers.table([row]).splitlines()[2].split() == (
        ["replay", "DBOS", "3", "1,000", "4.0", "us", "200.0", "us", "50", "40-62", "50", "met"]
    )
