"""Results of other runs in place of calls: `reuse=` and `expires_after=` (issue 15, Reuse across runs and jobs)."""

from __future__ import annotations

import asyncio
import types
from datetime import timedelta

import pytest

from tests.support import reuse_bodies as bodies
from tests.support.worlds import World, reasons
from trigger_nb import File, TaskStatus
from trigger_nb.errors import InvalidOptionError
from trigger_nb.integrations import Integration

DAY = 86_400.0


@pytest.fixture
def world(tmp_path):
    bodies.take()
    yield (made := World(tmp_path / "store"))
    made.new_kernel()


def one_task(world, body, *args, id="job", **options):
    @world.client.job(id=id)
    async def job(payload, io):
        return await io.run_task("task", body, *args, **options)

    return job


def mapped(world, body=bodies.double, id="job", key="items", job_options=None, **options):
    @world.client.job(id=id, **(job_options or {}))
    async def job(payload, io):
        return await io.map(key, payload, body, **options)

    return job


def edited(function, old, new):
    """The function with other code, as after an edit of its cell."""
    code = function.__code__
    constants = tuple(new if each == old and type(each) is type(old) else each for each in code.co_consts)
    made = types.FunctionType(code.replace(co_consts=constants), function.__globals__, function.__name__)
    made.__module__ = function.__module__
    return made


# What is found, and what is not ----------------------------------------------------------------------


def test_by_default_nothing_of_another_run_is_taken(world):
    """Issue 15, Reuse: `reuse="run"` is as before, and leaves nothing that another run could find."""
    for run_id in ("one", "two"):
        assert world.run(one_task(world, bodies.double, 4), run_id=run_id) == 8
    assert bodies.take() == [4, 4]
    assert "reuse" not in world.client.runtime.store.tally()
    assert world.run(one_task(world, bodies.double, 4, reuse="client"), run_id="three") == 8
    assert bodies.take() == [4]


def test_a_default_run_asks_the_store_for_no_results_of_others(world, monkeypatch):
    """Issue 15, Reuse: a default run does no extra query."""
    shared = world.client.runtime.store.shared
    monkeypatch.setattr(shared, "look_up", lambda *_: pytest.fail("a default run looked at other runs"))
    assert world.run(one_task(world, bodies.double, 4)) == 8
    assert world.run(mapped(world, id="map"), [1, 2]) == [2, 4]


def test_a_task_takes_the_result_of_another_run_and_says_so(world):
    """Issue 15, Reuse: recorded as reused from the run that made it, without a call; a replay needs that run no more."""
    job = one_task(world, bodies.double, 4, reuse="job")
    assert world.run(job, run_id="one") == 8
    world.clock.advance(3 * DAY)
    world.new_kernel()
    job = one_task(world, bodies.double, 4, reuse="job")
    assert world.run(job, run_id="two") == 8
    assert bodies.take() == [4]
    task = world.client.run("two").task("task")
    assert (task.reason, task.status, task.output) == ("reused", TaskStatus.COMPLETED, 8)
    assert task.reused_from.run_id == "one"
    assert task.reused_from.path == "task"
    assert task.reused_from.at == world.client.run("one").task("task").ended_at
    assert "reused from one, 3 d ago" in world.client.run("two").tree()
    assert world.client.run("one").task("task").reused_from is None
    world.client.run("one").delete()
    world.new_kernel()
    assert world.run(one_task(world, bodies.double, 4, reuse="job"), run_id="two") == 8
    assert reasons(world.client.run("two")) == {"task": "replayed"}
    assert bodies.take() == []


def test_job_looks_at_one_job_and_client_at_all(world):
    """Issue 15, Reuse: the option of the call says where it looks."""
    assert world.run(one_task(world, bodies.double, 4, id="first", reuse="job"), run_id="one") == 8
    assert world.run(one_task(world, bodies.double, 4, id="second", reuse="job"), run_id="two") == 8
    assert bodies.take() == [4, 4]
    assert world.run(one_task(world, bodies.double, 4, id="third", reuse="client"), run_id="three") == 8
    assert bodies.take() == []


