"""`run.diff`: which tasks of two runs differ, and in what."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.worlds import World
from trigger_nb.errors import NotFoundError


def found(diff):
    return [(each.path, each.what, each.here, each.there) for each in diff]


def two_runs(world, here, there):
    """Two runs of a job whose run function is `here` and then `there`."""
    first = world.job(here, id="job")
    try:
        world.run(first)
    except ValueError:
        pass
    second = world.job(there, id="job")
    try:
        world.run(second, fresh=True)
    except ValueError:
        pass
    newer, older = second.runs()
    return older, newer


def job_of(world, *results, names="abc"):
    def job(payload, io):
        for name, result in zip(names, results, strict=False):
            yield io.run_task(name, giving(world, result))
        return "done"

    return job


def giving(world, result):
    """A body that returns it: a closure's values are no part of its code."""
    return world.body(lambda: result)


def test_no_difference(world):
    job = job_of(world, 1, "two", {"x": 3, "y": 4})
    here, there = two_runs(world, job, job)
    diff = here.diff(there)
    assert not diff
    assert list(diff) == []
    assert str(diff) == f"{here.id} (here) and {there.id} (there): no difference"
    assert not here.diff(here)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, 1.0),
        (1, True),
        ([1, 2], [2, 1]),
        ((1,), [1]),
        ("x" * 50_000, "y" * 50_000),
        (None, "None"),
    ],
    ids=lambda value: repr(value)[:10],
)
def test_outputs_are_compared_in_value_and_type(world, one, other):
    here, there = two_runs(world, job_of(world, one), job_of(world, other))
    diff = here.diff(there)
    assert [each[:2] for each in found(diff)] == [("a", "output")]
    assert diff


def test_the_order_of_keys_is_no_difference(world):
    one, other = {"x": 1, "y": {2, 3}}, {"y": {3, 2}, "x": 1}
    here, there = two_runs(world, job_of(world, one), job_of(world, other))
    assert not here.diff(there)


def test_large_outputs_are_not_read(world):
    """Of a file its checksum tells."""
    job = job_of(world, "x" * 50_000, b"y" * 50_000)
    here, there = two_runs(world, job, job)
    for run in (here, there):
        world.client.runtime.store.delete_blobs(run.id)
    assert not here.diff(there)


def test_tasks_that_are_in_one_only(world):
    here, there = two_runs(world, job_of(world, 1, 2, names="ab"), job_of(world, 1, 2, names="ac"))
    assert found(here.diff(there)) == [
        ("b", "only here", "COMPLETED", ""),
        ("c", "only there", "", "COMPLETED"),
    ]
    assert found(there.diff(here)) == [
        ("c", "only here", "COMPLETED", ""),
        ("b", "only there", "", "COMPLETED"),
    ]


def test_status_and_error(world):
    def failing(message):
        def job(payload, io):
            yield io.run_task("parent/x", world.failing("x", ValueError(message)))

        return job

    here, there = two_runs(world, failing("one"), failing("other"))
    assert found(here.diff(there)) == [
        ("", "error", "ValueError: one", "ValueError: other"),
        ("parent~1x", "error", "ValueError: one", "ValueError: other"),
    ]

    def fine(payload, io):
        yield io.run_task("parent/x", world.noting("x"))

    world.run(world.job(fine, id="job"), fresh=True)
    newest = world.client.runs()[0]
    assert [each[:2] for each in found(here.diff(newest.id))] == [("", "status"), ("parent~1x", "status")]
    assert found(here.diff(newest.id, code=True)) == [
        ("", "status", "FAILED · ValueError: one", "COMPLETED"),
        ("", "code", "", ""),
        ("parent~1x", "status", "ERRORED · ValueError: one", "COMPLETED"),
        ("parent~1x", "code", "", ""),
    ]
    assert here.diff(newest)[1].name == "parent/x"


def test_code_and_params(tmp_path):
    """R6: fingerprints tell."""
    world = World(tmp_path)

    def body(n):
        return 7

    def edited(n):
        n = n + 1 - 1
        return 7

    def job(body, n):
        def run(payload, io):
            return (yield io.run_task("task", body, n))

        return run

    here, there = two_runs(world, job(body, 1), job(edited, 2))
    assert found(here.diff(there)) == [("task", "params", "[1]", "[2]")]
    assert here.diff(there).left_out == {"code": 2}
    assert str(here.diff(there)).endswith(
        "differences left out: 2 in code; diff(other, code=True) shows them"
    )
    assert found(here.diff(there, code=True)) == [
        ("", "code", "", ""),  # the run function refers to the body
        ("task", "params", "[1]", "[2]"),
        ("task", "code", "", ""),
    ]


def test_payloads(world):
    @world.job
    def job(payload, io):
        yield io.run_task("a", world.noting("a"))

    world.run(job, {"id": 1})
    world.run(job, {"id": 2})
    there, here = job.runs()
    assert found(here.diff(there)) == [("", "params", '{"id": 1}', '{"id": 2}')]
    assert "no task differs, only the run itself" in str(here.diff(there))


