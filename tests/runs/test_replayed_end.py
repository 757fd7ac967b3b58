"""A run that is entered again, replays everything and ends in another way says so (R10): its code changes what a replay
does not bring back."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from tests.support.worlds import KINDS, World

OTHER = "The output is not the one of the first pass"
FAILS = "The run fails, though it was completed before"


@pytest.fixture(params=KINDS)
def world(request, tmp_path):
    return World(tmp_path, request.param)


def warned(world, job):
    lines = [line.strip(" ⚠") for line in world.last(job).tree().splitlines() if "⚠" in line]
    return [start for line in lines for start in (OTHER, FAILS) if line.startswith(start)]


def rows_of(world, ending):
    @world.job(id="rows")
    def job(payload, io):
        rows = []
        for number in range(3):
            yield io.run_task(f"row-{number}", lambda number: rows.append(number), number)
        return ending(rows)

    return job


@pytest.mark.filterwarnings("ignore:run run_:RuntimeWarning")
def test_an_output_that_a_replay_does_not_give_is_said_at_each_pass(world):
    job = rows_of(world, list)
    assert world.run(job) == [0, 1, 2]
    assert warned(world, job) == []
    for _ in range(2):  # the second one has the output of the first replay to compare with
        assert world.run(job) == []
        assert warned(world, job) == [OTHER]
    world.new_kernel()
    job = rows_of(world, list)
    assert world.run(job) == []
    assert warned(world, job) == [OTHER]


@pytest.mark.filterwarnings("ignore:run run_:RuntimeWarning")
def test_so_is_a_failure_of_what_was_completed(world):
    job = rows_of(world, lambda rows: rows[-1])
    assert world.run(job) == 2
    for _ in range(2):
        assert isinstance(world.fail(job), IndexError)
        assert warned(world, job) == [FAILS]


def test_nothing_is_said_where_the_end_may_differ(world):
    """Other code, a set in another order, no task at all, a value that cannot be compared."""

    def of(end):
        @world.job(id="end")
        def job(payload, io):
            yield io.run_task("task", lambda: 1)
            return end()

        world.run(job)
        world.run(job)
        assert warned(world, job) == []

    of(lambda: 1)
    of(lambda: 2)
    of(lambda: {"a", "b", float("nan")})
    of(lambda: object())

    @world.job
    def without(payload, io):
        return random.random()
        yield

    world.run(without)
    world.run(without)
    assert warned(world, without) == []


SCRIPT = """
from trigger_nb import job

@job
async def load(payload, io):
    rows = []
    for number in range(3):
        await io.run_task(f"row-{number}", lambda number: rows.append(number), number)
    return rows

print(load.run_sync(), load.run_sync())
"""


def test_a_script_is_told_by_a_warning(tmp_path):
    (tmp_path / "load.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "load.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[0] == "[0, 1, 2] []"
    assert done.stderr.count(OTHER) == 1
    assert "load.py:4" in done.stderr