def test_a_client_with_another_id_shares_nothing(world, tmp_path):
    """Issue 15, Reuse: "client" is one client, also where two share a folder."""
    from trigger_nb import TriggerClient

    assert world.run(one_task(world, bodies.double, 4, reuse="client"), run_id="one") == 8
    other = TriggerClient("other", dir=world.directory, clock=world.clock, display=False)

    @other.job(id="elsewhere")
    async def job(payload, io):
        return await io.run_task("task", bodies.double, 4, reuse="client")

    assert job.run_sync(run_id="two") == 8
    assert bodies.take() == [4, 4]


@pytest.mark.parametrize("where", ["task", "job", "client"])
def test_the_option_on_task_job_and_client(world, where):
    """Issue 15, Reuse: `reuse=` on a task, a job and the client."""
    if where == "client":
        world.options = {"reuse": "job"}
    on_job = {"reuse": "job"} if where == "job" else {}
    on_task = {"reuse": "job"} if where == "task" else {}

    @world.client.job(**on_job)
    async def job(payload, io):
        return await io.run_task("task", bodies.double, 4, **on_task)

    assert [world.run(job, run_id=each) for each in ("one", "two")] == [8, 8]
    assert bodies.take() == [4]


def test_a_task_can_opt_out_of_the_default_of_its_job(world):
    """Issue 15, Reuse: the nearest option counts."""

    @world.client.job(reuse="client")
    async def job(payload, io):
        return await io.run_task("task", bodies.double, 4, reuse="run")

    assert [world.run(job, run_id=each) for each in ("one", "two")] == [8, 8]
    assert bodies.take() == [4, 4]


def test_other_code_or_other_arguments_are_no_match(world):
    """Issue 15, Reuse: never what another version of the code made."""
    assert world.run(one_task(world, bodies.double, 4, reuse="job"), run_id="one") == 8
    assert world.run(one_task(world, edited(bodies.double, 2, 3), 4, reuse="job"), run_id="two") == 12
    assert world.run(one_task(world, bodies.double, 5, reuse="job"), run_id="three") == 10
    assert bodies.take() == [4, 4, 5]
    assert world.run(one_task(world, bodies.double, 4, reuse="job"), run_id="four") == 8
    assert bodies.take() == []


def test_data_in_a_closure_counts(world):
    """Issue 15, Reuse: two bodies of the same code with other data in their closures are two bodies."""

    def body_of(number):
        return lambda: bodies.double(number)

    for number in (1, 2, 1, 2):
        job = one_task(world, body_of(number), reuse="job")
        assert world.run(job, run_id=f"{number} {len(bodies.calls)}") == 2 * number
    assert bodies.take() == [1, 2]


def test_a_body_bound_to_an_object_that_cannot_be_compared_runs(world):
    """Issue 15, Reuse: what cannot be compared is never taken for the same."""

    class Counter:
        def __init__(self, number):
            self.lock = object()
            self.number = number

        def get(self):
            return bodies.double(self.number)

    for number in (1, 2):
        assert world.run(one_task(world, Counter(number).get, reuse="job"), run_id=str(number)) == 2 * number
    assert bodies.take() == [1, 2]


def test_what_failed_or_was_canceled_is_not_reused(world):
    """Issue 15, Reuse: a failed task leaves nothing to reuse."""
    job = one_task(world, bodies.picky, -1, reuse="job")
    for run_id in ("one", "two"):
        assert isinstance(world.fail(job, run_id=run_id), ValueError)
    assert bodies.take() == [-1, -1]


def test_a_result_that_was_forgotten_is_not_reused(world):
    """Issue 15, Reuse: never what is not committed any more."""
    job = one_task(world, bodies.double, 4, reuse="job")
    world.run(job, run_id="one")
    world.change_record(job, "task", status=TaskStatus.PENDING, value=None, generation=1, forced=True)
    world.new_kernel()
    assert world.run(one_task(world, bodies.double, 4, reuse="job"), run_id="two") == 8
    assert bodies.take() == [4, 4]


