"""How long a run will take, going by the completed runs of its job."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.views import T, run as run_record, task
from tests.support.worlds import until
from trigger_nb import Reason, RunStatus, TriggerClient
from trigger_nb._records import durations as durations_module
from trigger_nb._records.durations import Durations, durations
from trigger_nb._records.feed import Expected, PassBegan, Progressed, Seen
from trigger_nb._runs import runtime as runtime_module
from trigger_nb._view.live import wire
from trigger_nb._view.model.run_model import RunModel
from trigger_nb._view.render import html, text
from trigger_nb._view.words import probably_left
from trigger_nb.testing import FakeClock


def taking(world, seconds):
    """A body that takes so long, by the clock of its world."""
    return world.body(lambda: world.clock.advance(seconds))


def expected(world, job, version="0", **options):
    return durations(job.client.runtime, job.id, version, tasks=True, **options)


@pytest.fixture
def world(world):
    world.clock = FakeClock(autojump=False)
    return world


# What earlier runs took --------------------------------------------------------------------------


def test_durations_are_medians_of_earlier_runs(world):
    @world.job
    def job(payload, io):
        yield io.run_task("a", taking(world, payload))
        yield io.run_task("b", taking(world, 2 * payload))

    assert expected(world, job) == Durations()
    for seconds in (10, 30, 20):
        world.run(job, seconds)
    known = expected(world, job)
    assert (known.total, known.of("a"), known.of("b"), known.of("c")) == (60, 20, 40, None)
    assert durations(world.client.runtime, "job", "0") == Durations(total=60), "tasks are read on demand"


def test_the_latest_five_runs_count(world):
    @world.job
    def job(payload, io):
        yield io.run_task("a", taking(world, payload))

    for seconds in (100, 200, 300, 1, 2, 3, 4, 5):
        world.run(job, seconds)
    assert expected(world, job).total == 3


def test_runs_of_the_same_version_are_preferred(world):
    for version, seconds in (("1", 10), ("2", 20), ("3", 30)):

        @world.job(id="job", version=version)
        def job(payload, io, seconds=seconds):
            yield io.run_task("a", taking(world, seconds))

        world.run(job)
    assert expected(world, job, "2").total == 20
    assert expected(world, job, "4").total == 20, "of all, when there is none of that version"


def test_only_completed_runs_of_that_job_count(world):
    """A run that failed stopped early, and a fork did a part of the work."""

    @world.job
    def job(payload, io):
        yield io.run_task("a", taking(world, payload["takes"]))
        yield io.run_task("b", world.failing("b", *([OSError("no")] if payload["fails"] else [])))

    @world.job
    def other(payload, io):
        yield io.run_task("a", taking(world, 1))

    world.run(job, {"takes": 10, "fails": False})
    world.fail(job, {"takes": 90, "fails": True})
    world.run(other)

    async def fork():
        await world.last(job).fork("a", output=None, run_id="fork")

    world.run(job, {"takes": 20, "fails": False})
    asyncio.run(fork())
    assert expected(world, job).total == 15


def test_an_item_takes_as_long_as_the_others(world):
    """Of items, and of tasks in them, that no earlier run had: the median of those it had."""

    def body(item, index, io):
        yield io.run_task("step", taking(world, item))

    @world.job
    def job(payload, io):
        yield io.run_task("one", world.body(lambda: None))
        for number in payload:  # one after the other: the clock is everybody's
            yield io.parallel(("many", number), [number], world.body(body))

    world.run(job, [10])
    world.run(job, [10, 20])
    known = expected(world, job)
    path = "~(many,~i10)"
    assert known.of(path) == 10
    assert known.of(f"{path}/0/step") == 10
    assert known.of(f"{path}/99/step") == 10
    assert known.of(f"{path}/99") == 10
    assert known.of("~(many,~i30)/0") is None


def test_a_map_takes_its_own_time_and_an_item_its_share_of_it():
    """Side by side, two items take as long as one."""
    ran = [("m", 0, 6, "map"), ("m/x", 0, 6), ("m/y", 0, 5), ("a", 6, 4)]
    known = durations(Earlier((10.0, ran)), "job", "1.0", tasks=True)
    assert (known.of("m"), known.of("a"), known.items) == (6, 4, {"m": 3.0})
    assert known.of("m/new") == 5.5


class Earlier:
    """Runs that took so many seconds, with tasks of (path, start, length, kind)."""

    def __init__(self, *runs):
        self._runs = runs
        self.read = []

    def each_run_record(self):
        for number, (worked, tasks) in enumerate(self._runs):
            yield run_record(id=f"run_{number}", worked=worked, counts={"COMPLETED": len(tasks)})

    def each_task_record(self, run_id):
        self.read.append(run_id)
        for path, start, length, *kind in self._runs[int(run_id[4:])][1]:
            yield task(
                path, 1, started_at=T + start, ended_at=T + start + length, kind=kind[0] if kind else "task"
            )


def test_what_is_read_is_bounded():
    """Of a huge run only its own times are read."""
    small, large = (5.0, [("a", 0, 5)]), (9.0, [(f"a{n}", 0, 2) for n in range(4)])
    earlier = Earlier(small, large, small)
    assert durations(earlier, "job", "1.0", tasks=True, most=3).total == 5
    assert earlier.read == ["run_0", "run_2"]
    alone = durations(Earlier(large), "job", "1.0", tasks=True, most=3)
    assert (alone.total, alone.of("a1")) == (9, None)


# When a run will be done -------------------------------------------------------------------------


def left(run):
    """How many seconds a run still takes, in its own opinion."""
    eta = run.eta
    return None if eta is None else eta.timestamp() - run._runtime.clock.time()


def test_a_run_knows_when_it_will_be_done(world):
    seen = []

    def look(seconds):
        world.clock.advance(seconds)
        seen.append(left(world.last(job)))

    @world.job
    def job(payload, io):
        for name, seconds in (("a", 10), ("b", 30), ("c", 20)):
            yield io.run_task(name, world.body(lambda seconds=seconds: look(seconds / 2)))
            yield io.run_task(name + "2", world.body(lambda seconds=seconds: look(seconds / 2)))

    world.run(job, 1)
    assert seen == [None] * 6, "nothing is known of the first run"
    assert world.last(job).eta is None
    seen.clear()
    world.run(job, 2)
    assert seen == pytest.approx([55, 50, 35, 20, 10, None], abs=1)


def test_the_text_tree_says_it_in_its_first_line(world):
    trees = []

    @world.job
    def job(payload, io):
        yield io.run_task("a", taking(world, 100))
        yield io.run_task("b", world.body(lambda: trees.append(world.last(job).tree())))
        yield io.run_task("c", taking(world, 200))

    world.run(job, 1)
    world.run(job, 2)
    first, second = (tree.splitlines()[0] for tree in trees)
    assert first == "● job · RUNNING · 1 min 40 s"
    assert second == "● job · RUNNING · 1 min 40 s · about 3 min left"
    assert "left" not in world.last(job).tree()


def test_what_is_replayed_counts_as_done(world):
    """A run that goes on after a failure has the rest before it, also before it has met what is done."""
    seen, fails = [], []

    def b():
        if fails:
            raise OSError(fails.pop())
        world.clock.advance(20)

    @world.job
    def job(payload, io):
        seen.append(left(world.last(job)))
        yield io.run_task("a", taking(world, 40))
        seen.append(left(world.last(job)))
        yield io.run_task("b", world.body(b))

    world.run(job, 1)
    seen.clear()
    fails.append("no")
    world.fail(job, 2)
    assert seen == pytest.approx([60, 20])
    seen.clear()
    world.clock.advance(3600)  # days may go by
    world.run(job, 2)
    assert seen == pytest.approx([20, 20])


def test_a_run_that_waits_tells_no_end():
    model = RunModel(run_record("RUNNING"), clock=At(10))
    model.expect(Durations(total=60))
    assert model.ends_at == T + 60
    for status in RunStatus:
        if status != RunStatus.RUNNING:
            model.run = run_record(status)
            assert model.ends_at is None, status


class At:
    """So many seconds after the start of the run."""

    def __init__(self, seconds):
        self.seconds = seconds

    def time(self):
        return T + self.seconds


def model_at(seconds, known, *records):
    clock = At(seconds)
    model = RunModel(run_record("RUNNING"), records, seen={}, clock=clock)
    for record in records:
        model.apply([Seen(record.path, Reason.NEW)])
    model.expect(known)
    return model


def running(path, since, **fields):
    return task(path, 1, "RUNNING", started_at=T + since, **fields)


def took(path, start, length, **fields):
    return task(path, 1, started_at=T + start, ended_at=T + start + length, **fields)


def test_a_run_takes_as_long_as_those_before_it():
    assert model_at(20, Durations(total=30)).ends_at == T + 30


def test_one_that_takes_longer_than_ever_tells_no_end():
    assert model_at(31, Durations(total=30)).ends_at is None
    assert model_at(15, Durations()).ends_at is None


def test_a_run_is_not_over_before_a_map_that_is_under_way():
    """The map goes by its own rate, however many items it had before."""
    model = model_at(40, Durations(total=60), running("m", 0, kind="map"))
    model.apply([Progressed("m", 10, 100, None)])
    assert model.ends_at == T + 60, "its rate is not known yet"
    model.apply([Progressed("m", 10_000, 100_000, None, ends_at=T + 300)])
    assert model.ends_at == T + 300
    model.apply([Progressed("m", 99_999, 100_000, None, ends_at=T + 41)])
    assert model.ends_at == T + 60, "and something comes after it"


# Whoever looks on --------------------------------------------------------------------------------


def test_a_widget_counts_down_by_itself():
    """What is sent is a time: between two messages no number has to be."""
    model = model_at(15, Durations(total=30), took("a", 0, 10), running("b", 10))
    assert wire.header(model, 0.0, [], [])["ends"] == round(T + 30)
    assert "about 15 s left" in html.live(model)
    assert "about 15 s left" in text.excerpt(model)


def test_earlier_runs_are_read_once_a_pass_and_not_at_the_beginning():
    """Most runs are done before anybody asks when they will be."""
    asked = []
    clock = At(0)
    model = RunModel(
        run_record("RUNNING"), seen={}, clock=clock, look_back=lambda: asked.append(clock.seconds)
    )
    for clock.seconds in (0, 0.9, 2, 3):
        assert model.ends_at is None
    assert asked == [2]
    model.apply([PassBegan(2)])
    assert model.ends_at is None
    assert asked == [2, 3]


@pytest.mark.anyio
async def test_they_are_read_in_a_thread_for_whoever_looks_on(tmp_path, monkeypatch):
    clock = FakeClock(autojump=False)
    client = TriggerClient("watched", dir=tmp_path, clock=clock, display=False)
    reads = []
    monkeypatch.setattr(
        runtime_module,
        "durations",
        lambda *given, **how: reads.append(given[1:]) or durations_module.durations(*given, **how),
    )
    gate = asyncio.Event()

    @client.job
    async def job(payload, io):
        await io.run_task("a", clock.advance, 60)
        if payload:
            await gate.wait()

    await job.run(0)
    run = job.start(1)
    model = run.model(lazy=True)
    events = client.runtime.feed(run.id).subscribe()
    await until(lambda: run.task("a").status == "COMPLETED" if run.tasks else False)
    assert reads == [], "nobody has asked"
    model.load(None)
    clock.advance(1)
    assert model.ends_at is None
    await until(lambda: any(isinstance(event, Expected) for event in events.take()))
    assert run.eta is None
    assert reads == [("job", "0")], "once"
    gate.set()
    await run


@pytest.mark.anyio
async def test_a_fault_in_earlier_runs_is_none_of_this_one(tmp_path, monkeypatch):
    """D1: an estimate is not worth an error."""
    client = TriggerClient("faulty", dir=tmp_path, display=False)

    def fail(*_, **how):
        raise OSError("the disk is gone")

    monkeypatch.setattr(runtime_module, "durations", fail)
    seen = []

    @client.job
    async def job(payload, io):
        seen.append(client.runs()[0].eta)
        return client.runs()[0].tree()

    assert "RUNNING" in await job.run()
    assert seen == [None]


def test_words_for_what_is_left():
    """The same as in the front end, `probablyLeft` of format.js."""
    told = {
        3.2: "about 4 s",
        60: "about 1 min",
        119: "about 1 min 59 s",
        150: "about 2 min",
        7100: "about 118 min",
    }
    told |= {7300: "about 2 h", 200_000: "about 2 d"}
    for seconds, words in told.items():
        assert probably_left(seconds) == f"{words} left"
