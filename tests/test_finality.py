"""R5: which recorded errors are part of the story, and which tasks run again."""

from __future__ import annotations

import asyncio

import pytest

from trigger_nb import Retry, TriggerClient
from trigger_nb._forget import Finality
from trigger_nb._records import TaskRecord, TaskStatus


def task(path, started, ended=0, status=TaskStatus.COMPLETED, kind="task"):
    return TaskRecord(path=path, status=status, kind=kind, started=started, ended=ended)


def error(path, started, ended):
    return task(path, started, ended, TaskStatus.ERRORED)


def is_final(path, *records, ended_by=(), run_completed=False):
    finality = Finality(lambda: records, ended_by, run_completed=run_completed)
    (record,) = (record for record in records if record.path == path)
    return finality.is_final(record)


def test_the_last_thing_that_happened_may_have_ended_the_run():
    assert not is_final("a", error("a", 1, 2))
    assert not is_final("a", task("before", 1, 2), error("a", 3, 4))


def test_a_task_began_after_it():
    assert is_final("a", error("a", 1, 2), task("b", 3, 4))
    assert is_final("p/a", task("p", 1, 0, TaskStatus.RUNNING), error("p/a", 2, 3), task("p/b", 4, 5))
    assert is_final("p/a", error("p/a", 2, 3), task("q", 4, 5))


def test_a_task_at_the_same_time_says_nothing():
    assert not is_final("a", error("a", 1, 4), task("b", 2, 6), task("c", 3, 5))


def test_its_scope_completed():
    assert is_final("p/a", task("p", 1, 4), error("p/a", 2, 3))
    assert is_final("a", error("a", 1, 2), run_completed=True)


def test_it_ended_the_run():
    assert not is_final("a", error("a", 1, 2), task("b", 3, 4), ended_by=["a"])


def test_items_of_a_fan_out_run_again():
    node = task("p", 1, 6, TaskStatus.ERRORED, "parallel")
    assert not is_final("p/0", node, error("p/0", 2, 3), task("p/1", 4, 5))


def test_a_task_that_began_after_it_and_left_only_subtasks():
    """A short body under which the process died has no record, but what it did before is kept."""
    assert is_final("a", error("a", 1, 2), task("fallback/first", 4, 5))
    assert is_final("p/a", error("p/a", 1, 2), task("p/items/0", 4, 5), task("p/items/1", 4, 6))
    # One whose subtasks say that it was there before is one at the same time.
    assert not is_final("a", error("a", 2, 3), task("b/first", 1, 2), task("b/second", 4, 5))


def test_the_tasks_around_it_are_no_later_ones():
    """Run again after an interruption, they begin after the error in them."""
    assert not is_final("p/a", task("p", 9, 0, TaskStatus.RUNNING), error("p/a", 2, 3))
    assert not is_final("p/q/a", task("p", 8, 0, TaskStatus.RUNNING), error("p/q/a", 2, 3))


def test_what_happens_in_this_pass_counts():
    first = error("p/a", 1, 2)
    finality = Finality(lambda: [first], (), run_completed=False)
    assert not finality.is_final(first)
    finality.note(task("p/b", 3, 4))
    assert finality.is_final(first)
    again = error("p/a", 5, 6)
    finality.note(again)
    assert not finality.is_final(again)


@pytest.mark.anyio
async def test_a_handled_error_stays_handled_when_its_parent_is_tried_again():
    """Also in the pass that ran it again: the fallback is the branch that was taken."""
    bodies = []
    interrupted = True

    def charge():
        bodies.append("charge")
        raise OSError("declined")

    def fallback():
        bodies.append("fallback")
        return "invoice"

    async def pay(io, task):
        try:
            return await io.run_task("charge", charge)
        except OSError:
            if interrupted:
                run.cancel()
                await asyncio.sleep(30)
            result = await io.run_task("fallback", fallback)
        if task.attempt == 1:
            raise ConnectionError("the receipt was lost")
        return result

    client = TriggerClient("finality", display=False)

    @client.job
    async def job(payload, io):
        return await io.run_task("pay", pay, retry=Retry(limit=2, min_timeout=0))

    run = job.start()
    with pytest.raises(Exception, match="canceled"):
        await run
    interrupted = False
    assert await job.run() == "invoice"
    # Once more in the second pass, where it was not known to be handled; not in the second attempt there.
    assert bodies == ["charge", "charge", "fallback"]