def test_what_is_to_run_again_on_request_runs(world):
    """Issue 15, Reuse: `rerun_from` asks for a call, and its result is the one that others find from then on."""
    job = one_task(world, bodies.double, 4, reuse="job")
    world.run(job, run_id="one")
    world.run(job, run_id="two")

    async def again():
        await world.client.run("two").rerun_from("task")

    asyncio.run(again())
    assert bodies.take() == [4, 4]
    assert world.client.run("two").task("task").reused_from is None
    world.run(job, run_id="three")
    assert world.client.run("three").task("task").reused_from.run_id == "two"


def test_a_check_that_differs_is_no_match(world):
    """Issue 15, Reuse: what `check=` returned is the result, so another check is another body."""
    first = one_task(world, bodies.double, 4, reuse="job", check=lambda value: value + 1)
    assert [world.run(first, run_id=each) for each in ("one", "two")] == [9, 9]
    other = one_task(world, bodies.double, 4, reuse="job", check=lambda value: value + 5)
    assert world.run(other, run_id="three") == 13
    assert bodies.take() == [4, 4]


def test_a_test_run_neither_takes_nor_leaves_results(world):
    """Issue 15, Reuse: `is_test` runs stand apart."""
    job = one_task(world, bodies.double, 4, reuse="job")
    world.run(job, run_id="one", is_test=True)
    world.run(job, run_id="two")
    world.run(job, run_id="three", is_test=True)
    assert bodies.take() == [4, 4, 4]


# Bodies with subtasks ---------------------------------------------------------------------------------


def test_a_body_with_subtasks_is_reused_as_a_whole(world):
    """Issue 15, Reuse: its subtasks are not called, and the code of what it started counts."""
    job = one_task(world, bodies.with_subtasks, 4, reuse="job")
    assert world.run(job, run_id="one") == -8
    assert bodies.take() == [4, 4, 8]
    assert world.run(job, run_id="two") == -8
    assert bodies.take() == []
    assert reasons(world.client.run("two")) == {"task": "reused"}


def test_an_edited_subtask_is_no_match(world, monkeypatch):
    """Issue 15, Reuse: of a body with subtasks, the code of what it started counts."""
    world.run(one_task(world, bodies.with_subtasks, 4, reuse="job"), run_id="one")
    bodies.take()
    monkeypatch.setattr(bodies, "double", edited(bodies.double, 2, 3))
    assert world.run(one_task(world, bodies.with_subtasks, 4, reuse="job"), run_id="two") == -12
    assert bodies.take() == [4, 4, 12]


@pytest.mark.parametrize("body", [bodies.with_random, bodies.with_failure])
def test_a_body_whose_subtasks_are_more_than_code_is_not_reused(world, body):
    """Issue 15, Reuse: a random number, or a subtask that failed, belongs to its run."""
    job = one_task(world, body, 4, reuse="job")
    world.run(job, run_id="one")
    called = bodies.take()
    world.run(job, run_id="two")
    assert bodies.take() == called


# Expiry -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [3600, timedelta(hours=1)])
def test_an_expired_result_runs_again_at_replay(world, limit):
    """Issue 15, `expires_after=`: replays included; the reason says so."""
    job = one_task(world, bodies.double, 4, expires_after=limit)
    world.run(job)
    world.clock.advance(3600)
    world.run(job)
    assert bodies.take() == [4]
    world.clock.advance(1)
    assert [task.reason for task in job.plan().runs] == ["expired"]
    assert world.run(job) == 8
    assert bodies.take() == [4]
    assert reasons(world.last(job)) == {"task": "expired"}
    world.run(job)
    assert bodies.take() == []


def test_expiry_as_a_default_of_the_job(world):
    """Issue 15, `expires_after=`: of a job; a task's own option counts before it."""

    @world.client.job(expires_after=60)
    async def job(payload, io):
        await io.run_task("short", bodies.double, 1)
        await io.run_task("long", bodies.double, 2, expires_after=DAY)
        return await io.random("r")

    first = world.run(job)
    world.clock.advance(100)
    assert world.run(job) == first  # a random number stays
    assert bodies.take() == [1, 2, 1]