@pytest.mark.parametrize(
    ("short", "long", "differs"),
    [(1, 3, True), (3, 1, True), (0, 0.3, True), (1, 1.9, False), (0.01, 0.09, False)],
)
def test_durations(world, short, long, differs):
    """Twice as long, and by more than a tenth of a second."""

    def lasting(seconds):
        def body():
            world.clock.advance(seconds)

        def job(payload, io):
            yield io.run_task("a", world.body(body))

        return job

    here, there = two_runs(world, lasting(short), lasting(long))
    assert [each.what for each in here.diff(there, durations=True)] == ["duration"] * differs
    assert not here.diff(there)
    assert here.diff(there).left_out == {"duration": 1} if differs else not here.diff(there).left_out


def test_a_fork_and_its_original(world):
    job = world.job(job_of(world, 1, 2, 3), id="job")
    world.run(job)
    run = world.last(job)
    fork = run.fork("b", output=20)
    world.run(job, run_id=fork.id)
    assert found(fork.diff(run)) == [("b", "output", "20", "2")]


def test_a_value_is_shown_on_one_line(world):
    here, there = two_runs(world, job_of(world, {"x": list(range(100))}), job_of(world, "a\nb"))
    (each,) = here.diff(there)
    assert each.here.startswith('{ "x": [ 0, 1, 2,')
    assert len(each.here) < 250
    assert each.there == '"a\\nb"'


def test_what_is_hidden_stays_hidden(world):
    """S8: `redact` hides from what is shown."""

    def job(secret):
        def run(payload, io):
            body = world.body(lambda _: {"token": secret})
            return (yield io.run_task("a", body, {"token": secret}, redact=["token"]))

        return run

    here, there = two_runs(world, job("secret-1"), job("secret-2"))
    first = world.client.run(here.id)
    diff = first.diff(there)
    assert [each.what for each in diff if each.path] == ["output", "params"]
    tasks = "".join(f"{each.here}{each.there}" for each in diff if each.path)
    assert "secret" not in tasks


def test_it_shows_as_a_table(world):
    here, there = two_runs(world, job_of(world, "<b>\x1b[31m", 2), job_of(world, "x" * 500, 3))
    diff = here.diff(there)
    lines = str(diff).splitlines()
    assert lines[0] == f"{here.id} (here) and {there.id} (there): 2 tasks differ"
    assert lines[1].split() == ["Task", "Differs", "in", "Here", "There"]
    assert lines[3] == "b     output      2                3"
    assert max(map(len, lines)) < 120
    page = diff._repr_html_()
    assert "<td><b>b</b></td><td>output</td><td><code>2</code></td><td><code>3</code></td>" in page
    assert "&lt;b&gt;" in page
    assert "\x1b" not in page + str(diff)
    assert repr(diff[0]).startswith("Difference(path='a', what='output'")
    assert [each.path for each in diff[:1]] == ["a"]


@pytest.mark.anyio
async def test_runs_under_way_are_compared_as_they_are(tmp_path):
    world = World(tmp_path)
    gate = asyncio.Event()

    @world.client.job
    async def job(payload, io):
        await io.run_task("a", lambda: 1)
        await io.run_task("b", gate.wait)

    run = job.start()
    other = job.start(fresh=True)
    while not all("a" in (task.path for task in each.tasks) for each in (run, other)):
        await asyncio.sleep(0.001)
    gate.set()
    await other
    assert ("", "status", "RUNNING", "COMPLETED") in found(run.diff(other)) or run.status == "COMPLETED"
    await run
    assert not run.diff(other)


def test_log_lines_are_left_out(world):
    def saying(what):
        def job(payload, io):
            io.logger.info(what)
            yield io.run_task("a", world.noting("a"))

        return job

    here, there = two_runs(world, saying("this"), saying("that"))
    assert not here.diff(there)


def test_a_run_that_is_not_there(world):
    job = world.job(job_of(world, 1), id="job")
    world.run(job)
    with pytest.raises(NotFoundError, match="no run 'nobody'"):
        world.last(job).diff("nobody")


@pytest.mark.parametrize("times", [9, 900], ids=["in the row", "in a file"])
def test_of_long_texts_the_part_that_differs_is_shown(world, times):
    long = "The report says that sales rose in all regions. " * times
    here, there = two_runs(
        world, job_of(world, long + "But it rained. " + long), job_of(world, long + "But it snowed. " + long)
    )
    (each,) = here.diff(there)
    assert "regions. But it rained. The report" in each.here
    assert "regions. But it snowed. The report" in each.there
    assert len(each.here) < 250
    assert "<mark>rained.</mark>" in here.diff(there)._repr_html_()
    row = str(here.diff(there)).splitlines()[2]
    assert "rained" in row
    assert "snowed" in row


def test_many_differences_are_shown_in_part(world):
    """An item of a map is shown by its name, not by the digest that is its key."""

    def job(shift):
        return lambda payload, io: (
            yield io.map("m", [{"id": n} for n in range(60)], world.body(lambda item: item["id"] + shift))
        )

    here, there = two_runs(world, job(0), job(1))
    diff = here.diff(there)
    assert len(diff) == 61  # with the run itself
    assert "… 11 more differences: list(diff) has all of them" in str(diff)
    assert 'm/{"id": 0}' in str(diff)
    assert diff._repr_html_().count("<tr>") == 51
