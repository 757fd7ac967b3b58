"""R5: which recorded errors are part of the story, and which tasks run again."""

from __future__ import annotations

import asyncio
import math

import pytest
from hypothesis import example, given, strategies as st

from trigger_nb import Retry, TaskStatus, TriggerClient
from trigger_nb._records import forget as forget_module
from trigger_nb._records.forget import Finality
from trigger_nb._records.records import TaskRecord


def task(path, started, ended=0, status=TaskStatus.COMPLETED, kind="task"):
    return TaskRecord(path=path, status=status, kind=kind, started=started, ended=ended)


def error(path, started, ended):
    return task(path, started, ended, TaskStatus.ERRORED)


def is_final(path, *records, ended_by=(), run_completed=False):
    finality = Finality(lambda: records, ended_by, handled=math.inf if run_completed else 0)
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


def test_its_scope_has_completed_before_it_was_opened_again():
    """The pass in which the scope runs again may end before it comes to the error."""
    opened = TaskRecord(path="p", status=TaskStatus.PENDING, started=1, settled=4)
    assert is_final("p/a", opened, error("p/a", 2, 3))
    assert not is_final("p/a", opened, error("p/a", 5, 6))


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
    finality = Finality(lambda: [first], (), handled=0)
    assert not finality.is_final(first)
    finality.note(task("p/b", 3, 4))
    assert finality.is_final(first)
    again = error("p/a", 5, 6)
    finality.note(again)
    assert not finality.is_final(again)


_PATHS = ["a", "b", "c", "a/a", "a/b", "b/a", "b/b", "a/a/a", "a/b/a", "c/a/b"]


@example([("c/a/b", 10, True), ("c/a/b", 18, True)])
@given(st.lists(st.tuples(st.sampled_from(_PATHS), st.integers(1, 20), st.booleans()), max_size=25))
def test_what_is_kept_as_it_comes_is_what_all_records_say(notes):
    """R5: tasks begin and begin again in any order; in between errors are judged, and nothing is worked out anew."""
    errors = [error(path, 1, ended) for path in _PATHS for ended in (3, 8, 15)]
    records = {"z": task("z", 2)}
    kept = Finality(lambda: list(records.values()), (), handled=0)
    kept.is_final(errors[0])
    for path, started, judged in notes:
        records[path] = task(path, started, status=TaskStatus.RUNNING)
        kept.note(records[path])
        if judged:
            anew = Finality(lambda: list(records.values()), (), handled=0)
            assert [kept.is_final(each) for each in errors] == [anew.is_final(each) for each in errors]


def test_thousands_of_errors_are_judged_without_looking_at_all_tasks(monkeypatch):
    """Each of them that runs again is noted, and the next one is judged after that."""
    looked: list[str] = []
    monkeypatch.setattr(forget_module, "ancestors", lambda path: looked.append(path) or [])
    errors = [error(f"{n}", n, 3000) for n in range(1, 1001)]
    finality = Finality(lambda: errors, (), handled=0)
    for each in errors:
        assert not finality.is_final(each)
        finality.note(each)
    assert len(looked) < 5 * len(errors)


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