def test_the_subtasks_of_an_expired_task_run_again_too(world):
    """Issue 15, `expires_after=`: they are older than the result that they led to."""
    job = one_task(world, bodies.with_subtasks, 4, expires_after=60)
    world.run(job)
    world.clock.advance(61)
    assert world.run(job) == -8
    assert bodies.take() == [4, 4, 8] * 2


def test_an_expired_result_is_not_reused(world):
    """Issue 15, `expires_after=`: the age is that of the body's end, however often the result was reused."""
    job = one_task(world, bodies.double, 4, reuse="job", expires_after=100)
    world.run(job, run_id="one")
    world.clock.advance(60)
    world.run(job, run_id="two")
    assert bodies.take() == [4]
    world.clock.advance(60)
    world.run(job, run_id="three")
    assert bodies.take() == [4]
    world.run(job, run_id="two")  # takes the newer result over, in place of the expired one
    assert bodies.take() == []
    task = world.client.run("two").task("task")
    assert (task.reason, task.reused_from.run_id) == ("reused", "three")


# Maps -------------------------------------------------------------------------------------------------


def test_only_the_new_item_runs_in_another_run_and_another_job(world):
    """Issue 15, Must hold: 5,000 items; the same and one more in another job with `reuse="client"`: one body."""
    items = list(range(5_000))
    world.run(mapped(world, reuse="client"), items, run_id="one")
    assert len(bodies.take()) == 5_000
    world.new_kernel()
    other = mapped(world, id="other", key="another", reuse="client")
    assert world.run(other, [*items, 5_000], run_id="two") == [2 * n for n in range(5_001)]
    assert bodies.take() == [5_000]
    text = world.client.run("two").tree()
    assert "5,000 reused" in text
    changed = mapped(world, edited(bodies.double, 2, 3), id="edited", reuse="client")
    assert world.run(changed, [1, 2, 3], run_id="three") == [3, 6, 9]
    assert sorted(bodies.take()) == [1, 2, 3]


def test_a_map_asks_once_for_all_its_items(world, monkeypatch):
    """Issue 15, Reuse: one query for a map."""
    world.run(mapped(world, reuse="job"), list(range(300)), run_id="one")
    shared = world.client.runtime.store.shared
    asked = []
    look_up = shared.look_up

    def counting(digests, job):
        asked.append(len(list(digests)))
        return look_up(digests, job)

    monkeypatch.setattr(shared, "look_up", counting)
    world.run(mapped(world, reuse="job"), list(range(300)), run_id="two")
    assert asked == [300]


@pytest.mark.parametrize("items", [[3, 4], [4, 3, 2, 1, 9], [1, 2, 3, 4, 1, 1], []])
def test_items_inserted_deleted_and_shuffled(world, items):
    """Issue 15, Reuse: an item is found by its content. Of equal items, all that another run has are taken."""
    world.run(mapped(world, reuse="job"), [1, 2, 3, 4], run_id="one")
    bodies.take()
    assert world.run(mapped(world, reuse="job"), items, run_id="two") == [2 * n for n in items]
    assert bodies.take() == [n for n in items if n not in (1, 2, 3, 4)]
    assert world.run(mapped(world, reuse="job"), items, run_id="two") == [2 * n for n in items]
    assert bodies.take() == []


def test_a_map_over_a_generator_reads_no_item_ahead(world):
    """Issue 15, Reuse: a generator may do something for each item, so it is read as the map advances."""
    read = []

    def numbers():
        for n in range(6):
            read.append((n, len(bodies.calls)))
            yield n

    @world.client.job
    async def job(payload, io):
        return await io.map("items", numbers(), bodies.double, concurrency=1, reuse="job")

    world.run(job, run_id="one")
    assert [called for _, called in read] == [0, 0, 1, 2, 3, 4] or [called for _, called in read] == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]
    bodies.take()
    assert world.run(job, run_id="two") == [0, 2, 4, 6, 8, 10]
    assert bodies.take() == []


