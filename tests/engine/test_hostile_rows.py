"""What somebody who can write to the store can do to the kernel that reads it: change a value, and run no code."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from tests.support.rows import rewrite
from trigger_nb import RunStatus
from trigger_nb._records.records import TaskRecord
from trigger_nb.errors import BadSignatureError, ValueNotLoadedError

ran: list[object] = []


class Deploy:
    """An object of the user's whose unpickling does something."""

    def __init__(self, to):
        self.to = to

    def __reduce__(self):
        return _deployed, (self.to,)


def _deployed(to):
    ran.append(to)
    return Deploy(to)


@dataclasses.dataclass
class Conf:
    name: str = "x"

    @property
    def command(self):
        return None

    @command.setter
    def command(self, text):
        ran.append(text)


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    monkeypatch.setenv("TRIGGER_NB_KEY_FILE", str(tmp_path / "key"))
    ran.clear()


def record_of(world, run, path):
    record = TaskRecord.loads(world.client.runtime.store.get(f"{run.id}/{path}"))
    record.path = path
    return record


def write(world, run, record):
    """Replace a row in the database."""
    assert rewrite(world.client.dir, f"{run.id}/{record.path}", lambda _: record.dumps()) == 1
    world.new_kernel()


def deploying(world, path="plan", **options):
    @world.job(id="job")
    def job(payload, io):
        got = yield io.run_task(path, world.body(lambda: Deploy(payload), note=path), **options)
        other = yield io.run_task("name", world.body(lambda: "harmless", note="name"))
        return [got.to, str(other)]

    return job


async def rerun(run):
    run.rerun_from("plan")
    await run


PICKLED = {"codec": "pickle"}


@pytest.mark.parametrize("place", ["another task", "another run", "a later result", "another run that asks"])
def test_a_signed_pickle_is_loaded_only_where_it_was_made(world, place):
    """S2: the row is copied, with all that is in it, also that it is a pickle."""
    job = deploying(world, **PICKLED)
    assert world.run(job, "production") == ["production", "harmless"]
    old = world.last(job)
    stolen = record_of(world, old, "plan")
    if place == "a later result":
        assert world.run(job, "production") == ["production", "harmless"]
        asyncio.run(rerun(old))
        target = old
        after = record_of(world, target, "plan")
        assert after.generation == 1
        changed = after.copy(value=stolen.value)
    elif place == "another task":
        target = old
        changed = record_of(world, target, "name").copy(form="signed", value=stolen.value, codec="pickle")
    else:
        world.run(job, "staging")
        target = world.last(job)
        path = "plan" if place == "another run that asks" else "name"
        changed = record_of(world, target, path).copy(form="signed", value=stolen.value, codec="pickle")
    payload = "production" if target.id == old.id else "staging"
    write(world, target, changed)
    job = world.again(job)
    world.take()
    ran.clear()
    assert type(world.fail(job, payload)) is BadSignatureError
    with pytest.raises(BadSignatureError):
        _ = world.last(job).task(changed.path).output
    assert "production" not in ran or (place == "another task" and ran == ["production"])
    assert world.take() == []


def test_a_result_that_was_pickled_needs_the_call_to_say_so_again(world):
    """Who takes the option away gets told what to do, and nothing is repeated."""
    job = deploying(world, **PICKLED)
    world.run(job, "production")
    run = world.last(job)
    assert run.task("plan").output.to == "production"
    world.new_kernel()
    job = deploying(world)
    world.take()
    error = world.fail(job, "production")
    assert type(error) is BadSignatureError
    assert "say so again. Otherwise run the task again" in str(error)
    job = deploying(world, **PICKLED)
    assert world.run(job, "production") == ["production", "harmless"]
    assert world.take() == []


def test_a_fork_has_its_own_pickles(world):
    """R9: what is copied is signed for the fork, and what is given by hand."""
    job = deploying(world, **PICKLED)
    world.run(job, "production")
    run = world.last(job)
    world.take()
    fork = run.fork("name")
    assert world.run(job, fork.payload, run_id=fork.id) == ["production", "harmless"]
    assert world.take() == ["name"]
    given = run.fork("plan", output=Deploy("by hand"))
    assert world.run(job, given.payload, run_id=given.id) == ["by hand", "harmless"]
    assert given.task("plan").output.to == "by hand"
    assert world.take() == ["name"]
    assert record_of(world, run, "plan").value != record_of(world, fork, "plan").value


def test_a_fork_does_not_sign_what_was_pasted(world):
    job = deploying(world, **PICKLED)
    world.run(job, "production")
    stolen = record_of(world, world.last(job), "plan")
    world.run(job, "staging")
    run = world.last(job)
    write(world, run, record_of(world, run, "plan").copy(value=stolen.value))
    job = world.again(job)
    ran.clear()
    fork = world.last(job).fork("name")
    assert type(world.fail(job, fork.payload, run_id=fork.id)) is BadSignatureError
    assert ran == []


def test_a_row_calls_no_setter_and_ends_the_pass(world):
    """A value that cannot be read is no failed call (R13)."""

    @world.job(id="job")
    def job(payload, io):
        try:
            got = yield io.run_task("conf", world.body(Conf, note="conf"))
        except Exception:
            got = yield io.run_task("other", world.body(Conf, note="other"))
        return type(got).__name__

    assert world.run(job) == "Conf"
    run = world.last(job)
    name = f"{__name__}:Conf"
    data = {"$": "dataclass", "of": name, "v": {"name": "a"}, "more": {"command": "rm -rf"}}
    write(world, run, record_of(world, run, "conf").copy(form="tagged", value=data))
    job = world.again(job)
    assert world.run(job) == "Conf"
    data = {"$": "text", "of": "fractions:Fraction", "v": "1e99999999"}
    write(world, world.last(job), record_of(world, run, "conf").copy(form="tagged", value=data))
    job = world.again(job)
    assert type(world.fail(job)) is ValueNotLoadedError
    assert world.last(job).status == RunStatus.INTERRUPTED
    assert (world.take(), ran) == (["conf"], [])