def test_a_map_that_gives_up_has_read_more_than_it_started(world):
    """Issue 15, Reuse: reading ahead does not change which items start, nor how a map ends."""

    @world.client.job
    async def job(payload, io):
        return await io.map("items", payload, bodies.picky, reuse="job", concurrency=1, max_failures=2)

    error = world.fail(job, [1, -1, -2, 5, 6])
    assert "2 of" in str(error)
    assert bodies.take() == [1, -1, -2]


def test_the_error_of_an_items_key_comes_when_it_is_that_items_turn(world):
    """Issue 15, Reuse: items before it are done, as without `reuse=`."""

    def key(item):
        if item == 3:
            raise LookupError("no key")
        return item

    @world.client.job
    async def job(payload, io):
        return await io.map("items", payload, bodies.double, reuse="job", item_key=key, concurrency=1)

    assert "no key" in str(world.fail(job, [1, 2, 3, 4]))
    assert bodies.take() == [1, 2]


def test_imap_gives_out_reused_results(world):
    """Issue 15, Reuse: results are committed before the loop sees them."""

    @world.client.job
    async def job(payload, io):
        seen = []
        async for item, result in io.imap("items", payload, bodies.double, reuse="job"):
            stored = world.client.runtime.store.get(f"{io._pass.run.id}/items/~(~i{item})")
            seen.append((item, result, stored is not None))
        return sorted(seen)

    world.run(job, [1, 2], run_id="one")
    assert world.run(job, [1, 2, 3], run_id="two") == [(1, 2, True), (2, 4, True), (3, 6, True)]
    assert sorted(bodies.take()) == [1, 2, 3]


def test_a_batch_is_no_match_for_single_items(world):
    """Issue 15, Reuse: a body that gets lists is not one that gets items."""
    batched = mapped(world, bodies.in_batches, reuse="job", batch=2)
    assert world.run(batched, [1, 2], run_id="one") == [3, 3]
    assert world.run(batched, [2, 1], run_id="two") == [3, 3]
    assert bodies.take() == [(1, 2)]

    @world.client.job(id="job")
    async def single(payload, io):
        return await io.map("items", payload, bodies.in_batches, reuse="job")

    assert world.run(single, [[1, 2]], run_id="three") == [[3, 3]]
    assert bodies.take() == [(1, 2)]


def test_an_item_and_a_task_of_the_same_argument_are_the_same(world):
    """Issue 15, Reuse: it is the body and its arguments that count, and not where they are called."""
    world.run(mapped(world, reuse="job"), [1, 2], run_id="one")
    bodies.take()
    assert world.run(one_task(world, bodies.double, 2, reuse="job"), run_id="two") == 4
    keyed = mapped(world, reuse="job", item_key=lambda item: f"number-{item}")
    assert world.run(keyed, [2, 3], run_id="three") == [4, 6]
    assert bodies.take() == [3]


# Value files, deleting and pruning ---------------------------------------------------------------------


def test_a_value_in_a_file_outlives_the_run_that_made_it(world):
    """Issue 15, Must hold: nothing that is referred to is lost."""
    job = one_task(world, bodies.large, 4, reuse="job")
    first = world.run(job, run_id="one")
    assert world.run(job, run_id="two") == first
    world.client.run("one").delete()
    world.client.prune(keep_last=1)
    world.new_kernel()
    job = one_task(world, bodies.large, 4, reuse="job")
    assert world.run(job, run_id="three") == first
    assert bodies.take() == [4]


def test_a_value_whose_file_is_lost_runs_again(world):
    """Issue 15, Reuse: a damaged result of another run is none."""
    job = one_task(world, bodies.large, 4, reuse="job")
    first = world.run(job, run_id="one")
    (file,) = (path for path in (world.client.dir / "values").rglob("*") if path.is_file())
    file.unlink()
    assert world.run(job, run_id="two") == first
    assert bodies.take() == [4, 4]


def test_results_stay_findable_when_the_run_that_made_them_is_deleted(world):
    """Issue 15, Reuse: deleting moves the pointer to a run that has taken the result over."""
    world.run(mapped(world, reuse="client"), [1, 2, 3], run_id="one")
    world.run(mapped(world, id="other", reuse="client"), [1, 2], run_id="two")
    bodies.take()
    world.client.run("one").delete()
    world.new_kernel()
    assert world.run(mapped(world, id="third", reuse="client"), [1, 2, 3], run_id="three") == [2, 4, 6]
    assert bodies.take() == [3]


def test_pruning_leaves_no_pointer_that_leads_nowhere(world):
    """Issue 15, Reuse: pointers go with the runs."""
    world.run(mapped(world, reuse="client"), [1, 2, 3], run_id="one")
    assert world.client.runtime.store.tally()["reuse"] == 3
    world.client.prune(older_than=0)
    assert "reuse" not in world.client.runtime.store.tally()


def test_the_check_of_a_store_counts_pointers_as_its_own(world):
    """Issue 15, Reuse: they are rows of the store like any other."""
    world.run(mapped(world, reuse="client"), [1, 2, 3], run_id="one")
    assert world.client.check().ok
    assert world.client.info().records == 4  # a map and its items


def test_results_taken_over_in_a_row_share_a_commit(world, monkeypatch):
    """Issue 15, Reuse: what a hit costs; R3: it is stored before the next body is called, and at the end of the run."""
    commits, store = [], world.client.runtime.store
    commit = type(store).commit

    def counted(self, rows, **options):
        commits.append([row.key for row in rows if row.key.startswith("two/")])
        return commit(self, rows, **options)

    @world.client.job(id="job", reuse="job")
    async def job(payload, io):
        for number in range(5):
            await io.run_task(f"task-{number}", bodies.double, number)
        if payload:
            await io.run_task("new", bodies.negative, 1)
            assert "two/task-4" in stored_before_new
            await io.run_task("last", bodies.double, 0)

    world.run(job, run_id="one")
    bodies.take()
    stored_before_new = []
    negative = bodies.negative

    def looking(number):
        stored_before_new.extend(key for keys in commits for key in keys)
        return negative(number)

    monkeypatch.setattr(bodies, "negative", looking)
    monkeypatch.setattr(type(store), "commit", counted)
    world.run(job, True, run_id="two")
    assert bodies.take() == [1]
    hits = [[key for key in keys if "task-" in key] for keys in commits]
    assert [len(keys) for keys in hits if keys] == [5]
    world.new_kernel()
    assert {"two/last", "two/new"} <= {key for keys in commits for key in keys}
    assert [bool(task.reused_from) for task in world.client.run("two").tasks] == [True] * 5 + [False, True]


# The plan ---------------------------------------------------------------------------------------------


def test_the_plan_names_what_is_reused(world):
    """Issue 15, Reuse: `job.plan` says what would be reused, and changes nothing."""
    world.run(mapped(world, reuse="job"), [1, 2, 3], run_id="one")
    bodies.take()
    plan = mapped(world, reuse="job").plan([1, 2, 3, 4], run_id="two")
    assert len(plan.reuses) == 3
    assert [task.reason for task in plan.runs] == ["new"]
    assert "reuses results of other runs for 3 tasks" in repr(plan)
    assert bodies.take() == []
    assert [run.id for run in world.client.runs()] == ["one"]


# Options ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reuse": "everywhere"}, 'reuse is "run", "job" or "client"'),
        ({"expires_after": -1}, "expires_after is a finite time of zero or more"),
        ({"expires_after": "a day"}, "expires_after is seconds or a timedelta"),
        ({"reuse": "job", "codec": "pickle"}, "leave out one of them"),
    ],
)
def test_a_wrong_option_says_what_to_write(world, options, said):
    """Issue 15, Reuse: the options are checked where they are given."""
    error = world.fail(one_task(world, bodies.double, 1, **options))
    assert isinstance(error, InvalidOptionError)
    assert said.lower() in str(error).lower()
    if "codec" not in options:
        with pytest.raises(InvalidOptionError):
            world.client.job(id="other", **options)
        world.options = options
        with pytest.raises(InvalidOptionError):
            _ = world.client
        world.options = {}


def test_a_result_that_was_taken_over_twice_stays_findable(world):
    """Issue 15, Reuse: a copy of a copy is found when the run between is deleted, and so is an older result of the same."""
    for number in range(4):
        world.run(
            mapped(world, id=f"job-{number % 2}", reuse="client"), [1, 2, number], run_id=f"run-{number}"
        )
        if number:
            world.client.run(f"run-{number - 1}").delete()
    assert sorted(bodies.take()) == [0, 1, 2, 3]


# Tasks of integrations --------------------------------------------------------------------------------


class Client:
    """The client of a service that notes what it sends."""

    def send(self, text):
        bodies.calls.append(text)
        return f"sent {text}"


class Service(Integration[Client]):
    service, icon = "Service", "service"

    def open_client(self):
        return Client()

    def should_retry(self, error):
        return None

    def send(self, key, text, **task_options):
        return self.task(key, sending, {"text": text}, name="send", task_options=task_options)


def sending(params, client):
    return client.send(params["text"])


def send_one(text, client):
    return client.send(text)


async def tells(number, io):
    return await io.service.run_task("tell", send_one, str(number))


def with_service(world, body, **options):
    @world.client.job(id="job", integrations={"service": Service()}, **options)
    async def job(payload, io):
        return await body(io)

    return job


def test_a_default_never_reaches_an_integration(world):
    """Issue 15, Reuse: never for integration calls that write, unless asked on the call itself; nor does expiry."""

    async def body(io):
        await io.service.run_task("own body", send_one, "a")
        await io.service.send("method", "b")

    job = with_service(world, body, reuse="client", expires_after=10)
    for run_id in ("one", "two"):
        world.run(job, run_id=run_id)
        assert bodies.take() == ["a", "b"]
    world.clock.advance(20)
    world.run(job, run_id="two")
    assert bodies.take() == []


def test_an_integrations_task_is_reused_when_the_call_asks_for_it(world):
    """Issue 15, Reuse: asked on the call itself."""

    async def body(io):
        return await io.service.run_task("own body", send_one, "a", reuse="job")

    job = with_service(world, body)
    assert [world.run(job, run_id=each) for each in ("one", "two")] == ["sent a", "sent a"]
    assert bodies.take() == ["a"]


def test_a_body_that_calls_an_integration_is_not_reused(world):
    """Issue 15, Reuse: what it sends is sent in each run."""

    async def body(io):
        return await io.run_task("tells", tells, 1, reuse="client")

    job = with_service(world, body)
    for run_id in ("one", "two"):
        assert world.run(job, run_id=run_id) == "sent 1"
        assert bodies.take() == ["1"]


# Beside other ways to a result ------------------------------------------------------------------------


def test_a_result_that_a_person_set_is_for_its_own_run_only(world):
    """Issue 15, A failed task in a cell: other runs take what bodies return."""
    job = one_task(world, bodies.double, 4, reuse="job")
    assert world.run(job, run_id="one") == 8
    world.client.run("one").set_output("task", 99)
    assert world.run(job, run_id="one") == 99
    assert world.run(job, run_id="two") == 8
    assert bodies.take() == [4, 4]


def test_files_are_reused_by_their_content(world, tmp_path):
    """Issue 15, Files: an edited file is another argument, also in another run."""
    table = tmp_path / "table.csv"
    for run_id, text, called in [("one", "a", 1), ("two", "a", 0), ("three", "b", 1), ("four", "a", 0)]:
        table.write_text(text)
        job = mapped(world, bodies.length_of_file, reuse="job")
        assert world.run(job, [File(table)], run_id=run_id) == [1]
        assert len(bodies.take()) == called, run_id
